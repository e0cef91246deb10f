//! The ids that updates tell of, read without the engine's codec, so that it
//! does not vouch for itself.

mod memo;
mod read;
mod runs;

use std::{fmt, ops::Range};

use ysyncd_engine::{DocId, lib0::ReadError};

use self::runs::{Row, Run, Runs};

/// Each document has so many client ids of its own.
pub(crate) const HOME: u64 = 1_000;

/// What documents are called, before their number.
const NAME: &str = "document ";

/// The name of a document.
pub(crate) fn name_of(doc: usize) -> DocId {
    DocId::new(&format!("{NAME}{doc}")).expect("it is short")
}

/// Whether yrs may look at what is said of a document. The others are left to
/// clients whose updates it would not survive.
pub(crate) fn is_judged(doc: &DocId) -> bool {
    doc.as_str().starts_with(NAME)
}

/// Whether a client id is one of a document's.
pub(super) fn is_at_home(client: u64, doc: &DocId) -> bool {
    let number = doc.as_str().strip_prefix(NAME);
    let number = number.and_then(|number| number.parse::<u64>().ok());
    number.is_none_or(|number| client / HOME == number + 1)
}

/// Ids of structs, and ids that are deleted.
#[derive(Default, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    structs: Runs,
    deletes: Runs,
}

impl Ids {
    /// Those of an update. Structs that are but a length are deleted, said or
    /// not.
    pub(crate) fn of(update: &[u8]) -> Result<Self, ReadError> {
        Self::and_rows(update).map(|(ids, _)| ids)
    }

    /// The same, and whether a struct holds several values.
    pub(crate) fn and_rows(update: &[u8]) -> Result<(Self, bool), ReadError> {
        memo::read_once(update, Self::read)
    }

    fn read(update: &[u8]) -> Result<(Self, bool), ReadError> {
        let told = read::told(update)?;
        let ids = Self {
            structs: Runs::of(told.structs),
            deletes: Runs::of(told.deletes),
        };
        Ok((ids, !told.rows.is_empty()))
    }

    /// Of an update that is known to be one: the structs that hold something.
    pub(crate) fn content_of(update: &[u8]) -> Self {
        let told = read::told(update).expect("it is an update");
        Self {
            structs: Runs::of(told.content),
            deletes: Runs::default(),
        }
    }

    /// The same without those that hold several values: where they are entries
    /// of maps, all but the last is given up.
    pub(crate) fn sure_content_of(update: &[u8]) -> Self {
        let told = read::told(update).expect("it is an update");
        Self {
            structs: Runs::of(told.rows).lacking(&Runs::of(told.content)),
            deletes: Runs::default(),
        }
    }

    /// Those that are in `other`, too.
    pub(crate) fn shared_with(&self, other: &Self) -> Self {
        other.lacking(self).lacking(self)
    }

    /// Those of `other` that wait for nothing, these being here: of each client what
    /// follows on what is known of it, and what is deleted of all that.
    pub(crate) fn of_use(&self, other: &Self) -> Self {
        let mut all = self.structs.clone();
        all.add(&other.structs);
        let known = Runs::of(all.iter().filter(|run| run.start == 0).collect());
        let known = Self {
            structs: known.clone(),
            deletes: known,
        };
        other.shared_with(&known)
    }

    /// Those of an update that is known to be one.
    pub(crate) fn of_valid(update: &[u8]) -> Self {
        Self::of(update).expect("clients send updates")
    }

    /// All that a state vector covers.
    pub(crate) fn below(vector: &[u8]) -> Result<Self, ReadError> {
        Ok(Self {
            structs: Runs::of(read::covered(vector)?),
            deletes: Runs::default(),
        })
    }

    /// Some structs in a row.
    pub(crate) fn run(client: u64, clocks: Range<u32>) -> Self {
        Self {
            structs: Runs::of(Row::from_slice(&[Run::new(client, clocks)])),
            deletes: Runs::default(),
        }
    }

    /// Whether a struct is among these.
    pub(crate) fn knows(&self, client: u64, clock: u32) -> bool {
        self.structs.covers(Run::new(client, clock..clock + 1))
    }

    /// Whether all structs of a client up to a clock, not including it, are
    /// among these.
    pub(crate) fn knows_up_to(&self, client: u64, clock: u32) -> bool {
        self.structs.covers(Run::new(client, 0..clock))
    }

    /// Whether some of these structs come right after others of their client
    /// that are not `here`.
    pub(crate) fn open_a_gap_in(&self, here: &Self) -> bool {
        let lacks_before = |run: Run| run.start > 0 && !here.knows(run.client, run.start - 1);
        self.structs.iter().any(lacks_before)
    }

    /// Runs of structs that come after others of their client that are not
    /// here.
    pub(crate) fn gap_runs(&self) -> usize {
        self.structs.iter().filter(|run| run.start > 0).count()
    }

    /// Runs of structs.
    pub(crate) fn runs(&self) -> usize {
        self.structs.iter().count()
    }

    /// Whether nothing of `other` is here.
    pub(crate) fn lacks_all_of(&self, other: &Self) -> bool {
        self.lacking(other) == *other
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.structs.add(&other.structs);
        self.deletes.add(&other.deletes);
    }

