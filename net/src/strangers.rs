//! Those who have connected and not yet asked for a document.

use std::{cell::RefCell, collections::HashMap, net::IpAddr, rc::Rc, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for strangers. While all are taken, more wait in the kernel's
/// backlog; so that one address cannot take them all, it gets only some.
#[derive(Debug)]
pub(crate) struct Strangers {
    places: Arc<Semaphore>,
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
        Some(StrangerPlace {
            _permit: permit,
            strangers: Rc::clone(self),
            address,
        })
    }
}

impl Drop for StrangerPlace {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut addresses = self.strangers.addresses.borrow_mut();
        let count = addresses.get_mut(&address).expect("it was counted in");
        *count -= 1;
        if *count == 0 {
            addresses.remove(&address);
        }
    }
}
