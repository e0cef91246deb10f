//! What a document holds, in a few bytes.

use sha2::{Digest, Sha256};

use super::DocumentState;
use crate::{
    bus::StateDigest,
    lib0::write_var_uint,
    planted::{self, Bug},
};

impl DocumentState {
    /// Equal for two documents exactly if they hold the same ids, present, behind
    /// gaps, or deleted. Takes time with the clients that have written, and the
    /// ranges that were deleted.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        let (mut deletes, mut gaps) = (Vec::new(), Vec::new());
        if !planted::is(Bug::DigestWithoutDeletes) {
            self.deletes.write(&mut deletes);
        }
        if self.structs.gap_runs() > 0 && !planted::is(Bug::DigestWithoutGaps) {
            self.write_gaps(&mut gaps);
        }
        StateDigest {
            vector: hash(&self.state_vector().encode()),
            deletes: hash(&deletes),
            gaps: hash(&gaps),
        }
    }

    /// Appends the runs that stand behind gaps.
    fn write_gaps(&self, out: &mut Vec<u8>) {
        for (client, structs) in &self.structs.clients {
            for run in structs.runs(structs.contiguous_end()) {
                write_var_uint(out, client.0);
                write_var_uint(out, u64::from(run.start));
                write_var_uint(out, u64::from(run.end));
            }
        }
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
