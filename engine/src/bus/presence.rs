//! Who is there, as nodes tell each other: awareness states, and by whose word.
//!
//! ```text
//! awareness = (length user page length states)*
//! length = 2 bytes before the user, which is UTF-8, and 4 before the states
//! page   = 01 if the states are of pages of the user, otherwise 00
//! states = as in an awareness message of y-websocket
//! ```
//!
//! The user is empty where it is only known that somebody has gone.

use super::EnvelopeError;

/// States that stand for the same user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence<'a> {
    /// Whose connections tell of them, by name.
    pub user: &'a str,
    /// Whether each is the first of which a connection of the user told: its page.
    pub is_page: bool,
    /// Awareness states, which nobody has checked.
    pub states: &'a [u8],
}

impl<'a> Presence<'a> {
    /// Takes the body of an awareness message apart.
    ///
    /// # Errors
    /// Each time what is left is none; nothing follows after that.
    pub fn read_all(mut body: &'a [u8]) -> impl Iterator<Item = Result<Self, EnvelopeError>> {
        std::iter::from_fn(move || {
            let read = (!body.is_empty()).then(|| Self::read(&mut body))?;
            if read.is_err() {
                body = &[];
            }
            Some(read)
        })
    }

    /// Appends it to the body of an awareness message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let len = u16::try_from(self.user.len()).expect("names of users are short");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(self.user.as_bytes());
        out.push(self.is_page.into());
        let len = u32::try_from(self.states.len()).expect("messages are less than 4 GiB");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(self.states);
    }

    fn read(body: &mut &'a [u8]) -> Result<Self, EnvelopeError> {
        let len = u16::from_be_bytes(*take(body)?);
        let user = take_slice(body, len.into())?;
        let user = std::str::from_utf8(user).map_err(|_| EnvelopeError::Utf8)?;
        let is_page = match take(body)? {
            [0] => false,
            [1] => true,
            _ => return Err(EnvelopeError::Flag),
        };
        let len = u32::from_be_bytes(*take(body)?);
        let states = take_slice(body, len as usize)?;
        Ok(Self {
            user,
            is_page,
            states,
        })
    }
}

fn take<'a, const N: usize>(body: &mut &'a [u8]) -> Result<&'a [u8; N], EnvelopeError> {
    let (first, rest) = body.split_first_chunk().ok_or(EnvelopeError::End)?;
    *body = rest;
    Ok(first)
}

fn take_slice<'a>(body: &mut &'a [u8], len: usize) -> Result<&'a [u8], EnvelopeError> {
    let (first, rest) = body.split_at_checked(len).ok_or(EnvelopeError::End)?;
    *body = rest;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Presence<'_> = Presence {
        user: "alice",
        is_page: true,
        states: &[1, 3, 1, 2, b'{', b'}'],
    };
    const NOBODY: Presence<'_> = Presence {
        user: "",
        is_page: false,
        states: &[],
    };

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let mut body = Vec::new();
        ALICE.write(&mut body);
        NOBODY.write(&mut body);
        let read: Vec<_> = Presence::read_all(&body).collect();
        assert_eq!(read, [Ok(ALICE), Ok(NOBODY)]);
        assert_eq!(Presence::read_all(&[]).next(), None);
    }

    #[test]
    fn what_is_cut_short_ends_with_an_error() {
        let mut body = Vec::new();
        ALICE.write(&mut body);
        for len in 1..body.len() {
            let read: Vec<_> = Presence::read_all(&body[..len]).collect();
            assert_eq!(read, [Err(EnvelopeError::End)], "{len}");
        }
    }

    #[test]
    fn what_no_node_writes_is_not_read() {
        let read = |body: &[u8]| Presence::read_all(body).next().map(Result::err);
        assert_eq!(
            read(&[0, 0, 2, 0, 0, 0, 0]),
            Some(Some(EnvelopeError::Flag))
        );
        assert_eq!(
            read(&[0, 1, 0xff, 0, 0, 0, 0, 0]),
            Some(Some(EnvelopeError::Utf8))
        );
    }
}
