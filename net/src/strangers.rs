//! Those who have connected and not yet asked for a document.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for strangers. While all are taken, more wait in the kernel's
/// backlog; so that one address cannot take them all, it gets only some. While most
/// are taken, each is given back after one answer: who asks again and again would keep
/// its place for ever.
#[derive(Debug)]
pub(crate) struct Strangers {
    places: Arc<Semaphore>,
    max: usize,
    taken: Cell<usize>,
    per_address_max: usize,
    addresses: RefCell<HashMap<IpAddr, usize>>,
}

/// A stranger's place, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct StrangerPlace {
    _permit: OwnedSemaphorePermit,
    strangers: Rc<Strangers>,
    address: Option<IpAddr>,
}

impl Strangers {
    pub(crate) fn new(max: usize, per_address_max: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(max)),
            max,
            taken: Cell::new(0),
            per_address_max,
            addresses: RefCell::default(),
        }
    }

    /// Waits for a free place.
    pub(crate) async fn free(&self) -> OwnedSemaphorePermit {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        permit.expect("the semaphore is never closed")
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
        Some(StrangerPlace {
            _permit: permit,
            strangers: Rc::clone(self),
            address,
        })
    }
}

impl StrangerPlace {
    /// Whether more than half of all places are taken, so that this one is not to be
    /// kept from one request to the next.
    pub(crate) fn is_scarce(&self) -> bool {
        self.strangers.taken.get() > self.strangers.max / 2
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
