//! Panics, wherever they are caught: servers go on after one in the task of a
//! connection, but none may happen.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes the panics of every thread from now on, besides what is done about
/// them already.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            LAST.set(Some(info.to_string()));
            others(info);
        }));
    });
}

/// The last panic of this thread, once.
pub(super) fn take() -> Option<String> {
    LAST.take()
}
