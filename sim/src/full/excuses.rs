//! For what a server may close a connection though its client did no wrong.

use std::time::Duration;

use ysyncd_engine::protocol::{Message, Messages};

use super::scene::Scene;

/// From here on an outbox is so large that nobody lags where all works.
const ROOMY: usize = 1_000;

/// What a client knows of its connection that may excuse a close.
#[derive(Debug)]
pub(super) struct Excuses {
    node: usize,
    /// The node's life when it was asked for the connection.
    life: u64,
    /// Since then nothing goes wrong any more.
    is_peaceful: bool,
    /// Bytes of messages since the last answer to a `SyncStep1`, which counts
    /// against no limit.
    unasked: usize,
    /// When the token expires.
    pub(super) until: Option<Duration>,
}

impl Excuses {
    /// Before anything is said to a node.
    pub(super) fn new(scene: &Scene, node: usize) -> Self {
        Self {
            node,
            life: scene.nodes[node].life.get(),
            is_peaceful: scene.is_healed(),
            unasked: 0,
            until: None,
        }
    }

    /// A message comes.
    pub(super) fn hear(&mut self, message: &[u8]) {
        match Messages::new(message).read_next() {
            Ok(Some(Message::SyncStep2(_))) => self.unasked = 0,
            _ => self.unasked += message.len(),
        }
    }

    /// Whether the server may close with this code and reason.
    pub(super) fn cover(&self, scene: &Scene, code: u16, reason: &str) -> bool {
        match code {
            // A life that has not begun then was not told either.
            1001 => scene.nodes[self.node].told.get() >= Some(self.life),
            1011 => scene.swarm.panics,
            4401 => self.has_expired(scene),
            1013 => reason.contains("slow") && self.may_lag(scene),
            _ => false,
        }
    }

    /// Whether the token is good no longer. Hosts may be a tick apart.
    pub(super) fn has_expired(&self, scene: &Scene) -> bool {
        let now = scene.now() + scene.swarm.tick;
        self.until.is_some_and(|until| until <= now)
    }

    /// Whether more may have been on its way than a server bears. All that was
    /// sent before it closed has come by now.
    fn may_lag(&self, scene: &Scene) -> bool {
        let most = scene.swarm.engine.outbox_bytes_max;
        self.unasked > most && !(self.is_peaceful && most >= ROOMY)
    }
}
