//! What a document keeps of what connections know, until they are told the rest.
//!
//! A state vector has an entry for each client that ever wrote to the document,
//! and each connection that waits may have one of its own. Their memory is
//! bounded: to one whose vector is not kept, all there is is told, which is never
//! wrong.

use std::sync::Arc;

use super::{Context, Document};
use crate::{
    id::ConnId,
    marks::{self, Mark},
    planted::{self, Bug},
    state_vector::StateVector,
};

impl Document {
    /// A connection has said what it knows, and has to wait.
    pub(super) fn keep_asked(&mut self, cx: Context<'_>, conn: ConnId) {
        let Some(mut known) = self.connection(conn).pending_step_1.take() else {
            return;
        };
        // Of others it need not be told anything, or has to be told all.
        known.retain(|client| self.state.knows_client(client));
        let kept = self.kept(cx, known);
        self.connection(conn).pending_step_1 = Some(kept);
    }

    /// The same, to be kept for connections that are left out.
    pub(super) fn keep_known(&mut self, cx: Context<'_>, known: StateVector) -> Arc<StateVector> {
        Arc::new(self.kept(cx, known))
    }

    /// Memory that it takes to know what connections know. Those who were left out
    /// together share it.
    pub(super) fn known_bytes(&self) -> usize {
        let connections = || self.connections.values();
        let asked = connections().filter_map(|connection| connection.pending_step_1.as_ref());
        let missed = connections().filter_map(|connection| connection.outbox.knows());
        let mut missed: Vec<_> = missed.collect();
        missed.sort_by_key(|known| Arc::as_ptr(known));
        missed.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let asked = asked.map(StateVector::memory).sum::<usize>();
        asked + missed.iter().map(|known| known.memory()).sum::<usize>()
    }

    /// A state vector, or one that says less if there is no room for it.
    fn kept(&mut self, cx: Context<'_>, known: StateVector) -> StateVector {
        let (bytes, most) = (known.memory(), cx.config.known_bytes_max);
        if self.known_bytes_at_most + bytes > most {
            self.known_bytes_at_most = self.known_bytes();
        }
        if self.known_bytes_at_most + bytes > most && !planted::is(Bug::KnownUnbounded) {
            marks::hit_if(Mark::KnownForgotten, || bytes > 0);
            return StateVector::default();
        }
        self.known_bytes_at_most += bytes;
        known
    }
}
