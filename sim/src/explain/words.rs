//! What the engine is told and what it says.

use ysyncd_engine::{
    Condition, DocId, Event, Input, JournalCommand, JournalError, JournalResult, Output,
    StoreCommand, StoreError, StoreResult,
};

use super::{Explained, LONG, SHORT, bus, explained_frame, update, update_lines};

/// What the engine is told.
#[must_use]
pub fn input(input: &Input) -> Explained {
    match input {
        Input::Open { conn, doc, grant } => {
            format!("{} opens {doc} as {:?}", conn.0, grant.user.as_str()).into()
        }
        Input::Received { conn, bytes } => explained_frame(bytes).after(&format!("{}: ", conn.0)),
        Input::Written { conn, total_bytes } => {
            format!("{} has taken {total_bytes} bytes in total", conn.0).into()
        }
        Input::Closed { conn } => format!("{} is gone", conn.0).into(),
        Input::Freed { conn } => format!("what was on its way to {} is let go of", conn.0).into(),
        Input::Tick => "tick".into(),
        Input::Store { op, result } => store_result(result).after(&format!("store {}: ", op.0)),
        Input::Journal { op, result } => {
            journal_result(result).after(&format!("journal {}: ", op.0))
        }
        Input::JournalHolds { docs } => format!("the journal holds {}", documents(docs)).into(),
        Input::Bus(told) => bus::input(told),
        Input::Shutdown { deadline } => format!("shut down until {deadline:?}").into(),
    }
}

/// What the engine says.
#[must_use]
pub fn output(output: &Output) -> Explained {
    match output {
        Output::Accept { conn } => format!("accept {}", conn.0).into(),
        Output::Refuse { conn, reason } => format!("refuse {}: {reason}", conn.0).into(),
        Output::Send { conns, frame } => {
            let conns: Vec<_> = conns.iter().map(|conn| conn.0.to_string()).collect();
            explained_frame(frame).after(&format!("to {}: ", conns.join(", ")))
        }
        Output::Close { conn, code, reason } => {
            format!("close {} with {}: {reason}", conn.0, code.number()).into()
        }
        Output::Store { op, command } => store_command(command).after(&format!("store {}: ", op.0)),
        Output::Journal { op, command } => {
            journal_command(command).after(&format!("journal {}: ", op.0))
        }
        Output::Bus(command) => bus::command(command),
        Output::Pause { conn } => format!("pause {}", conn.0).into(),
        Output::Resume { conn } => format!("resume {}", conn.0).into(),
        Output::Repeated { conn } => format!("{} has said nothing new", conn.0).into(),
        Output::Event(what) => event(what).after("event: "),
        Output::Drained { unsaved, journaled } => format!(
            "drained; unsaved: {}; in the journal alone: {}",
            documents(unsaved),
            documents(journaled)
        )
        .into(),
    }
}

/// What the store is asked.
#[must_use]
pub fn store_command(command: &StoreCommand) -> Explained {
    match command {
        StoreCommand::Load { doc } => format!("load {doc}").into(),
        StoreCommand::Save {
            doc,
            body,
            condition,
        } => {
            let condition = match condition {
                Condition::Absent => "absent".to_owned(),
                Condition::Matches(etag) => format!("etag {:?}", &*etag.0),
            };
            with_update(&format!("save {doc} if {condition}"), body)
        }
    }
}

/// What the store answers.
#[must_use]
pub fn store_result(result: &StoreResult) -> Explained {
    match result {
        StoreResult::Loaded(Ok(Some(snapshot))) => with_update(
            &format!("loaded, etag {:?}", &*snapshot.etag.0),
            &snapshot.body,
        ),
        StoreResult::Loaded(Ok(None)) => "loaded: there is none".into(),
        StoreResult::Loaded(Err(error)) => not_stored("not loaded", error),
        StoreResult::Saved(Ok(etag)) => format!("saved, etag {:?}", &*etag.0).into(),
        StoreResult::Saved(Err(error)) => not_stored("not saved", error),
    }
}

/// What the journal is asked.
#[must_use]
pub fn journal_command(command: &JournalCommand) -> Explained {
    match command {
        JournalCommand::Append {
            doc,
            position,
            update,
        } => with_update(&format!("append {doc} #{}", position.0), update),
        JournalCommand::Trim { doc, through } => {
            format!("trim {doc} through #{}", through.0).into()
        }
        JournalCommand::Read { doc } => format!("read {doc}").into(),
        JournalCommand::Reopen => "reopen".into(),
    }
}

