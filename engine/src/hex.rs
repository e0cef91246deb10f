//! Bytes in hex, for what is written down to be read by people.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serializer, de::Error};

pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    let bytes = HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)?;
    Ok(bytes.into())
}
