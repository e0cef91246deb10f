//! The protocol and document logic of ysyncd, free of IO.
//!
//! An [`Engine`] holds documents and the connections of clients to them. It
//! reads no socket, no file and no clock, has no thread and no source of
//! chance: all that happens outside comes in as an [`Input`], and all that is
//! to be done outside goes out as an [`Output`]. The same inputs at the same
//! times give the same outputs, which is what makes a simulation of it repeat.
//!
//! # Driving an engine
//!
//! Hand it an input, then take its outputs until there are none; note when it
//! wants to be woken, and send a [`Input::Tick`] then at the latest.
//!
//! ```
//! use std::time::Duration;
//! use ysyncd_engine::{
//!     Config, ConnId, DocId, Engine, Input, Now, Output, StoreResult,
//!     auth::{Moment, TokenKey, TokenVerifier, UserId},
//! };
//!
//! // A client brings a token, and asks for a document.
//! let key = TokenKey::new(b"a secret of your choice");
//! let token = key.mint(&UserId::new("alice")?);
//! let doc = DocId::new("notes")?;
//! let today = Moment { mono: Duration::ZERO, unix: Duration::from_secs(1_800_000_000) };
//! let claims = TokenVerifier::new(key).verify(&token, today.unix)?;
//! let grant = claims.grant(&doc, today)?;
//!
//! let mut engine = Engine::new(Config::default(), 0);
//! let now = Now { mono: today.mono };
//! let conn = ConnId(1);
//! engine.handle(now, Input::Open { conn, doc, grant });
//!
//! // The engine asks the store for the document. There is none yet.
//! let Some(Output::Store { op, .. }) = engine.poll_output() else { panic!() };
//! engine.handle(now, Input::Store { op, result: StoreResult::Loaded(Ok(None)) });
//!
//! let outputs: Vec<Output> = std::iter::from_fn(|| engine.poll_output()).collect();
//! assert!(outputs.contains(&Output::Accept { conn }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What can be relied on
//!
//! - The first output of a connection is `Accept` or `Refuse`. Its `Send`s come
//!   in order, all before its `Close`; nothing follows `Close` or `Refuse`.
//! - All connections of a document see its updates in one order. Nothing is
//!   promised across documents.
//! - A connection gets updates from its first `SyncStep1` on, together with the
//!   answer to it.
//! - Input from connections that are closed or not accepted yet, and results
//!   of operations that nobody waits for, are ignored. A `Tick` that is not due
//!   does no harm.
//!
//! - Where there is a journal, what the engine sends of a document is durable:
//!   an update is applied and relayed only once the journal has it. An update
//!   that cannot be made durable is refused without closing its connection,
//!   and asked for again later.
//! - A document leaves memory only when everything in it is in the store, or in
//!   the journal; then the engine brings it into the store on its own.
//!
//! # Recording
//!
//! With the feature `serde` what goes into an engine, its [`Config`] and each
//! [`Input`], can be written down and read again. As an engine is a function of
//! these, that is all it takes to have a run once more.
//!
//! # What the driver promises
//!
//! - The clock never goes back. Connection ids are used once.
//! - Outputs are carried out in order. Each `Store` command gets exactly one
//!   result, whatever happens: who carries it out owns the timeout. So does
//!   each `Journal` command, but that a write may share that of a write behind it,
//!   with nothing but writes between; results come in the order of the commands,
//!   and once one has failed all later ones fail, until `Reopen` has not.
//! - What the journal reports as done is durable, and what it held when the
//!   process last ended is told by `JournalHolds` before the first `Open`.
//! - `Written` tells truly what the transport has taken, so that a client that
//!   does not read can be told from one that does.

mod awareness;
mod config;
mod connection;
mod effect;
mod engine;
mod event;
#[cfg(feature = "serde")]
mod hex;
mod id;
mod input;
mod inspect;
mod journal;
mod journal_health;
mod json;
mod message_fault;
mod output;
mod random;
mod rejection;
mod size;
mod status;
mod store;
mod time;
mod timer;

pub mod auth;
pub mod bus;
pub mod document;
pub mod lib0;
pub mod marks;
pub mod planted;
pub mod protocol;
pub mod state_vector;
pub mod update;

pub use awareness::Unshown;
pub use bus::{BusCommand, BusInput, BusRefusal, Node};
pub use config::{Config, ConfigError};
pub use engine::{Checked, Engine};
pub use event::Event;
pub use id::{ConnId, DocId, DocIdError, OpId};
pub use input::Input;
pub use inspect::{ConnectionFacts, DocumentFacts, DocumentPhase, Inspection, InspectionLimits};
pub use journal::{JournalCommand, JournalError, JournalRecord, JournalResult, Position};
pub use message_fault::MessageFault;
pub use output::{CloseCode, Output, Receivers, Refusal};
pub use rejection::Rejection;
pub use size::Size;
pub use status::Status;
pub use store::{Condition, Etag, Snapshot, StoreCommand, StoreError, StoreResult};
pub use time::Now;
