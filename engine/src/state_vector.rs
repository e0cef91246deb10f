//! What a peer says it knows: a clock per client.

use crate::{
    lib0::{Reader, write_var_uint},
    update::{CLOCK_MAX, ClientId, Clock, DecodeError},
};

/// A clock per client: everything below it is known.
///
/// Format: `writeStateVector` of Yjs 13.6: `n (client clock)*n`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateVector {
    /// Ascending by client, one entry each.
    clocks: Vec<(ClientId, Clock)>,
}

impl StateVector {
    /// Reads a whole state vector. Of several entries of one client, the last
    /// counts.
    ///
    /// # Errors
    /// The bytes are cut short, go on after the end, or hold a clock that no
    /// struct can have.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let count = Self::count(bytes)?;
        let mut reader = Reader::new(bytes);
        reader.var_uint()?;
        let mut clocks = Vec::with_capacity(count);
        for _ in 0..count {
            let client = ClientId(reader.var_uint()?);
            let clock = Clock::try_from(reader.var_uint()?)
                .ok()
                .filter(|clock| *clock <= CLOCK_MAX)
                .ok_or(DecodeError::ClockRange)?;
            clocks.push((client, clock));
        }
        if !reader.is_empty() {
            return Err(DecodeError::TrailingBytes);
        }
        // Reversed, so that of equal clients the last one comes first and stays.
        clocks.reverse();
        clocks.sort_by_key(|(client, _)| *client);
        clocks.dedup_by_key(|(client, _)| *client);
        Ok(Self { clocks })
    }

    /// How many entries the bytes announce, which is at most what they can hold.
    ///
    /// # Errors
    /// They announce more than that.
    pub fn count(bytes: &[u8]) -> Result<usize, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.var_uint()?;
        let room = reader.rest().len() / 2;
        let count = usize::try_from(count).ok().filter(|count| *count <= room);
        count.ok_or(DecodeError::Count)
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clocks.iter().all(|(_, clock)| *clock == 0)
    }

    /// Leaves out what is told of other clients than these.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(ClientId) -> bool) {
        self.clocks.retain(|(client, _)| is_kept(*client));
        self.clocks.shrink_to_fit();
    }

    /// Memory that it takes, in bytes.
    pub(crate) const fn memory(&self) -> usize {
        self.clocks.len() * size_of::<(ClientId, Clock)>()
    }

    /// The bytes of it, clients descending as Yjs writes them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_var_uint(&mut out, self.clocks.len() as u64);
        for (client, clock) in self.clocks.iter().rev() {
            write_var_uint(&mut out, client.0);
            write_var_uint(&mut out, u64::from(*clock));
        }
        out
    }

    /// All entries, ascending by client.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, Clock)> {
        self.clocks.iter().copied()
    }

    /// The clock of a client; 0 if nothing of it is known.
    #[must_use]
    pub fn clock(&self, client: ClientId) -> Clock {
        self.clocks
            .binary_search_by_key(&client, |(client, _)| *client)
            .map_or(0, |at| self.clocks[at].1)
    }
}

impl FromIterator<(ClientId, Clock)> for StateVector {
    /// Takes entries in ascending order of clients.
    fn from_iter<I: IntoIterator<Item = (ClientId, Clock)>>(entries: I) -> Self {
        let clocks: Vec<_> = entries.into_iter().collect();
        debug_assert!(clocks.is_sorted_by(|a, b| a.0 < b.0));
        Self { clocks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_of_a_client_counts() {
        let vector = StateVector::decode(&[3, 5, 1, 4, 9, 5, 2]).unwrap();
        assert_eq!(vector.clock(ClientId(5)), 2);
        assert_eq!(vector.clock(ClientId(4)), 9);
        assert_eq!(vector.clock(ClientId(6)), 0);
        assert_eq!(vector.encode(), [2, 5, 2, 4, 9]);
    }

    #[test]
    fn impossible_vectors_are_refused() {
        for bytes in [
            &[][..],
            &[1],
            &[1, 2],
            &[0, 0],
            &[0x80, 0x80, 0x80, 0x80, 0x02],
            &[1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ] {
            assert!(StateVector::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
