//! One engine and the loop that drives it.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::VecDeque,
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use rustc_hash::FxHashMap;
use tokio::{
    sync::Notify,
    task::spawn_local,
    time::{Instant, sleep_until},
};
use ysyncd_engine::{
    BusInput, CloseCode, Config, ConnId, DocId, Engine, Input, Inspection, InspectionLimits, Now,
    OpId, Output, Status, StoreCommand, StoreResult,
    marks::{self, Mark},
    planted::{self, Bug},
};

use crate::{
    Drained,
    bus::{self, BusQueue},
    event::EventLog,
    flush::FlushQueue,
    journal::{self, Answer, JournalQueue},
    mailbox::{CloseOrder, Mailbox},
    metrics::Metrics,
    outgoing::SpareQueues,
    shared::Shared,
    store,
    unfinished::Unfinished,
    user_rate::UserRates,
};

/// Room for what is read and written in one go, shared by the connections of
/// a shard so that an idle one holds none.
pub(crate) const SCRATCH_BYTES: usize = 64 << 10;

/// One engine with everything that belongs to it. Lives on one thread.
pub(crate) struct Shard {
    engine: RefCell<Engine>,
    inputs: RefCell<VecDeque<Input>>,
    /// Looked up for every message to everybody. Nobody outside chooses the
    /// numbers, so a hash that one could flood will do.
    mailboxes: RefCell<FxHashMap<ConnId, Rc<Mailbox>>>,
    numbers: RefCell<Numbers>,
    flush_queue: FlushQueue,
    spare_queues: Rc<SpareQueues>,
    journal_queue: JournalQueue,
    bus_queue: Rc<BusQueue>,
    /// When the timer is set to go off. `None` if it is not set.
    armed: Cell<Option<Duration>>,
    rearm: Notify,
    /// What the engine reported in the end; it takes no input after that.
    drained: RefCell<Option<Rc<Drained>>>,
    drained_notify: Notify,
    /// Set while the engine handles an input. Found set by the next one, it
    /// means that the engine broke off in the middle.
    handling: Cell<bool>,
    scratch: RefCell<Box<[u8]>>,
    shared: Arc<Shared>,
}

/// Numbers for connections: those of one shard are no other's, so that they
/// name one connection in the log.
pub(crate) type Numbers = std::iter::StepBy<std::ops::RangeFrom<u64>>;

impl Shard {
    /// A shard whose connections have these numbers.
    pub(crate) fn new(config: Config, seed: u64, numbers: Numbers, shared: Arc<Shared>) -> Self {
        debug_assert_eq!(config.journal, shared.has_journal());
        debug_assert_eq!(config.node.is_some(), shared.cluster.is_some());
        Self {
            engine: RefCell::new(Engine::new(config, seed)),
            inputs: RefCell::default(),
            mailboxes: RefCell::default(),
            numbers: RefCell::new(numbers),
            flush_queue: FlushQueue::default(),
            spare_queues: Rc::default(),
            journal_queue: JournalQueue::default(),
            bus_queue: Rc::new(BusQueue::new(shared.metrics.bus.clone())),
            armed: Cell::new(None),
            rearm: Notify::new(),
            drained: RefCell::default(),
            drained_notify: Notify::new(),
            handling: Cell::new(false),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            shared,
        }
    }

    /// Hands one input to the engine and carries out everything that it asks
    /// for in answer.
    pub(crate) fn input(self: &Rc<Self>, input: Input) {
        self.input_all([input]);
    }

    /// The same for many inputs, in one turn: what connections are sent in
    /// answer to all of them leaves together.
    fn input_all(self: &Rc<Self>, inputs: impl IntoIterator<Item = Input>) {
        self.inputs.borrow_mut().extend(inputs);
        self.drive();
    }

    /// Hands one input to the engine soon, without running it here.
    pub(crate) fn input_later(&self, input: Input) {
        self.input_with_next(input);
        self.rearm.notify_one();
    }

    /// Hands one input to the engine when it runs next, whatever for.
    pub(crate) fn input_with_next(&self, input: Input) {
        self.inputs.borrow_mut().push_back(input);
    }

    /// Has what is in a mailbox written at the end of the turn.
    pub(crate) fn flush_soon(&self, mailbox: &Rc<Mailbox>) {
        self.flush_queue.push(mailbox);
    }