/// What the journal answers.
#[must_use]
pub fn journal_result(result: &JournalResult) -> Explained {
    let done = |what: &str, result: &Result<(), JournalError>| match result {
        Ok(()) => Explained::from(what),
        Err(error) => format!("not {what}: {error}").into(),
    };
    match result {
        JournalResult::Appended(result) => done("appended", result),
        JournalResult::Trimmed(result) => done("trimmed", result),
        JournalResult::Reopened(result) => done("reopened", result),
        JournalResult::Read(Err(error)) => format!("not read: {error}").into(),
        JournalResult::Read(Ok(records)) => {
            let tell = |record: &ysyncd_engine::JournalRecord| {
                format!("#{} {}", record.position.0, update(&record.update))
            };
            let lines: Vec<_> = records.iter().take(LONG.things).map(tell).collect();
            Explained::new(
                &format!("read: {} records", records.len()),
                &lines.join("\n"),
            )
        }
    }
}

/// What the engine tells logs and metrics.
#[must_use]
pub fn event(event: &Event) -> Explained {
    match event {
        Event::DocumentLoaded {
            doc,
            bytes,
            replayed,
        } => format!("{doc} loaded: {bytes} bytes, {replayed} records replayed").into(),
        Event::DocumentLoadFailed { doc, error } => format!("{doc} not loaded: {error}").into(),
        Event::DocumentUndecodable { doc, reason } => format!("{doc} undecodable: {reason}").into(),
        Event::DocumentJournalDamaged { doc, error } => format!("{doc}: {error}").into(),
        Event::DocumentFailed { doc, message } => format!("{doc} failed: {message}").into(),
        Event::JournalFailed { error } => error.to_string().into(),
        Event::JournalRecovered => "the journal works again".into(),
        Event::DocumentDrains { doc } => format!("{doc} is about to leave memory").into(),
        Event::DocumentUnloaded { doc } => format!("{doc} left memory").into(),
        Event::UpdateApplied { bytes, .. } => format!("applied {bytes} bytes").into(),
        Event::SnapshotSaved { doc, bytes } => format!("{doc} saved: {bytes} bytes").into(),
        Event::SnapshotFailed { doc, error } => format!("{doc} not saved: {error}").into(),
        Event::SnapshotMerged { doc } => format!("{doc} merged with another's snapshot").into(),
        Event::SnapshotAdopted {
            doc,
            etag,
            is_whole,
        } => {
            let what = if *is_whole { "all" } else { "some" };
            format!("{doc}: another node has stored {what}, etag {:?}", &*etag.0).into()
        }
        Event::BusPublished { bytes } => format!("published {bytes} bytes").into(),
        Event::BusApplied { bytes } => format!("applied {bytes} bytes of the bus").into(),
        Event::BusHealed { doc } => format!("{doc} healed by the bus").into(),
        Event::BusNameTaken => "another node has this one's name".into(),
        Event::BusMessageRefused { doc, reason } => {
            format!("{doc}: refused a message of the bus: {reason}").into()
        }
        Event::UpdateRefused { doc, conn, reason } => {
            format!("{doc}: refused an update of {}: {reason}", conn.0).into()
        }
        Event::UpdateForbidden { doc, conn } => {
            format!("{doc}: ignores an update of {}, who may only read", conn.0).into()
        }
        Event::ConnectionLags { doc, conn } => {
            format!("{doc}: leaves {} out, which reads too slowly", conn.0).into()
        }
        Event::AnswerWaits { conn, user } => {
            let user = user.as_str();
            format!(
                "has {} wait for a large answer, as {user} and others have many",
                conn.0
            )
            .into()
        }
        Event::AnswerTurn { conn } => format!("has {} told something large now", conn.0).into(),
        Event::MessageRefused { doc, conn, reason } => {
            format!("{doc}: refused a message of {}: {}", conn.0, reason.name()).into()
        }
        Event::PresenceUnshown { doc, conn, reason } => {
            let reason = reason.name();
            format!(
                "{doc}: does not show what {} says of itself or others: {reason}",
                conn.0
            )
            .into()
        }
        Event::ConnectionClosed {
            doc,
            conn,
            code,
            reason,
        } => format!("{doc}: closes {} with {}: {reason}", conn.0, code.number()).into(),
    }
}

fn not_stored(what: &str, error: &StoreError) -> Explained {
    format!("{what}: {error}").into()
}

/// Words, then how big an update is and what it says.
fn with_update(words: &str, bytes: &[u8]) -> Explained {
    let words = format!("{words}: {} bytes", bytes.len());
    let lines = update_lines(bytes, LONG.things, LONG.bytes).join("\n");
    let text = format!("{words}: {}", update(bytes));
    Explained::new(&text, &format!("{words}\n{lines}"))
}

fn documents(docs: &[DocId]) -> String {
    let names = docs.iter().take(SHORT.things * 4).map(DocId::as_str);
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    if names.len() < docs.len() {
        names.push(format!("… {} more", docs.len() - names.len()));
    }
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
