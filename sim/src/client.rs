//! A model client: a yrs document with the habits of y-websocket, or others.

mod content;
mod rich;
mod sloppy;

use std::{cell::OnceCell, collections::BTreeMap, time::Duration};

use crate::{
    oracle::Ids,
    swarm::{Content, Habit},
};
use bytes::Bytes;
use rand::{RngExt as _, rngs::ChaCha8Rng};
use yrs::{
    ArrayRef, Doc, MapRef, OffsetKind, Options, Out, ReadTxn, StateVector, TextRef, Transact,
    Update, Uuid, WriteTxn,
    block::ClientID,
    updates::{decoder::Decode, encoder::Encode},
};
use ysyncd_engine::{
    ConnId,
    lib0::{Reader, write_var_bytes, write_var_uint},
    protocol::{self, Message, MessageError, Messages},
};

/// What a client is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Nothing; it may try to connect.
    Offline,
    /// It waits to be let in.
    Connecting(ConnId),
    /// It is in.
    Open(ConnId),
    /// It never comes back.
    Left,
}

/// A client and all it knows.
pub(crate) struct Client {
    pub(crate) id: u64,
    pub(crate) habit: Habit,
    content: Content,
    /// The number of its document.
    pub(crate) doc: usize,
    pub(crate) link: Link,
    /// When it last heard something.
    pub(crate) heard: Duration,
    /// How often in a row it was not let in.
    pub(crate) in_vain: u32,
    yrs: Doc,
    text: TextRef,
    map: MapRef,
    list: ArrayRef,
    /// Updates that build on what it does not know.
    early: Vec<Vec<u8>>,
    /// What it shows, if somebody has asked since that changed last.
    shown: OnceCell<String>,
    awareness: BTreeMap<u64, Presence>,
}

/// What is known of somebody's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presence {
    pub(crate) clock: u64,
    /// JSON; `None`: gone.
    pub(crate) state: Option<String>,
}

