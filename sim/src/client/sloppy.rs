//! Updates in other words than Yjs would choose.

use std::ops::Range;

use ysyncd_engine::{
    lib0::write_var_uint,
    update::{ClientId, Update},
};

/// The same update, its deleted ranges cut in two where they are long enough
/// and told from the last to the first. Readers must take that; what writes in
/// order relies on nobody passing it on.
pub(super) fn rewrite(update: &[u8]) -> Vec<u8> {
    let decoded = Update::decode(update).expect("clients make updates");
    let ranges: Vec<_> = decoded.deletes().collect();
    let mut clients: Vec<_> = ranges.iter().map(|(client, _)| *client).collect();
    clients.dedup();
    let mut out = update[..structs_len(update, &ranges)].to_vec();
    write_var_uint(&mut out, clients.len() as u64);
    for client in clients {
        let of_client = ranges.iter().filter(|(of, _)| *of == client);
        let mut pieces: Vec<_> = of_client
            .flat_map(|(_, range)| {
                let middle = range.start.midpoint(range.end);
                [range.start..middle, middle..range.end]
            })
            .filter(|piece| !piece.is_empty())
            .collect();
        pieces.reverse();
        write_section(&mut out, client.0, &pieces);
    }
    out
}

/// How many bytes of an update are structs: all before the delete set, whose
/// encoding follows from its ranges.
fn structs_len(update: &[u8], ranges: &[(ClientId, Range<u32>)]) -> usize {
    let mut tail = Vec::new();
    let mut sections: Vec<(u64, Vec<Range<u32>>)> = Vec::new();
    for (client, range) in ranges {
        match sections.last_mut() {
            Some((last, of_client)) if *last == client.0 => of_client.push(range.clone()),
            _ => sections.push((client.0, vec![range.clone()])),
        }
    }
    write_var_uint(&mut tail, sections.len() as u64);
    for (client, of_client) in sections {
        write_section(&mut tail, client, &of_client);
    }
    debug_assert!(update.ends_with(&tail), "numbers are written in one way");
    update.len() - tail.len()
}

fn write_section(out: &mut Vec<u8>, client: u64, ranges: &[Range<u32>]) {
    write_var_uint(out, client);
    write_var_uint(out, ranges.len() as u64);
    for range in ranges {
        write_var_uint(out, u64::from(range.start));
        write_var_uint(out, u64::from(range.end - range.start));
    }
}