    /// Makes a connection known and gives it a number never used before.
    pub(crate) fn register(&self) -> (ConnId, Rc<Mailbox>) {
        let number = self.numbers.borrow_mut().next();
        let conn = ConnId(number.expect("there are enough for ever"));
        let mailbox = Rc::new(Mailbox::new(Rc::clone(&self.spare_queues)));
        self.mailboxes
            .borrow_mut()
            .insert(conn, Rc::clone(&mailbox));
        (conn, mailbox)
    }

    /// Forgets a connection: what the engine still says to it is dropped.
    pub(crate) fn unregister(&self, conn: ConnId) {
        self.mailboxes.borrow_mut().remove(&conn);
    }

    /// Tells the engine when its time has come, until it has drained.
    pub(crate) async fn keep_time(self: Rc<Self>) {
        loop {
            tokio::select! {
                biased;
                _ = self.drained() => return,
                () = self.rearm.notified() => self.drive(),
                () = self.alarm() => self.input(Input::Tick),
            }
        }
    }

    /// Writes for connections at the end of each turn, until the engine has
    /// drained: then all close, and connections that close write themselves.
    pub(crate) async fn keep_flushing(self: Rc<Self>) {
        loop {
            tokio::select! {
                biased;
                _ = self.drained() => return,
                () = self.flush_queue.turn_ends() => {}
            }
            self.flush_queue.flush_some();
            if self.is_broken() {
                // The connection in which the engine panicked ends everything.
                return;
            }
            // The engine hears of all that was written in one go.
            self.drive();
        }
    }

    /// Tells the engine which documents the journal holds changes of from an
    /// earlier life. To be done before anything else.
    pub(crate) fn announce_journal(self: &Rc<Self>, docs: Vec<DocId>) {
        if self.shared.has_journal() {
            self.input(Input::JournalHolds { docs });
        }
    }

    /// Carries out what the engine asks of the journal, until it has drained.
    pub(crate) async fn keep_journal(self: Rc<Self>) {
        let Some(journal) = self.shared.stores.journal.clone() else {
            return;
        };
        let answered = |answers: Vec<Answer>| {
            let answers = answers.into_iter();
            self.input_all(answers.map(|(op, result)| Input::Journal { op, result }));
        };
        tokio::select! {
            biased;
            _ = self.drained() => {}
            never = journal::drive(journal, &self.journal_queue, &self.metrics().journal, answered) =>
                match never {},
        }
    }

    /// Carries messages to and from other nodes, until the engine has drained.
    pub(crate) async fn keep_bus(self: Rc<Self>) {
        let Some(cluster) = &self.shared.cluster else {
            return;
        };
        let shard = Rc::clone(&self);
        let hand_over = move |inputs: Vec<BusInput>| {
            shard.input_all(inputs.into_iter().map(Input::Bus));
        };
        let (bus, queue) = (Arc::clone(&cluster.bus), Rc::clone(&self.bus_queue));
        bus::drive(bus, queue, Rc::new(hand_over), self.drained()).await;
    }

    /// Has the engine close all connections and save what is not saved, for
    /// as long as `timeout`.
    pub(crate) fn shut_down(self: &Rc<Self>, timeout: Duration) {
        let deadline = self.now().mono + timeout;
        self.input(Input::Shutdown { deadline });
    }

    /// Waits for the end of the shutdown and says what stays unsaved.
    pub(crate) async fn drained(&self) -> Rc<Drained> {
        loop {
            let drained = self.drained_notify.notified();
            if let Some(left) = &*self.drained.borrow() {
                return Rc::clone(left);
            }
            drained.await;
        }
    }

    /// True if the engine panicked while it handled an input.
    pub(crate) fn is_broken(&self) -> bool {
        self.handling.get() && self.engine.try_borrow_mut().is_ok()
    }

    /// Room for one read or one write. Not to be held across either.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    pub(crate) fn events(&self) -> &EventLog {
        &self.shared.events
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn unfinished(&self) -> &Arc<Unfinished> {
        &self.shared.unfinished
    }

    pub(crate) fn user_rates(&self) -> &UserRates {
        &self.shared.user_rates
    }

    /// How the engine stands.
    pub(crate) fn status(&self) -> Status {
        self.engine.borrow().status(self.now())
    }

    /// What the engine holds, document by document.
    pub(crate) fn inspect(&self, limits: InspectionLimits) -> Inspection {
        self.engine.borrow().inspect(self.now(), limits)
    }

