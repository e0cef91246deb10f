//! `ysyncd doc show`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use ysyncd_engine::{Snapshot, document::DocumentState};

use super::{materialise, output};
use crate::{cli::ShowSettings, failure::Failure};

/// Clients whose clocks are printed for people.
const CLOCKS_SHOWN_MAX: usize = 8;

/// Prints what a document holds.
///
/// # Errors
/// It is not there or damaged, or its content cannot be built.
pub(super) async fn run(settings: &ShowSettings) -> Result<(), Failure> {
    let kept = super::open_to_read(&settings.store, Some(&settings.id)).await?;
    let snapshot = super::load(&*kept.snapshots, &settings.id, &settings.store).await?;
    let state = super::decode(&settings.id, &snapshot)?;
    if !settings.json {
        // Told even where the content cannot be built.
        output::print(facts(settings.id.as_str(), &snapshot, &state).as_bytes())?;
    }
    let content = materialise::run(&snapshot.body, settings.json, settings.time_limit)?;
    if settings.json {
        let facts = json_facts(settings.id.as_str(), &snapshot, &state).to_string();
        let open = facts.strip_suffix('}').expect("it is an object");
        output::print(format!("{open},\"roots\":{content}}}\n").as_bytes())
    } else {
        output::print(content.as_bytes())
    }
}

fn facts(id: &str, snapshot: &Snapshot, state: &DocumentState) -> String {
    let clocks = super::clocks(state);
    let shown = clocks.iter().take(CLOCKS_SHOWN_MAX);
    let mut vector: Vec<_> = shown
        .map(|(client, clock)| format!("{client}:{clock}"))
        .collect();
    if let Some(more @ 1..) = clocks.len().checked_sub(CLOCKS_SHOWN_MAX) {
        vector.push(format!("and {more} more"));
    }
    let waiting = super::gaps(state).unwrap_or_else(|| "nothing".to_owned());
    let mut facts = String::new();
    for (name, fact) in [
        ("id", output::one_line(id)),
        ("size", format!("{} bytes", snapshot.body.len())),
        ("etag", output::one_line(&snapshot.etag.0)),
        ("structs", format!("{} bytes", state.struct_bytes())),
        ("clients", clocks.len().to_string()),
        ("clocks", vector.join(" ")),
        ("waiting", waiting),
    ] {
        let line = format!("{name:<8} {fact}");
        writeln!(facts, "{}", line.trim_end()).expect("a string takes all");
    }
    facts
}

fn json_facts(id: &str, snapshot: &Snapshot, state: &DocumentState) -> Value {
    let clocks = super::clocks(state);
    let clocks: Map<_, _> = clocks
        .into_iter()
        .map(|(client, clock)| (client.to_string(), json!(clock)))
        .collect();
    let pending = state.pending();
    json!({
        "id": id,
        "size_bytes": snapshot.body.len(),
        "etag": &*snapshot.etag.0,
        "struct_bytes": state.struct_bytes(),
        "clocks": clocks,
        "waiting": {
            "gap_runs": pending.gap_runs,
            "delete_ranges": pending.delete_ranges,
        },
    })
}
