//! Documents.

mod block;
mod causality;
mod compaction;
mod delete_set;
mod lineage;
mod state;
mod structs;

pub use state::{Applied, DocumentState, NewPart, Pending};
