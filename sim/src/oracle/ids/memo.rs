//! What was read last. Oracles look at the same update several times: as it comes, as
//! it goes to the journal, as it is durable there, as it becomes part of its document,
//! and as it is told to others; and at a snapshot as it is handed out, as it lands, and
//! as it is read.

use std::cell::RefCell;

use ysyncd_engine::lib0::ReadError;

use super::Ids;

/// How many updates are remembered. What is looked at again mostly is so soon.
const REMEMBERED: usize = 8;

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

#[derive(Default)]
struct Last {
    updates: [Remembered; REMEMBERED],
    /// The place of the one that was read first of them.
    oldest: usize,
}

/// An update, and what reading it gave. At first, the empty text, which is no update.
#[derive(Default)]
struct Remembered {
    bytes: Vec<u8>,
    ids: Ids,
    has_rows: bool,
}

/// Reads an update, unless the very same bytes were read just before: what they tell
/// depends on nothing else.
pub(super) fn read_once(
    update: &[u8],
    read: impl FnOnce(&[u8]) -> Result<(Ids, bool), ReadError>,
) -> Result<(Ids, bool), ReadError> {
    LAST.with_borrow_mut(|last| {
        let mut updates = last.updates.iter();
        let is_it = |remembered: &&Remembered| remembered.bytes == update;
        if let Some(found) = updates.find(is_it).filter(|_| !update.is_empty()) {
            return Ok((found.ids.clone(), found.has_rows));
        }
        let (ids, has_rows) = read(update)?;
        let place = &mut last.updates[last.oldest];
        place.bytes.clear();
        place.bytes.extend_from_slice(update);
        (place.ids, place.has_rows) = (ids.clone(), has_rows);
        last.oldest = (last.oldest + 1) % REMEMBERED;
        Ok((ids, has_rows))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_are_read_once_while_they_are_remembered() {
        let update = |number| [number, 0];
        let mut reads = 0;
        let mut look_at = |number| {
            let read = |_: &[u8]| {
                reads += 1;
                Ok((Ids::run(u64::from(number), 0..1), false))
            };
            let read = read_once(&update(number), read);
            assert_eq!(read, Ok((Ids::run(u64::from(number), 0..1), false)));
            reads
        };
        assert_eq!([1, 1, 2, 1].map(&mut look_at), [1, 1, 2, 2]);
        // One more than are remembered: the first is forgotten.
        assert_eq!(
            [3, 4, 5, 6, 7, 8, 9, 1].map(look_at),
            [3, 4, 5, 6, 7, 8, 9, 10]
        );
    }

    #[test]
    fn what_cannot_be_read_is_not_remembered() {
        let broken = |_: &[u8]| Err(ReadError::End);
        assert_eq!(read_once(&[1], broken), Err(ReadError::End));
        let read = |_: &[u8]| Ok((Ids::default(), true));
        assert_eq!(read_once(&[1], read), Ok((Ids::default(), true)));
        assert_eq!(read_once(&[], broken), Err(ReadError::End));
    }
}
