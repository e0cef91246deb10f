//! Streams that end before they have become a WebSocket.

use std::{error::Error, io};

/// The limit at which a stream was cut that spoke HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// No request began to come for as long as a connection may rest.
    Idle,
    /// The same, and sooner: others waited for the place.
    GaveWay,
    /// The head of a request did not come whole in time.
    HeadLate,
    /// The head of a request is too large. That is answered with 431, or 414, by
    /// hyper, which takes no text for it.
    HeadTooLarge,
    /// An answer was not read in time.
    AnswerLate,
}

impl Cut {
    pub(crate) const ALL: [Self; 5] = [
        Self::Idle,
        Self::GaveWay,
        Self::HeadLate,
        Self::HeadTooLarge,
        Self::AnswerLate,
    ];

    /// What an error says. `head_has_begun` tells whether anything came behind the
    /// last request. `None` if it speaks of no limit.
    pub(crate) fn of(error: &hyper::Error, head_has_begun: bool) -> Option<Self> {
        if error.is_parse_too_large() {
            Some(Self::HeadTooLarge)
        } else if is_of_a_late_answer(error) {
            Some(Self::AnswerLate)
        } else if error.is_timeout() && head_has_begun {
            Some(Self::HeadLate)
        } else {
            error.is_timeout().then_some(Self::Idle)
        }
    }

    /// In a word, for metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::GaveWay => "gave_way",
            Self::HeadLate => "head_late",
            Self::HeadTooLarge => "head_too_large",
            Self::AnswerLate => "answer_late",
        }
    }
}

/// Whether it comes from [`Timely`](crate::timely::Timely).
fn is_of_a_late_answer(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|error| error.downcast_ref());
    source.is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::TimedOut)
}