    /// Whether every id of `other` is here too.
    pub(crate) fn cover(&self, other: &Self) -> bool {
        self.structs.cover(&other.structs) && self.deletes.cover(&other.deletes)
    }

    /// Those of `other` that are not here.
    pub(crate) fn lacking(&self, other: &Self) -> Self {
        Self {
            structs: self.structs.lacking(&other.structs),
            deletes: self.deletes.lacking(&other.deletes),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.structs.is_empty() && self.deletes.is_empty()
    }

    /// Whether it tells of deletes alone.
    pub(crate) fn has_no_structs(&self) -> bool {
        self.structs.is_empty()
    }

    /// The deletes alone.
    pub(crate) fn deletes(&self) -> Self {
        Self {
            structs: Runs::default(),
            deletes: self.deletes.clone(),
        }
    }

    /// The structs alone.
    pub(crate) fn structs(&self) -> Self {
        Self {
            structs: self.structs.clone(),
            deletes: Runs::default(),
        }
    }

    /// The clients that it tells of, some several times.
    pub(crate) fn clients(&self) -> impl Iterator<Item = u64> {
        let runs = self.structs.iter().chain(self.deletes.iter());
        runs.map(|run| run.client)
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |runs: &Runs| {
            let run = |run: Run| format!("{}:{}..{}", run.client, run.start, run.end);
            runs.iter().map(run).collect::<Vec<_>>().join(" ")
        };
        let (structs, deletes) = (list(&self.structs), list(&self.deletes));
        write!(f, "structs [{structs}] deletes [{deletes}]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use yrs::{IdSet, Update, updates::decoder::Decode as _};

    use super::*;
    use crate::{
        client::Client,
        swarm::{Content, Purpose, stream},
    };

    fn clocks(set: &IdSet) -> Vec<(u64, u32)> {
        let mut clocks = Vec::new();
        for client in set.client_ids() {
            let ranges = set.get(&client).into_iter();
            let ranges = ranges.flat_map(|ranges| ranges.ranges().cloned());
            clocks.extend(ranges.flatten().map(|clock| (client.get(), clock)));
        }
        clocks.sort_unstable();
        clocks.dedup();
        clocks
    }

    fn ids_in(run: Run) -> impl Iterator<Item = (u64, u32)> {
        (run.start..run.end).map(move |clock| (run.client, clock))
    }

    fn each(runs: &Runs) -> Vec<(u64, u32)> {
        runs.iter().flat_map(ids_in).collect()
    }

    #[test]
    fn ids_are_those_that_yrs_reads() {
        for seed in 0..100 {
            let contents = [Content::Flat, Content::Nested, Content::Rich];
            let content = contents[(seed % 3) as usize];
            let mut clients = [1, 2].map(|id| Client::new(id, 0, content));
            let mut rng = stream(seed, Purpose::Client(0));
            for turn in 0..60 {
                let update = clients[turn % 2].edit(&mut rng).unwrap_or_default();
                if turn % 7 == 0 || update.is_empty() {
                    let diff = clients[turn % 2].diff(&clients[(turn + 1) % 2]);
                    clients[(turn + 1) % 2].apply(&diff).expect("it is a diff");
                }
                for update in [update, clients[turn % 2].encode()] {
                    let Ok(read) = Update::decode_v1(&update) else {
                        continue;
                    };
                    let ids = Ids::of_valid(&update);
                    let structs = read.insertions(true);
                    let mut deletes = structs.diff(&read.insertions(false));
                    deletes.merge_with(read.delete_set().clone());
                    assert_eq!(each(&ids.structs), clocks(&structs));
                    assert_eq!(each(&ids.deletes), clocks(&deletes));
                }
            }
        }
    }

    type Plain = BTreeMap<(u64, u32), ()>;

    fn plain(runs: &[Run]) -> Plain {
        let ids = runs.iter().copied().flat_map(ids_in);
        ids.map(|id| (id, ())).collect()
    }

    fn any_runs() -> impl Strategy<Value = Vec<Run>> {
        let run = (0..3_u64, 0..20_u32, 0..6_u32);
        let run = run.prop_map(|(client, start, len)| Run::new(client, start..start + len));
        proptest::collection::vec(run, 0..12)
    }

    proptest! {
        #[test]
        fn sets_are_as_if_each_id_stood_alone(one in any_runs(), other in any_runs()) {
            let (one_plain, other_plain) = (plain(&one), plain(&other));
            let (one, other) = (Runs::of(one.into()), Runs::of(other.into()));
            prop_assert_eq!(each(&one), one_plain.keys().copied().collect::<Vec<_>>());
            let covers = other_plain.keys().all(|id| one_plain.contains_key(id));
            prop_assert_eq!(one.cover(&other), covers);
            let lacking = other_plain.keys().filter(|id| !one_plain.contains_key(id));
            prop_assert_eq!(each(&one.lacking(&other)), lacking.copied().collect::<Vec<_>>());
            let mut both = one.clone();
            both.add(&other);
            let runs: Vec<_> = both.iter().collect();
            let touches = |one: Run, next: Run| {
                one.client == next.client && next.start <= one.end
            };
            prop_assert!(!runs.windows(2).any(|pair| touches(pair[0], pair[1])));
            let all: Plain = one_plain.into_iter().chain(other_plain).collect();
            prop_assert_eq!(each(&both), all.into_keys().collect::<Vec<_>>());
        }
    }
}
