//! Whether all holds that always must: for simulations and debugging.

use std::{collections::BTreeMap, time::Duration};

use super::{DocKey, Engine, Link, slot::Totals};
use crate::document::DocumentState;

/// The content of documents as it was checked last.
#[derive(Debug, Default)]
pub struct Checked(BTreeMap<DocKey, DocumentState>);

impl Checked {
    fn check(&mut self, document: DocKey, state: &DocumentState) {
        if self.0.get(&document) != Some(state) {
            state.check();
            self.0.insert(document, state.clone());
        }
    }
}

impl Engine {
    /// Panics if something does not hold that always must, looking at all
    /// there is.
    pub fn check(&self) {
        self.check_with(|_, state| state.check());
    }

    /// The same, without looking once more into the content of documents that is, in
    /// each byte and in all that is known of it, as it was when it was checked last.
    pub fn check_changed(&self, checked: &mut Checked) {
        checked.0.retain(|key, _| self.documents.contains_key(key));
        self.check_with(|key, state| checked.check(key, state));
    }

    fn check_with(&self, mut check_state: impl FnMut(DocKey, &DocumentState)) {
        assert_eq!(self.documents.len(), self.names.len());
        let mut totals = Totals::default();
        for (key, slot) in &self.documents {
            slot.document
                .check(&self.config, |state| check_state(*key, state));
            assert_eq!(self.names.get(&slot.name), Some(key));
            let timeout = slot.document.next_timeout();
            assert_eq!(slot.due.is_some(), timeout.is_some());
            assert!(slot.due <= timeout);
            let is_due = |due: Duration| self.due.contains(&(due, *key));
            assert!(slot.due.is_none_or(is_due));
            assert_eq!(slot.idle_since.is_some(), slot.document.is_idle());
            assert_eq!(slot.is_loading, slot.document.is_loading());
            totals.documents += slot.document.bytes();
            totals.unsaved += slot.document.unsaved_bytes();
        }
        assert_eq!(self.totals, totals);
        let slots = || self.documents.values();
        let timeouts = slots().filter(|slot| slot.due.is_some());
        assert_eq!(self.due.len(), timeouts.count());
        assert_eq!(self.pushing, slots().filter(|slot| slot.pushed).count());
        let waiting = slots().map(|slot| slot.document.waiting_for_answers());
        self.answers.check(waiting.sum());
        let is_here = |link: &Link| self.documents.contains_key(&link.document);
        assert!(self.connections.values().all(is_here));
        assert!(self.backlog.docs().all(|doc| !self.names.contains_key(doc)));
    }
}
