//! Those who have connected and not yet asked for a document.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::pending,
    net::IpAddr,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

/// For so long nobody has to give way. What a client says comes right behind what
/// opens its connection: it does not wait for an answer first.
const SILENCE_BORNE: Duration = Duration::from_millis(500);

/// The places for strangers. While all are taken, more wait in the kernel's
/// backlog; so that one address cannot take them all, it gets only some. While most
/// are taken, each is given back after one answer: who asks again and again would keep
/// its place for ever. While all are, those from whom nothing has come give way, the
/// oldest first.
#[derive(Debug)]
pub(crate) struct Strangers {
    places: Arc<Semaphore>,
    max: usize,
    taken: Cell<usize>,
    per_address_max: usize,
    addresses: RefCell<HashMap<IpAddr, usize>>,
    /// In the order in which they came, and among them some who have spoken or gone.
    silent: RefCell<VecDeque<Weak<Silence>>>,
}

/// A stranger's place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct StrangerPlace {
    _permit: OwnedSemaphorePermit,
    strangers: Rc<Strangers>,
    address: Option<IpAddr>,
    silence: Rc<Silence>,
}

/// Whether anything has come from a stranger.
#[derive(Debug)]
pub(crate) struct Silence {
    since: Instant,
    /// Set when something comes.
    pub(crate) is_broken: Cell<bool>,
    gives_way: Notify,
}

impl Strangers {
    pub(crate) fn new(max: usize, per_address_max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(max)),
            max,
            taken: Cell::new(0),
            per_address_max,
            addresses: RefCell::default(),
            silent: RefCell::default(),
        }
    }

    /// Waits for a free place, and sees to it that there is one soon.
    pub(crate) async fn free(&self) -> OwnedSemaphorePermit {
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&self.places).acquire_owned() => permit,
            never = self.make_way() => match never {},
        };
        permit.expect("the semaphore is never closed")
    }

    /// Has the one go who has been silent for longest, once that is long enough.
    async fn make_way(&self) -> Infallible {
        while let Some(oldest) = self.oldest_silent() {
            sleep_until(oldest.since + SILENCE_BORNE).await;
            if !oldest.is_broken.get() {
                oldest.gives_way.notify_one();
                break;
            }
        }
        // Its place is free when it has gone. Where all have spoken, each has its time.
        pending().await
    }

    fn oldest_silent(&self) -> Option<Rc<Silence>> {
        let mut silent = self.silent.borrow_mut();
        while let Some(first) = silent.front() {
            let first = first.upgrade().filter(|first| !first.is_broken.get());
            if first.is_some() {
                return first;
            }
            silent.pop_front();
        }
        None
    }

    /// Whoever has gone since, or spoken, is of no interest any more.
    fn note(&self, silence: &Rc<Silence>) {
        let mut silent = self.silent.borrow_mut();
        if silent.len() >= 2 * self.max {
            silent.retain(|one| one.upgrade().is_some_and(|one| !one.is_broken.get()));
        }
        silent.push_back(Rc::downgrade(silence));
    }

    /// Gives a free place to somebody. `None` if its address has too many.
    pub(crate) fn seat(
        self: &Rc<Self>,
        permit: OwnedSemaphorePermit,
        address: Option<IpAddr>,
    ) -> Option<StrangerPlace> {
        if let Some(address) = address {
            let mut addresses = self.addresses.borrow_mut();
            let count = addresses.entry(address).or_default();
            if *count >= self.per_address_max {
                return None;
            }
            *count += 1;
        }
        self.taken.set(self.taken.get() + 1);
        let silence = Rc::new(Silence {
            since: Instant::now(),
            is_broken: Cell::new(false),
            gives_way: Notify::new(),
        });
        self.note(&silence);
        Some(StrangerPlace {
            _permit: permit,
            strangers: Rc::clone(self),
            address,
            silence,
        })
    }
}

impl StrangerPlace {
    /// Whether its stranger has said anything.
    pub(crate) fn silence(&self) -> Rc<Silence> {
        Rc::clone(&self.silence)
    }

    /// Whether more than half of all places are taken, so that this one is not to be
    /// kept from one request to the next.
    pub(crate) fn is_scarce(&self) -> bool {
        self.strangers.taken.get() > self.strangers.max / 2
    }
}

impl Silence {
    /// Waits until its stranger has to go.
    pub(crate) async fn has_to_end(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for StrangerPlace {
    fn drop(&mut self) {
        self.strangers.taken.set(self.strangers.taken.get() - 1);
        let Some(address) = self.address else { return };
        let mut addresses = self.strangers.addresses.borrow_mut();
        let count = addresses.get_mut(&address).expect("it was counted in");
        *count -= 1;
        if *count == 0 {
            addresses.remove(&address);
        }
    }
}
