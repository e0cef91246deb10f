//! A shard on another thread, seen from the one that accepts connections, and
//! what it does there.
//!
//! A connection is made known to the shard before its handshake is answered, as
//! the engine has the last word. Its stream follows when that is done; from then
//! on it belongs to the shard, and nothing of it crosses threads again.

use std::{io, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;
use ysyncd_engine::{
    DocId, Inspection, InspectionLimits, Refusal, Status,
    marks::{self, Mark},
    planted::{self, Bug},
};

use crate::{
    Config, Drained, Listener, connection,
    http::Upgraded,
    keeper::Keeper,
    link::{Link, Opening},
    shard::{Numbers, Shard},
    shared::Shared,
    workers::Ended,
};

/// What is asked of a shard elsewhere. Nobody waits for room: connections are
/// counted before they ask, and who asks for other things waits for the answer, or
/// is not answered.
pub(crate) struct Remote<P> {
    commands: mpsc::UnboundedSender<Command<P>>,
}

/// A connection that the engine of another shard knows and has accepted. If this
/// is dropped, the engine hears that it is gone.
pub(crate) struct Reservation<P> {
    stream: oneshot::Sender<Parked<P>>,
}

/// A stream on its way, and what was read of it ahead.
struct Parked<P> {
    stream: P,
    ahead: Bytes,
}

enum Command<P> {
    Open(
        Box<Opening>,
        oneshot::Sender<Result<Reservation<P>, Refusal>>,
    ),
    Status(oneshot::Sender<Status>),
    Inspect(InspectionLimits, oneshot::Sender<Inspection>),
    ShutDown(Duration),
}

/// Everything that a shard needs to begin elsewhere.
pub(crate) struct Seat {
    pub(crate) config: Config,
    pub(crate) numbers: Numbers,
    pub(crate) shared: Arc<Shared>,
    pub(crate) in_journal: Vec<DocId>,
}

/// What a shard elsewhere says in the end.
pub(crate) struct Endings {
    /// It is drained, and lives on for as long as there is its [`Remote`].
    pub(crate) drained: oneshot::Receiver<Drained>,
    pub(crate) ended: Ended,
}

impl<P: Send + 'static> Remote<P> {
    /// Starts a shard elsewhere.
    ///
    /// # Errors
    /// The system has no thread left, or no descriptor.
    pub(crate) fn start<L>(name: String, seat: Seat) -> io::Result<(Self, Endings)>
    where
        L: Listener<Parked = P>,
    {
        let (commands, received) = mpsc::unbounded_channel();
        let (draining, drained) = oneshot::channel();
        let workers = seat.config.workers;
        let ended = workers.start(name, move || run::<L>(seat, received, draining))?;
        Ok((Self { commands }, Endings { drained, ended }))
    }

    /// Asks the shard's engine for a document.
    ///
    /// # Errors
    /// The engine refuses.
    pub(crate) async fn open(&self, opening: Opening) -> Result<Reservation<P>, Refusal> {
        let asked = self.ask(|answer| Command::Open(Box::new(opening), answer));
        asked.await.unwrap_or(Err(Refusal::ShuttingDown))
    }

    /// How its engine stands. An error if it has ended.
    pub(crate) fn status(&self) -> oneshot::Receiver<Status> {
        self.ask(Command::Status)
    }

    /// What its engine holds. An error if it has ended.
    pub(crate) fn inspect(&self, limits: InspectionLimits) -> oneshot::Receiver<Inspection> {
        self.ask(|answer| Command::Inspect(limits, answer))
    }

    /// See [`Shard::shut_down`].
    pub(crate) fn shut_down(&self, timeout: Duration) {
        let _ = self.commands.send(Command::ShutDown(timeout));
    }

    fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command<P>,
    ) -> oneshot::Receiver<T> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(command(answer));
        answered
    }
}

impl<P> Reservation<P> {
    /// Gives the shard the stream of the connection.
    pub(crate) fn hand_over(self, stream: P, ahead: Bytes) {
        let ahead = match planted::is(Bug::AheadLost) {
            true => Bytes::new(),
            false => ahead,
        };
        let _ = self.stream.send(Parked { stream, ahead });
    }
}

