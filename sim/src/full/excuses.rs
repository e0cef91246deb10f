//! For what a server may close a connection though its client did no wrong.

use std::time::Duration;

use super::{hostile, scene::Scene};

/// What a client knows of its connection that may excuse a close.
#[derive(Debug)]
pub(super) struct Excuses {
    node: usize,
    /// Where the client lives.
    home: usize,
    /// The node's life when it was asked for the connection.
    life: u64,
    /// Since then nothing goes wrong any more.
    is_peaceful: bool,
    /// When the token expires.
    pub(super) until: Option<Duration>,
}

impl Excuses {
    /// Before anything is said to a node.
    pub(super) fn new(scene: &Scene, node: usize, home: usize) -> Self {
        Self {
            node,
            home,
            life: scene.nodes[node].life.get(),
            is_peaceful: scene.is_healed(),
            until: None,
        }
    }

    /// Whether the server may close with this code and reason.
    pub(super) fn cover(&self, scene: &Scene, code: u16, reason: &str) -> bool {
        match code {
            // A life that has not begun then was not told either.
            1001 => scene.nodes[self.node].told.get() >= Some(self.life),
            1011 => scene.swarm.panics,
            4401 => self.has_expired(scene),
            // What is on its way does not get on.
            1008 if reason.contains("took too long to come") => {
                let caps = scene.swarm.net.caps.as_ref();
                caps.is_some_and(|caps| {
                    let since = scene.now().saturating_sub(caps.message_timeout * 2);
                    !hostile::is_connected(scene, self.node, self.home, since)
                })
            }
            // Where nothing goes wrong, a client reads.
            1013 => reason.contains("nothing was read") && !self.is_peaceful,
            _ => false,
        }
    }

    /// Whether the token is good no longer. Hosts may be a tick apart.
    pub(super) fn has_expired(&self, scene: &Scene) -> bool {
        let now = scene.now() + scene.swarm.tick;
        self.until.is_some_and(|until| until <= now)
    }
}
