//! What is counted of the bus between nodes.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// The bus's part of the metrics. All of it is there without a bus, too.
#[derive(Debug, Clone)]
pub(crate) struct BusMetrics {
    configured: Gauge,
    up: Gauge,
    waiting_bytes: Gauge,
    published: Counter,
    published_bytes: Counter,
    received: Counter,
    received_bytes: Counter,
    dropped: Family<Dropped, Counter>,
    pub(super) applied: Counter,
    pub(super) refused: Counter,
    pub(super) name_taken: Counter,
    pub(super) heals: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Dropped {
    direction: &'static str,
}

/// Where a message was going that was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To this node.
    Incoming,
    /// To the others.
    Outgoing,
}

impl Direction {
    const ALL: [Self; 2] = [Self::Incoming, Self::Outgoing];

    fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }
}

impl Default for BusMetrics {
    fn default() -> Self {
        let dropped = Family::<Dropped, Counter>::default();
        // From the beginning, for the same reason as the failures of saves.
        for direction in Direction::ALL.map(Direction::name) {
            drop(dropped.get_or_create(&Dropped { direction }));
        }
        Self {
            configured: Gauge::default(),
            up: Gauge::default(),
            waiting_bytes: Gauge::default(),
            published: Counter::default(),
            published_bytes: Counter::default(),
            received: Counter::default(),
            received_bytes: Counter::default(),
            dropped,
            applied: Counter::default(),
            refused: Counter::default(),
            name_taken: Counter::default(),
            heals: Counter::default(),
        }
    }
}

impl BusMetrics {
    /// Notes that there is one.
    pub(crate) fn configured(&self) {
        self.configured.set(1);
    }

    /// Notes whether it is connected, for all shards.
    pub(crate) fn set_up(&self, is_up: bool) {
        self.up.set(i64::from(is_up));
    }

    /// Notes how many bytes of messages wait in one queue now, and did before.
    pub(crate) fn waiting(&self, before: usize, now: usize) {
        if before != now {
            self.waiting_bytes.inc_by(now as i64 - before as i64);
        }
    }

    /// Counts a message to the others.
    pub(crate) fn published(&self, bytes: usize) {
        self.published.inc();
        self.published_bytes.inc_by(bytes as u64);
    }

    /// Counts a message that has come.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.inc();
        self.received_bytes.inc_by(bytes as u64);
    }

    /// Counts messages that there was no room for, or no connection.
    pub(crate) fn dropped(&self, direction: Direction, messages: usize) {
        let direction = direction.name();
        let dropped = self.dropped.get_or_create(&Dropped { direction });
        dropped.inc_by(messages as u64);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "bus_waiting",
            "Messages to other nodes that wait to be taken by the bus, with their document's name \
             and what keeping them takes",
            Unit::Bytes,
            self.waiting_bytes.clone(),
        );
        for (name, help, gauge) in [
            (
                "bus_configured",
                "1 if there is to be a bus to other nodes, else 0",
                &self.configured,
            ),
            (
                "bus_up",
                "1 while there is a connection to the bus between nodes, else 0",
                &self.up,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, counter) in [
            (
                "bus_messages_published",
                "Messages about documents to other nodes",
                &self.published,
            ),
            (
                "bus_messages_received",
                "Messages about documents from the bus, our own among them, as it brings them back",
                &self.received,
            ),
            (
                "bus_updates_applied",
                "Updates from other nodes with new content",
                &self.applied,
            ),
            (
                "bus_messages_refused",
                "Messages from the bus that are none, or that no client might send; somebody else \
                 may write to it",
                &self.refused,
            ),
            (
                "bus_messages_of_namesake",
                "Messages from another server that runs now and has this one's NODE_NAME",
                &self.name_taken,
            ),
            (
                "bus_heals",
                "Times that two nodes were found to differ, and what was missing was brought",
                &self.heals,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, counter) in [
            (
                "bus_published",
                "Payload of messages to other nodes",
                &self.published_bytes,
            ),
            (
                "bus_received",
                "Payload of messages from the bus",
                &self.received_bytes,
            ),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        }
        registry.register(
            "bus_messages_dropped",
            "Messages to other nodes (outgoing) or from them (incoming) that there was no room \
             for, or no connection; what they told is found missing and brought later",
            self.dropped.clone(),
        );
    }
}
