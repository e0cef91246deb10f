//! Makes a world that fails as simple as it can be while it still does.

mod limits;

pub(crate) use self::limits::LIMITS;

/// The configuration of a world, which can be made simpler.
pub trait Shrink: Clone + PartialEq {
    /// Worlds that are a step simpler, each with what was taken away, the
    /// boldest steps first.
    fn simpler(&self) -> Vec<Step<Self>>;
}

/// A step towards a simpler world.
#[derive(Debug, Clone)]
pub struct Step<C> {
    /// What was taken away.
    pub what: String,
    /// What is left.
    pub left: C,
}

/// Takes away what can be taken while it still fails, in at most so many
/// tries. Each step that still fails is kept and told, until none of those that
/// are left does.
pub fn smallest<C: Shrink>(
    start: C,
    tries_max: usize,
    mut fails: impl FnMut(&C) -> bool,
    mut tell: impl FnMut(usize, &str),
) -> C {
    let (mut smallest, mut at, mut in_vain) = (start, 0, 0);
    for tries in 1..=tries_max {
        let mut steps = smallest.simpler();
        if in_vain >= steps.len() {
            break;
        }
        at %= steps.len();
        let Step { what, left } = steps.swap_remove(at);
        if fails(&left) {
            tell(tries, &what);
            (smallest, in_vain) = (left, 0);
        } else {
            (at, in_vain) = (at + 1, in_vain + 1);
        }
    }
    smallest
}

/// The steps from one world. Those that change nothing are none.
pub(crate) struct Steps<'a, C> {
    from: &'a C,
    steps: Vec<Step<C>>,
}

impl<'a, C: Shrink> Steps<'a, C> {
    pub(crate) const fn from(from: &'a C) -> Self {
        let steps = Vec::new();
        Self { from, steps }
    }

    pub(crate) fn add(&mut self, what: impl Into<String>, change: impl FnOnce(&mut C)) {
        let mut left = self.from.clone();
        change(&mut left);
        if left != *self.from {
            let what = what.into();
            self.steps.push(Step { what, left });
        }
    }

    pub(crate) fn all(self) -> Vec<Step<C>> {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So much of three things.
    type Three = [u32; 3];

    impl Shrink for Three {
        fn simpler(&self) -> Vec<Step<Self>> {
            let mut steps = Steps::from(self);
            for at in 0..3 {
                steps.add(format!("none of {at}"), |three| three[at] = 0);
                steps.add(format!("one less of {at}"), |three| {
                    three[at] = three[at].saturating_sub(1);
                });
            }
            steps.all()
        }
    }

    #[test]
    fn what_is_left_fails_and_nothing_simpler_does() {
        let fails = |three: &Three| three[0] >= 2 && three[2] >= 1;
        let mut told = Vec::new();
        let tell = |_: usize, what: &str| told.push(what.to_owned());
        assert_eq!(smallest([4, 9, 3], 100, fails, tell), [2, 0, 1]);
        let expected = ["one less of 0", "one less of 0", "none of 1"];
        assert_eq!(told[..3], expected);
    }

    #[test]
    fn it_stops_when_it_has_tried_enough() {
        assert_eq!(smallest([0, 0, 9], 4, |_| true, |_, _| {}), [0, 0, 0]);
        let mut tries = 0;
        let fails = |three: &Three| {
            tries += 1;
            three[2] > 5
        };
        assert_eq!(smallest([0, 0, 9], 3, fails, |_, _| {}), [0, 0, 7]);
        assert_eq!(tries, 3);
    }

    #[test]
    fn what_changes_nothing_is_no_step() {
        assert!([0, 0, 0].simpler().is_empty());
    }
}
