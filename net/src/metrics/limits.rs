//! What is counted where a limit of the network side is reached.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::quota::LimitReached;

/// The limits' part of the metrics.
#[derive(Debug)]
pub(crate) struct LimitMetrics {
    refused: Family<Refused, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    limit: &'static str,
}

impl Default for LimitMetrics {
    fn default() -> Self {
        let refused = Family::<Refused, Counter>::default();
        // From the beginning, for the same reason as the failures of saves.
        for limit in LimitReached::ALL.map(LimitReached::name) {
            drop(refused.get_or_create(&Refused { limit }));
        }
        Self { refused }
    }
}

impl LimitMetrics {
    /// Counts a handshake that was refused because there are too many
    /// connections.
    pub(crate) fn refused(&self, reached: LimitReached) {
        let limit = reached.name();
        self.refused.get_or_create(&Refused { limit }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections_refused",
            "Requests for a document refused because there are too many connections, by the limit",
            self.refused.clone(),
        );
    }
}
