//! What inputs may take.

use std::time::Duration;

use super::drive::{Account, Spent};

/// From one size to the next, what a byte takes may grow by so much: more is looked up in
/// what is larger, and less of it is in a cache.
const GROWTH: f64 = 2.5;

/// The same from there to the largest, which is nearer.
const GROWTH_ON: f64 = 1.5;

/// What takes less is not compared.
const LEAST: Duration = Duration::from_millis(4);

/// Nor is what takes less for a byte at the larger size than so many times
/// [`GROWTH`].
const NANOS_A_BYTE_LEAST: f64 = 20.0;

/// What one input may take, however small it is, …
const ONE_INPUT: Duration = Duration::from_millis(5);

/// … for each byte of it, five times what the slowest shapes took where this was
/// measured, as other machines are slower, …
const NANOS_A_BYTE: u64 = 2_000;

/// … and for each of the document, as all that waits may have waited for this.
const NANOS_A_DOCUMENT_BYTE: u64 = 200;

/// What one input may take.
pub(super) const fn allowed(bytes: u64, document: u64) -> Duration {
    let nanos = bytes * NANOS_A_BYTE + document * NANOS_A_DOCUMENT_BYTE;
    ONE_INPUT.saturating_add(Duration::from_nanos(nanos))
}

/// What is wrong with what some sizes took, the smallest first, if anything is. What
/// grows does so from each to the next.
pub(super) fn faults(sizes: &[Account]) -> Vec<String> {
    let mut faults = Vec::new();
    let large = sizes.last().expect("there are some");
    for (phase, (all, worst)) in large {
        let of_sizes = sizes.iter().map(|size| size.get(phase));
        let of_sizes: Vec<Spent> = of_sizes
            .map(|one| one.map_or(Spent::default(), |one| one.0))
            .collect();
        let mut pairs = of_sizes.windows(2).zip([GROWTH, GROWTH_ON]);
        let grows = pairs.all(|(pair, growth)| grows(&pair[0], &pair[1], growth));
        if all.time > LEAST && grows {
            let told: Vec<_> = of_sizes.iter().map(line).collect();
            faults.push(format!(
                "{phase}: a byte takes the longer the more there is: {}",
                told.join(", then ")
            ));
        }
        if all.time > allowed(all.bytes, all.document) {
            faults.push(format!("{phase}: it takes {}", line(all)));
        }
        if worst.excess() > Duration::ZERO {
            let most = allowed(worst.bytes, worst.document);
            faults.push(format!(
                "{phase}: one input takes {}, not {most:.1?}",
                line(worst)
            ));
        }
    }
    faults
}

/// Whether a byte takes so much longer at one size than at a smaller one that this is no
/// chance.
fn grows(small: &Spent, large: &Spent, growth: f64) -> bool {
    let least = small.nanos_a_byte().max(NANOS_A_BYTE_LEAST);
    large.nanos_a_byte() > growth * least
}

/// What is told of it.
pub(super) fn line(spent: &Spent) -> String {
    let Spent { time, bytes, .. } = spent;
    let each = spent.nanos_a_byte();
    format!("{time:.1?} for {bytes} bytes ({each:.0} ns each)")
}

/// What took least of several tries.
pub(super) fn best(mut one: Account, other: &Account) -> Account {
    for (phase, (all, worst)) in &mut one {
        if let Some((other_all, other_worst)) = other.get(phase) {
            all.time = all.time.min(other_all.time);
            if other_worst.excess() < worst.excess() {
                *worst = *other_worst;
            }
        }
    }
    one
}
