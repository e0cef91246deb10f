//! What nodes tell each other.

use ysyncd_engine::bus::{Body, BusCommand, BusInput, Envelope, Presence, StateDigest};

use super::{Explained, hex, update};

/// What the bus tells.
pub(super) fn input(told: &BusInput) -> Explained {
    match told {
        BusInput::Up => "the bus is up".into(),
        BusInput::Down => "the bus is down".into(),
        BusInput::Subscribed { doc } => format!("subscribed to {doc}").into(),
        BusInput::Received { doc, message } => envelope(message).after(&format!("bus, {doc}: ")),
    }
}

/// What the bus is asked.
pub(super) fn command(command: &BusCommand) -> Explained {
    match command {
        BusCommand::Subscribe { doc } => format!("subscribe to {doc}").into(),
        BusCommand::Unsubscribe { doc } => format!("unsubscribe from {doc}").into(),
        BusCommand::Publish { doc, message } => {
            envelope(message).after(&format!("publish, {doc}: "))
        }
    }
}

/// A message of the bus.
fn envelope(message: &[u8]) -> Explained {
    let text = match Envelope::decode(message) {
        Err(error) => format!("no message: {error}"),
        Ok(Envelope { from, body }) => {
            let who = format!("node {}, life {}", from.id, from.incarnation);
            format!("{who}: {}", said(&body))
        }
    };
    Explained::new(&text, &hex(message))
}

/// The same where it is seen who says it.
pub(super) fn message(message: &[u8]) -> Explained {
    let said = Envelope::decode(message).map(|envelope| said(&envelope.body));
    let text = said.unwrap_or_else(|error| format!("no message: {error}"));
    let Explained { text: who, .. } = envelope(message);
    Explained::new(&text, &format!("{who}\n{}", hex(message)))
}

fn said(body: &Body<'_>) -> String {
    match body {
        Body::Update(bytes) => format!("update: {}", update(bytes)),
        Body::Diff(bytes) => format!("diff: {}", update(bytes)),
        Body::Awareness(told) => {
            let users: Vec<_> = Presence::read_all(told)
                .flatten()
                .map(|told| told.user)
                .collect();
            format!("awareness of {}, {} bytes", users.join(", "), told.len())
        }
        Body::Digest(digest) => format!("digest {}", short(digest)),
        Body::Joined(digest) => format!("joined with {}", short(digest)),
        Body::State { to, digest, .. } => format!("to {to}: state {}", short(digest)),
        Body::Saved { digest, etag } => format!("saved {} as {etag:?}", short(digest)),
        Body::InStore { etag } => format!("the rest is in the store, as {etag}"),
    }
}

/// Enough of a digest to tell it from others.
fn short(digest: &StateDigest) -> String {
    let StateDigest {
        vector,
        deletes,
        gaps,
    } = digest;
    let two = |hash: &[u8; 32]| format!("{:02x}{:02x}", hash[0], hash[1]);
    format!("{}/{}/{}", two(vector), two(deletes), two(gaps))
}
