//! Says what messages say.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use ysyncd_engine::{Condition, DocId, Etag, Snapshot, StoreCommand, StoreError, StoreResult};

use super::reader::{Message, header};
use crate::{
    explain::{self, Explained},
    full::bucket,
    story::ArrowKind,
};

/// What a message is, for an arrow.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) kind: ArrowKind,
    pub(super) what: Explained,
    pub(super) is_failure: bool,
}

/// What was last asked on a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    is_save: bool,
    /// The document that it is about, if it is about one.
    pub(super) document: Option<DocId>,
}

impl Said {
    fn new(kind: ArrowKind, what: impl Into<Explained>) -> Self {
        let (what, is_failure) = (what.into(), false);
        Self {
            kind,
            what,
            is_failure,
        }
    }

    fn failure(self) -> Self {
        let is_failure = true;
        Self { is_failure, ..self }
    }
}

/// What a client says to a server, or a server to the bucket.
pub(super) fn up(message: &Message, asked: &mut Asked) -> Said {
    match message {
        Message::Http { head, body } => {
            let line = head.lines().next().unwrap_or_default();
            let mut words = line.split(' ');
            let (method, path) = (words.next(), words.next().unwrap_or_default());
            let path = percent_decode_str(path).decode_utf8_lossy();
            match path.strip_prefix("/sync/v1/") {
                Some(name) => open(name, head, asked),
                None => store_command(method == Some("PUT"), &path, head, body, asked),
            }
        }
        other => frame(other),
    }
}

/// The answer.
pub(super) fn down(message: &Message, asked: &Asked, is_store: bool) -> Said {
    match message {
        Message::Http { head, body } if is_store => store_answer(head, body, asked),
        Message::Http { head, .. } => match status(head) {
            101 => Said::new(ArrowKind::Accept, Explained::new("accept", head)),
            status => {
                let text = format!("refuse with {status}");
                Said::new(ArrowKind::Refuse, Explained::new(&text, head))
            }
        },
        other => frame(other),
    }
}

fn open(name: &str, head: &str, asked: &mut Asked) -> Said {
    let name = name.split('?').next().unwrap_or_default();
    asked.document = DocId::new(name).ok();
    let what = Explained::new(&format!("open {name}"), head);
    Said::new(ArrowKind::Open, what)
}

fn frame(message: &Message) -> Said {
    match message {
        Message::Frame { opcode, payload } => match opcode {
            2 => Said::new(explain::kind(payload), explain::explained_frame(payload)),
            8 => Said::new(ArrowKind::Close, close(payload)),
            9 => Said::new(ArrowKind::Frame, "ping"),
            10 => Said::new(ArrowKind::Frame, "pong"),
            opcode => {
                let text = format!("opcode {opcode}: {}", payload.escape_ascii());
                Said::new(ArrowKind::Frame, text)
            }
        },
        Message::Rest(rest) | Message::Http { body: rest, .. } => {
            let text = format!("breaks off after {} bytes", rest.len());
            let what = Explained::new(&text, &rest.escape_ascii().to_string());
            Said::new(ArrowKind::Frame, what).failure()
        }
    }
}

fn close(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("close {code}: {}", String::from_utf8_lossy(reason))
        }
        _ => "close without a code".to_owned(),
    }
}

fn store_command(is_save: bool, path: &str, head: &str, body: &[u8], asked: &mut Asked) -> Said {
    let key = path.split('?').next().unwrap_or_default();
    let key = key.trim_start_matches('/').split_once('/');
    let document = key.and_then(|(_, key)| bucket::doc_id(key));
    *asked = Asked {
        is_save,
        document: document.clone(),
    };
    let kind = match is_save {
        true => ArrowKind::Save,
        false => ArrowKind::Load,
    };
    let what = match (document, is_save) {
        (None, _) => {
            let method = if is_save { "PUT" } else { "GET" };
            let text = format!("{method} {}", key.map_or(path, |(_, key)| key));
            return Said::new(kind, Explained::new(&text, head));
        }
        (Some(doc), false) => StoreCommand::Load { doc },
        (Some(doc), true) => StoreCommand::Save {
            doc,
            body: body.to_vec().into(),
            condition: match header(head, "if-match") {
                Some(etag) => Condition::Matches(Etag(bare(etag).into())),
                None => Condition::Absent,
            },
        },
    };
    Said::new(kind, explain::store_command(&what))
}

fn store_answer(head: &str, body: &[u8], asked: &Asked) -> Said {
    let etag = Etag(bare(header(head, "etag").unwrap_or_default()).into());
    let text = String::from_utf8_lossy(body);
    let (status, code) = (status(head), code(&text));
    let result = match (asked.is_save, status) {
        (true, 200) => StoreResult::Saved(Ok(etag)),
        (false, 200) => StoreResult::Loaded(Ok(Some(Snapshot {
            body: body.to_vec().into(),
            etag,
        }))),
        (false, 404) if code == "NoSuchKey" => StoreResult::Loaded(Ok(None)),
        (true, 412) => StoreResult::Saved(Err(StoreError::Conflict)),
        _ => {
            let text = format!("{status} {code}");
            return Said::new(ArrowKind::StoreAnswer, Explained::new(&text, head)).failure();
        }
    };
    let said = Said::new(ArrowKind::StoreAnswer, explain::store_result(&result));
    match status {
        412 => said.failure(),
        _ => said,
    }
}

/// An etag without the marks around it, for people.
fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1);
    status.and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// What S3 calls an error.
fn code(body: &str) -> Cow<'_, str> {
    let code = body.split_once("<Code>").map(|(_, rest)| rest);
    let code = code.and_then(|rest| rest.split_once("</Code>"));
    code.map_or(Cow::Borrowed("without a code"), |(code, _)| code.into())
}
