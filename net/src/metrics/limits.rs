//! What is counted where a limit of the network side is reached.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use ysyncd_engine::{MessageFault, Refusal, Rejection, Unshown};

use crate::{cut::Cut, quota::LimitReached, rate::Excess, unfinished::Budget};

/// The limits' part of the metrics.
#[derive(Debug)]
pub(crate) struct LimitMetrics {
    refused: Family<Refused, Counter>,
    not_opened: Family<Rejected, Counter>,
    requests_cut: Family<Rejected, Counter>,
    pub(crate) handshakes_dropped: Counter,
    slowed: Family<TooFast, Counter>,
    cut: Family<TooFast, Counter>,
    users_slowed: Family<TooFast, Counter>,
    rejected: Family<Rejected, Counter>,
    messages_refused: Family<Rejected, Counter>,
    presence_unshown: Family<Rejected, Counter>,
    pub(crate) lagged: Counter,
    pub(crate) answers_waited: Counter,
    pub(crate) stalled: Counter,
    pub(crate) silent: Counter,
    held: Family<Held, Counter>,
    pub(crate) messages_late: Counter,
    /// Set anew whenever somebody looks.
    unfinished_bytes: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rejected {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TooFast {
    excess: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Held {
    budget: &'static str,
}

impl Default for LimitMetrics {
    fn default() -> Self {
        let refused = Family::<Refused, Counter>::default();
        // From the beginning, for the same reason as the failures of saves.
        for limit in LimitReached::ALL.map(LimitReached::name) {
            drop(refused.get_or_create(&Refused { limit }));
        }
        let (slowed, cut) = (Family::default(), Family::default());
        for excess in Excess::OF_CONNECTION.map(Excess::name) {
            for family in [&slowed, &cut] {
                drop(Family::<TooFast, Counter>::get_or_create(
                    family,
                    &TooFast { excess },
                ));
            }
        }
        let users_slowed = Family::<TooFast, Counter>::default();
        for excess in Excess::OF_USER.map(Excess::name) {
            drop(users_slowed.get_or_create(&TooFast { excess }));
        }
        let held = Family::<Held, Counter>::default();
        for budget in Budget::ALL.map(Budget::name) {
            drop(held.get_or_create(&Held { budget }));
        }
        Self {
            refused,
            not_opened: by_reason(Refusal::ALL.map(Refusal::name)),
            requests_cut: by_reason(Cut::ALL.map(Cut::name)),
            handshakes_dropped: Counter::default(),
            slowed,
            cut,
            users_slowed,
            rejected: by_reason(Rejection::ALL.map(Rejection::name)),
            messages_refused: by_reason(MessageFault::ALL.map(MessageFault::name)),
            presence_unshown: by_reason(Unshown::ALL.map(Unshown::name)),
            lagged: Counter::default(),
            answers_waited: Counter::default(),
            stalled: Counter::default(),
            silent: Counter::default(),
            held,
            messages_late: Counter::default(),
            unfinished_bytes: Gauge::default(),
        }
    }
}

fn by_reason(reasons: impl IntoIterator<Item = &'static str>) -> Family<Rejected, Counter> {
    let family = Family::default();
    for reason in reasons {
        drop(Family::<Rejected, Counter>::get_or_create(
            &family,
            &Rejected { reason },
        ));
    }
    family
}

impl LimitMetrics {
    /// Counts a handshake that was refused because there are too many
    /// connections.
    pub(crate) fn refused(&self, reached: LimitReached) {
        let limit = reached.name();
        self.refused.get_or_create(&Refused { limit }).inc();
    }

    /// Counts a client to which the engine does not give its document.
    pub(crate) fn not_opened(&self, refusal: Refusal) {
        let reason = refusal.name();
        self.not_opened.get_or_create(&Rejected { reason }).inc();
    }

    /// Counts a stream that was cut before it became a WebSocket.
    pub(crate) fn request_cut(&self, cut: Cut) {
        let reason = cut.name();
        self.requests_cut.get_or_create(&Rejected { reason }).inc();
    }

    /// Counts an update that is not taken.
    pub(crate) fn rejected(&self, reason: Rejection) {
        let reason = reason.name();
        self.rejected.get_or_create(&Rejected { reason }).inc();
    }

    /// Counts a message for which its sender is closed.
    pub(crate) fn message_refused(&self, reason: MessageFault) {
        let reason = reason.name();
        let refused = self.messages_refused.get_or_create(&Rejected { reason });
        refused.inc();
    }

    /// Counts a message that says something of who is there which is not shown.
    pub(crate) fn presence_unshown(&self, reason: Unshown) {
        let reason = reason.name();
        let unshown = self.presence_unshown.get_or_create(&Rejected { reason });
        unshown.inc();
    }

    /// Notes how much of messages is half received.
    pub(crate) fn set_unfinished(&self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.unfinished_bytes.set(bytes);
    }

    /// Counts a client that begins to be slowed down.
    pub(crate) fn slowed(&self, excess: Excess) {
        let excess = excess.name();
        self.slowed.get_or_create(&TooFast { excess }).inc();
    }

    /// Counts a user whose connections begin to be slowed down.
    pub(crate) fn user_slowed(&self, excess: Excess) {
        let excess = excess.name();
        self.users_slowed.get_or_create(&TooFast { excess }).inc();
    }

    /// Counts a client that is closed because it went on.
    pub(crate) fn cut(&self, excess: Excess) {
        let excess = excess.name();
        self.cut.get_or_create(&TooFast { excess }).inc();
    }

    /// Counts a message that begins to wait until others are whole.
    pub(crate) fn held(&self, budget: Budget) {
        let budget = budget.name();
        self.held.get_or_create(&Held { budget }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "connections_refused",
            "Requests for a document refused because there are too many connections, by the limit",
            self.refused.clone(),
        );
        registry.register(
            "opens_refused",
            "Requests for a document that it was not given for, by the reason",
            self.not_opened.clone(),
        );
        registry.register(
            "requests_cut",
            "Connections ended before they were WebSockets, by the reason: nothing came, or the head of \
             a request did not in time or is too large, or an answer was not read",
            self.requests_cut.clone(),
        );
        registry.register(
            "handshakes_dropped",
            "Connections dropped because their address has too many that have not asked for a document",
            self.handshakes_dropped.clone(),
        );
        registry.register(
            "connections_slowed",
            "Times that a client sent too fast and was read from more slowly, by what it sent",
            self.slowed.clone(),
        );
        registry.register(
            "connections_closed_for_rate",
            "Clients closed because they went on sending too fast, by what they sent",
            self.cut.clone(),
        );
        registry.register(
            "users_slowed",
            "Times that all connections of a user sent too fast together and were read from more \
             slowly, by what they sent, or as it took too much time",
            self.users_slowed.clone(),
        );
        registry.register(
            "updates_refused",
            "Updates refused for now, by the reason; what their clients send until asked again is not counted",
            self.rejected.clone(),
        );
        registry.register(
            "messages_refused",
            "Messages for which their sender was closed, by what is wrong with them",
            self.messages_refused.clone(),
        );
        registry.register(
            "presence_unshown",
            "Messages that said something of who is there which is not shown to others, by the reason",
            self.presence_unshown.clone(),
        );
        registry.register(
            "connections_lagged",
            "Times that a client read too slowly and was left out of what others wrote, to be told later",
            self.lagged.clone(),
        );
        registry.register(
            "answers_waited",
            "Times that a client waited for a large answer, such as a whole document, because too \
             much was on its way already",
            self.answers_waited.clone(),
        );
        registry.register(
            "connections_closed_for_stall",
            "Clients closed because they read nothing for too long while much waited for them, or \
             too slowly while others waited",
            self.stalled.clone(),
        );
        registry.register(
            "connections_cut_for_silence",
            "Clients cut because nothing came from them for too long, no answer to a ping either",
            self.silent.clone(),
        );
        registry.register(
            "messages_held",
            "Times that a large message waited for others to be whole, by whose: those of its user, or all",
            self.held.clone(),
        );
        registry.register(
            "messages_timed_out",
            "Clients closed because one message took too long to come",
            self.messages_late.clone(),
        );
        registry.register_with_unit(
            "unfinished",
            "Messages that have begun to come and are not whole yet",
            Unit::Bytes,
            self.unfinished_bytes.clone(),
        );
    }
}