/// The life of a shard elsewhere.
async fn run<L: Listener>(
    seat: Seat,
    mut commands: mpsc::UnboundedReceiver<Command<L::Parked>>,
    draining: oneshot::Sender<Drained>,
) {
    let Seat {
        config,
        numbers,
        shared,
        in_journal,
    } = seat;
    let mut keeper = Keeper::start(Rc::new(config), numbers, shared, in_journal);
    let shard = Rc::clone(keeper.shard());
    let drained = shard.drained();
    tokio::pin!(drained);
    let mut draining = Some(draining);
    // Held by each connection whose client does not know yet whether it is let in.
    let unanswered = Rc::new(());
    loop {
        // Nobody listens to an answer that comes after this is told.
        let may_tell = draining.is_some() && Rc::strong_count(&unanswered) == 1;
        tokio::select! {
            biased;
            left = &mut drained, if may_tell => {
                let draining = draining.take().expect("it was there");
                let _ = draining.send(Drained::clone(&left));
            }
            () = keeper.reap() => {}
            // Goes on until nobody asks any more: another shard that still saves
            // may do so over a connection to the store that lives here.
            command = commands.recv() => match command {
                Some(command) => obey::<L>(&mut keeper, command, &unanswered),
                None => break,
            },
        }
    }
    // Otherwise the server was dropped as it is, and so is this.
    if draining.is_none() {
        keeper.end().await;
    }
}

fn obey<L: Listener>(keeper: &mut Keeper, command: Command<L::Parked>, unanswered: &Rc<()>) {
    let shard = keeper.shard();
    match command {
        Command::Open(opening, answer) => {
            let (shard, config) = (Rc::clone(shard), Rc::clone(keeper.config()));
            let answer = (answer, Rc::clone(unanswered));
            keeper.spawn(serve_stream::<L>(shard, config, opening, answer));
        }
        // Who asked may have lost patience: looking at all documents takes time.
        Command::Status(answer) if answer.is_closed() => {}
        Command::Inspect(_, answer) if answer.is_closed() => {}
        Command::Status(answer) => _ = answer.send(shard.status()),
        Command::Inspect(limits, answer) => _ = answer.send(shard.inspect(limits)),
        Command::ShutDown(timeout) => shard.shut_down(timeout),
    }
}

/// Where the engine's answer to an opening goes, and what says that it has not gone.
type Answer<P> = (oneshot::Sender<Result<Reservation<P>, Refusal>>, Rc<()>);

/// Takes a connection from its request for a document to its end.
fn serve_stream<L: Listener>(
    shard: Rc<Shard>,
    config: Rc<Config>,
    opening: Box<Opening>,
    answer: Answer<L::Parked>,
) -> impl Future<Output = ()> {
    // Boxed with all that it takes, so that an idle WebSocket does not keep the
    // room of what came before.
    let opened = Box::pin(async move {
        let upgraded = admit::<L>(&shard, opening, answer).await?;
        Some(connection::run(upgraded, config))
    });
    async move {
        let connection = opened.await;
        if let Some(connection) = connection {
            connection.await;
        }
    }
}

/// Waits for the engine's word, then for the stream. If the client goes away
/// meanwhile, nobody waits for the answer any more, or no stream comes, and the
/// link is dropped.
async fn admit<L: Listener>(
    shard: &Rc<Shard>,
    opening: Box<Opening>,
    (mut answer, unanswered): Answer<L::Parked>,
) -> Option<Upgraded<L::Stream>> {
    let link = Link::open(shard, *opening);
    let admitted = tokio::select! {
        biased;
        () = answer.closed() => {
            marks::hit(Mark::GoneBeforeAnswer);
            if planted::is(Bug::ReservationKept) {
                std::future::pending::<()>().await;
            }
            return None;
        }
        admitted = link.admission() => admitted,
        // The engine takes no input any more.
        _ = shard.drained() => Err(Refusal::ShuttingDown),
    };
    let (stream, handed_over) = oneshot::channel();
    let reservation = admitted.map(|()| Reservation { stream });
    let is_in = reservation.is_ok();
    let is_heard = answer.send(reservation).is_ok();
    drop(unanswered);
    if !(is_in && is_heard) {
        return None;
    }
    let Parked { stream, ahead } = handed_over.await.ok()?;
    marks::hit(Mark::HandedOver);
    let stream = L::resume(stream)
        .inspect_err(|error| debug!(%error, "a connection could not be taken over"))
        .ok()?;
    Some(Upgraded {
        stream,
        ahead,
        link,
    })
}