/// What makes a document the wrong one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The server sent what is no message.
    #[error("the server sent no message: {0}")]
    Message(#[from] MessageError),
    /// The server sent an update that cannot be decoded.
    #[error("the server sent no update: {0}")]
    Decode(#[from] yrs::encoding::read::Error),
    /// The server sent an update that cannot be integrated.
    #[error("the server sent an update that does not integrate: {0}")]
    Integrate(#[from] yrs::error::UpdateError),
    /// The server sent awareness that cannot be read.
    #[error("the server sent no awareness: {0}")]
    Awareness(#[from] ysyncd_engine::lib0::ReadError),
}

/// What content ends with if something is missing.
pub(crate) const WAITS: &str = ", waits";

/// An update of no structs and no deletes.
const NOTHING: [u8; 2] = [0, 0];

/// What a client answers to a frame.
type Frames = Vec<Bytes>;

impl Client {
    pub(crate) fn new(id: u64, doc: usize, content: Content) -> Self {
        // A name that nobody asks for, as yrs would draw one: from where the S3 client
        // draws, too, whose numbers must not depend on how often oracles read something.
        let (name, id_in_yrs) = (Uuid::from("simulated"), ClientID::new(id));
        let options = Options {
            offset_kind: OffsetKind::Utf16,
            skip_gc: content != Content::Flat,
            // It would remove marks that end nothing when a change is over, and tell
            // nobody.
            cleanup_formatting: false,
            ..Options::with_guid_and_client_id(name, id_in_yrs)
        };
        let yrs = Doc::with_options(options);
        let (text, map) = (yrs.get_or_insert_text("text"), yrs.get_or_insert_map("map"));
        let list = yrs.get_or_insert_array("list");
        let own = Presence {
            clock: 0,
            state: Some("{}".to_owned()),
        };
        Self {
            id,
            habit: Habit::Usual,
            content,
            doc,
            link: Link::Offline,
            heard: Duration::ZERO,
            in_vain: 0,
            yrs,
            text,
            map,
            list,
            early: Vec::new(),
            shown: OnceCell::new(),
            awareness: BTreeMap::from([(id, own)]),
        }
    }

    /// The same client, with another habit.
    pub(crate) fn with(self, habit: Habit) -> Self {
        Self { habit, ..self }
    }

    /// Edits a little, connected or not. Returns the update made, if any.
    pub(crate) fn edit(&mut self, rng: &mut ChaCha8Rng) -> Option<Vec<u8>> {
        self.shown.take();
        let mut txn = self.yrs.transact_mut();
        match rng.random_range(0..14) {
            _ if self.content == Content::Rich && rng.random_bool(0.5) => {
                rich::edit(&self.text, &self.list, &mut txn, rng);
            }
            0..5 => content::write(&self.text, &mut txn, rng),
            5 | 6 => content::erase(&self.text, &mut txn, rng),
            7..10 => content::enter(&self.map, &mut txn, rng),
            10 | 11 if self.content == Content::Flat => {
                content::insert_value(&self.list, &mut txn, rng);
            }
            10 | 11 => content::grow(&self.list, &mut txn, rng),
            12 => content::shrink(&self.list, &mut txn, rng),
            _ => content::edit_within(&self.list, &mut txn, rng),
        }
        // Asked for here and not observed: what yrs 0.28 tells observers it
        // encodes after it has freed the types that were deleted, also those
        // that are still pointed to.
        let update = txn.encode_update_v1();
        (update != NOTHING).then_some(update)
    }

    /// An edit that it could make, and does not.
    pub(crate) fn forged(&self, rng: &mut ChaCha8Rng) -> Option<Vec<u8>> {
        let mut other = Self::new(self.id, self.doc, self.content);
        let known = other.apply(&self.encode());
        known.expect("it understands itself");
        other.edit(rng)
    }

    /// The frame that tells an update, if it tells it.
    pub(crate) fn tell(&self, update: &[u8], rng: &mut ChaCha8Rng) -> Option<Bytes> {
        match self.habit {
            Habit::Forgetful if rng.random_bool(0.1) => None,
            Habit::Sloppy => Some(protocol::update(&sloppy::rewrite(update))),
            _ => Some(protocol::update(update)),
        }
    }

    /// Says that it is still there, and what it does now, if that is new.
    pub(crate) fn announce(&mut self, state: Option<String>) -> Bytes {
        let own = self.awareness.entry(self.id).or_insert(Presence {
            clock: 0,
            state: None,
        });
        own.clock += 1;
        own.state = state.or_else(|| own.state.take());
        self.presence(&[self.id])
    }

    /// The connection is open: says what it knows and that it is there. Of
    /// others it keeps nothing over an interruption.
    pub(crate) fn opened(&mut self, conn: ConnId, now: Duration) -> Frames {
        self.link = Link::Open(conn);
        self.heard = now;
        self.in_vain = 0;
        let step_1 = self.ask();
        match self.habit {
            Habit::Shy => vec![step_1],
            _ => vec![step_1, self.presence(&[self.id])],
        }
    }

    /// Asks for what it does not know, as y-websocket does every now and then
    /// where it is told to.
    pub(crate) fn ask(&self) -> Bytes {
        let known = self.yrs.transact().state_vector().encode_v1();
        let mut step_1 = vec![0, 0];
        write_var_bytes(&mut step_1, &known);
        step_1.into()
    }

    /// Says that it goes.
    pub(crate) fn goodbye(&mut self) -> Bytes {
        let own = self.awareness.get_mut(&self.id);
        let own = own.expect("it knows of itself");
        own.clock += 1;
        let state = own.state.take();
        let frame = self.presence(&[self.id]);
        self.own_state(state);
        frame
    }

    fn own_state(&mut self, state: Option<String>) {
        let own = self.awareness.get_mut(&self.id);
        own.expect("it knows of itself").state = state;
    }

    /// The connection is gone: so is everybody else.
    pub(crate) fn closed(&mut self) {
        if let Link::Connecting(_) = self.link {
            self.in_vain += 1;
        }
        self.link = Link::Offline;
        for (id, presence) in &mut self.awareness {
            if *id != self.id {
                presence.state = None;
            }
        }
    }

    /// Takes a frame and answers it.
    pub(crate) fn receive(&mut self, now: Duration, frame: &[u8]) -> Result<Frames, ClientError> {
        self.heard = now;
        // Servers may say so; y-websocket logs it.
        if frame.first() == Some(&2) {
            return Ok(Vec::new());
        }
        let mut answers = Vec::new();
        let mut messages = Messages::new(frame);
        while let Some(message) = messages.read_next()? {
            match message {
                Message::SyncStep1(known) => {
                    let known = StateVector::decode_v1(known)?;
                    let diff = self.yrs.transact().encode_state_as_update_v1(&known);
                    answers.push(protocol::sync_step_2(&diff));
                }
                Message::SyncStep2(update) | Message::Update(update) => self.apply(update)?,
                Message::Awareness(states) => answers.extend(self.take_awareness(states)?),
                Message::QueryAwareness => answers.push(self.presence(&[self.id])),
            }
        }
        Ok(answers)
    }

    /// Takes an update, and what came before it too early and fits now.
    pub(crate) fn apply(&mut self, update: &[u8]) -> Result<(), ClientError> {
        self.apply_all([update])
    }

    /// Takes updates, as one change.
    fn apply_all<'a>(
        &mut self,
        updates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), ClientError> {
        let mut before = self.progress();
        self.integrate(updates)?;
        // What waits is worth another try only after something has come.
        while let Some(known) = before
            && self.progress().as_ref() != Some(&known)
        {
            before = self.progress();
            let early = std::mem::take(&mut self.early);
            self.integrate(early.iter().map(Vec::as_slice))?;
        }
        Ok(())
    }

    /// What it knows and how much of the rest waits, if any does.
    fn progress(&self) -> Option<(StateVector, usize)> {
        let waits = self.early.len();
        (waits > 0).then(|| (self.yrs.transact().state_vector(), waits))
    }

    /// Takes as much of updates as fits, and keeps those of which that is not
    /// all. The rest is not left to yrs 0.28, which moves structs to other
    /// clocks when it merges what waits behind several gaps.
    fn integrate<'a>(
        &mut self,
        updates: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), ClientError> {
        self.shown.take();
        let mut txn = self.yrs.transact_mut();
        for update in updates {
            txn.apply_update(Update::decode_v1(update)?)?;
            if txn.prune_pending().is_some() {
                self.early.push(update.to_vec());
            }
        }
        Ok(())
    }

    /// What it knows and another client does not.
    pub(crate) fn diff(&self, other: &Self) -> Vec<u8> {
        let known = other.yrs.transact().state_vector();
        self.yrs.transact().encode_diff_v1(&known)
    }

    /// What it shows, and of whom it knows how much: different edits can look
    /// the same.
    pub(crate) fn state(&self) -> String {
        let known = self.yrs.transact().state_vector();
        let known: BTreeMap<_, _> = known.iter().map(|(id, clock)| (id.get(), *clock)).collect();
        format!("{} {known:?}", self.content())
    }

    /// All it knows, as one update.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let txn = self.yrs.transact();
        txn.encode_state_as_update_v1(&StateVector::default())
    }

    /// What it knows.
    pub(crate) fn ids(&self) -> Ids {
        let nothing = StateVector::default();
        Ids::of_valid(&self.yrs.transact().encode_diff_v1(&nothing))
    }

    /// Whether something of what it knows builds on what it does not know. Some of
    /// that yrs 0.28 shows, and tells only those who know the same as itself.
    pub(crate) fn waits(&self) -> bool {
        !self.early.is_empty() || self.ids().gap_runs() > 0
    }

    /// What it shows.
    pub(crate) fn content(&self) -> String {
        self.shown.get_or_init(|| self.write_down()).clone()
    }

    fn write_down(&self) -> String {
        let txn = self.yrs.transact();
        let mut shown = String::new();
        for part in [
            Out::YText(self.text.clone()),
            Out::YMap(self.map.clone()),
            Out::YArray(self.list.clone()),
        ] {
            content::show(&part, &txn, &mut shown);
        }
        if !self.early.is_empty() {
            shown.push_str(WAITS);
        }
        shown
    }

    /// Who it believes is there.
    pub(crate) fn present(&self) -> BTreeMap<u64, String> {
        let here = |(id, presence): (&u64, &Presence)| Some((*id, presence.state.clone()?));
        self.awareness.iter().filter_map(here).collect()
    }

    /// Takes awareness as y-protocols does; what changed is announced to the
    /// server again, as y-websocket does. Somebody else's word that it is gone
    /// makes a client raise its clock.
    fn take_awareness(&mut self, message: &[u8]) -> Result<Option<Bytes>, ClientError> {
        let mut reader = Reader::new(message);
        let mut changed = Vec::new();
        for _ in 0..reader.var_uint()? {
            let (id, clock) = (reader.var_uint()?, reader.var_uint()?);
            let state = Some(reader.var_str()?).filter(|state| *state != "null");
            let known = self.awareness.get(&id);
            let counts = known.is_none_or(|known| {
                known.clock < clock
                    || (known.clock == clock && state.is_none() && known.state.is_some())
            });
            if !counts {
                continue;
            }
            let mut news = Presence {
                clock,
                state: state.map(str::to_owned),
            };
            if id == self.id && state.is_none() {
                news.clock += 1;
                news.state = known.and_then(|own| own.state.clone());
            }
            self.awareness.insert(id, news);
            changed.push(id);
        }
        Ok((!changed.is_empty()).then(|| self.presence(&changed)))
    }

    fn presence(&self, ids: &[u64]) -> Bytes {
        let mut out = Vec::new();
        write_var_uint(&mut out, ids.len() as u64);
        for id in ids {
            let presence = &self.awareness[id];
            write_var_uint(&mut out, *id);
            write_var_uint(&mut out, presence.clock);
            let state = presence.state.as_deref().unwrap_or("null");
            write_var_bytes(&mut out, state.as_bytes());
        }
        protocol::awareness(&out)
    }
}

/// What an update tells somebody who knows nothing.
pub(crate) fn content_of<'a>(
    updates: impl IntoIterator<Item = &'a [u8]>,
) -> Result<String, ClientError> {
    let mut reader = Client::new((1 << 53) - 3, 0, Content::Nested);
    reader.apply_all(updates)?;
    Ok(reader.content())
}
