//! Large answers, as seen from outside: who has to wait for one, and who must
//! not.

use ysyncd_engine::Config;

/// How many bytes of them may be on their way.
#[derive(Debug, Clone, Copy)]
pub(super) struct AnswerLimits {
    all: u64,
    per_user: u64,
}

/// Bytes of them that are on their way to others.
#[derive(Debug, Clone, Copy)]
pub(super) struct ToOthers {
    pub(super) all: u64,
    pub(super) of_user: u64,
}

impl AnswerLimits {
    pub(super) const fn new(config: &Config) -> Self {
        Self {
            all: config.answers_bytes_max as u64,
            per_user: config.answers_bytes_per_user_max as u64,
        }
    }

    /// Whether one more has to wait. Where nothing is on its way there is always
    /// room.
    pub(super) const fn are_reached(&self, others: ToOthers) -> bool {
        others.all > 0 && others.all >= self.all || self.are_reached_by_user(others)
    }

    /// Whether it would have to because of its own user.
    pub(super) const fn are_reached_by_user(&self, others: ToOthers) -> bool {
        others.of_user > 0 && others.of_user >= self.per_user
    }
}