    fn now(&self) -> Now {
        self.shared.now()
    }

    /// Feeds the engine until its input is used up. Called again from within
    /// itself, it leaves the rest to the call that is already running.
    fn drive(self: &Rc<Self>) {
        let Ok(mut engine) = self.engine.try_borrow_mut() else {
            return;
        };
        // What came together came now, and is soon handled.
        let now = self.now();
        while let Some(input) = self.next_input() {
            let broken = self.handling.replace(true);
            assert!(!broken, "an engine that panicked is not used again");
            engine.handle(now, input);
            while let Some(output) = engine.poll_output() {
                self.execute(output);
            }
            self.handling.set(false);
        }
        self.arm(engine.poll_timeout());
    }

    fn next_input(&self) -> Option<Input> {
        let input = self.inputs.borrow_mut().pop_front();
        input.filter(|_| self.drained.borrow().is_none())
    }

    fn execute(self: &Rc<Self>, output: Output) {
        match output {
            Output::Accept { conn } => self.with_mailbox(conn, |mailbox| mailbox.admit(Ok(()))),
            Output::Refuse { conn, reason } => {
                self.with_mailbox(conn, |mailbox| mailbox.admit(Err(reason)));
            }
            Output::Send { conns, frame } => {
                let mailboxes = self.mailboxes.borrow();
                for mailbox in conns.iter().filter_map(|conn| mailboxes.get(conn)) {
                    mailbox.send(frame.clone());
                    self.flush_queue.push(mailbox);
                }
            }
            Output::Close { conn, code, reason } => {
                self.with_mailbox(conn, |mailbox| mailbox.close(CloseOrder { code, reason }));
            }
            Output::Pause { conn } => self.with_mailbox(conn, |mailbox| mailbox.pause(true)),
            Output::Resume { conn } => self.with_mailbox(conn, |mailbox| mailbox.pause(false)),
            Output::Store { op, command } => {
                spawn_local(Rc::clone(self).store(op, command));
            }
            Output::Journal { op, command } => self.journal_queue.push(op, command),
            Output::Bus(command) => self.bus_queue.push(command),
            Output::Event(event) => {
                self.metrics().record(&event);
                self.shared.events.write(&event);
            }
            Output::Drained { unsaved, journaled } => {
                let left = Drained { unsaved, journaled };
                *self.drained.borrow_mut() = Some(Rc::new(left));
                self.drained_notify.notify_waiters();
                self.close_all();
            }
        }
    }

    async fn store(self: Rc<Self>, op: OpId, command: StoreCommand) {
        let start = Instant::now();
        self.metrics().snapshots.asked(&command);
        let snapshots = Arc::clone(&self.shared.stores.snapshots);
        let result = store::execute(snapshots, command).await;
        self.metrics().snapshots.answered(&result, start.elapsed());
        if matches!(result, StoreResult::Loaded(Ok(_))) {
            self.shared.readiness.reached();
        }
        self.input(Input::Store { op, result });
    }

    /// Closes the connections that the engine had no time to close, in the
    /// order in which they came, so that equal runs do so equally.
    fn close_all(&self) {
        let mailboxes = self.mailboxes.borrow();
        let mut conns: Vec<_> = mailboxes.keys().collect();
        conns.sort_unstable();
        for conn in conns {
            mailboxes[conn].close(CloseOrder {
                code: CloseCode::GoingAway,
                reason: "the server is shutting down".into(),
            });
        }
    }

    fn with_mailbox(&self, conn: ConnId, then: impl FnOnce(&Mailbox)) {
        if let Some(mailbox) = self.mailboxes.borrow().get(&conn) {
            then(mailbox);
        }
    }

    /// Sets the timer. One that goes off too early costs one spurious tick,
    /// so it is only ever set anew for an earlier time.
    fn arm(&self, due: Option<Duration>) {
        let Some(due) = due else { return };
        let is_earlier = |armed| due < armed && !planted::is(Bug::AlarmNotMovedUp);
        if self.armed.get().is_none_or(is_earlier) {
            marks::hit_if(Mark::AlarmMovedUp, || self.armed.get().is_some());
            self.armed.set(Some(due));
            self.rearm.notify_one();
        }
    }

    async fn alarm(&self) {
        match self.armed.get() {
            Some(due) => {
                sleep_until(self.shared.instant(due)).await;
                self.armed.set(None);
            }
            None => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("connections", &self.mailboxes.borrow().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
