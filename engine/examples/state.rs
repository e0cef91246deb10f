//! Drives [`DocumentState`] from another process, so that tests written in
//! other languages can hold it against Yjs.
//!
//! Reads commands from standard input and answers each on standard output, in
//! turn. A command is a length (32 bits, little-endian) and that many bytes: an
//! operation, a slot, the operand. An answer is a length and that many bytes.
//! Each slot holds one document, empty at first.
//!
//! | operation | operand | answer |
//! |---|---|---|
//! | `a` apply | update | 0 and the error's text; or 1, what is new (0 nothing, 1 all, 2 some and its length and bytes), what to send again (as before, 0 or 2) |
//! | `v` state vector | | encoded |
//! | `d` diff | state vector | an update |
//! | `e` encode | | an update |
//! | `c` compact | 1 to drop deleted content, else 0 | |
//! | `k` copy | the slot to copy from | |
//! | `r` reset | | |
//! | `s` size | | bytes of structs in memory, as 64 bits |

use std::{
    collections::BTreeMap,
    io::{self, BufReader, BufWriter, Read, Write},
};

use ysyncd_engine::{
    document::{DocumentState, NewPart},
    state_vector::StateVector,
};

fn main() -> io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock());
    let mut output = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut slots = BTreeMap::new();
    while let Some(command) = read_frame(&mut input)? {
        let answer = answer(&mut slots, &command)?;
        output.write_all(&frame_len(&answer).to_le_bytes())?;
        output.write_all(&answer)?;
        // The other side may wait for the answer before it goes on.
        if input.buffer().is_empty() {
            output.flush()?;
        }
    }
    output.flush()
}

fn answer(slots: &mut BTreeMap<u8, DocumentState>, command: &[u8]) -> io::Result<Vec<u8>> {
    let [operation, slot, operand @ ..] = command else {
        return Err(io::Error::other("a command has an operation and a slot"));
    };
    if *operation == b'k' {
        let from = operand.first().and_then(|slot| slots.get(slot));
        let copy = from.cloned().unwrap_or_default();
        slots.insert(*slot, copy);
        return Ok(Vec::new());
    }
    let document = slots.entry(*slot).or_default();
    match operation {
        b'a' => Ok(apply(document, operand)),
        b'v' => Ok(document.state_vector().encode()),
        b'd' => {
            let known = StateVector::decode(operand).map_err(io::Error::other)?;
            Ok(document.diff(&known).to_vec())
        }
        b'e' => Ok(document.encode().to_vec()),
        b'c' => {
            document.compact(operand == [1]);
            Ok(Vec::new())
        }
        b'r' => {
            *document = DocumentState::default();
            Ok(Vec::new())
        }
        b's' => Ok((document.struct_bytes() as u64).to_le_bytes().to_vec()),
        _ => Err(io::Error::other("unknown operation")),
    }
}

fn apply(document: &mut DocumentState, update: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match document.apply(update) {
        Err(error) => {
            out.push(0);
            out.extend_from_slice(error.to_string().as_bytes());
        }
        Ok(applied) => {
            out.push(1);
            match applied.new_part {
                NewPart::Nothing => out.push(0),
                NewPart::All => out.push(1),
                NewPart::Some(bytes) => write_some(&mut out, &bytes),
            }
            match applied.resend {
                None => out.push(0),
                Some(bytes) => write_some(&mut out, &bytes),
            }
        }
    }
    out
}

fn write_some(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(2);
    out.extend_from_slice(&frame_len(bytes).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// The next length and its bytes, or `None` where the input ends.
fn read_frame(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 4];
    match input.read_exact(&mut len) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    input.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

fn frame_len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("a test's documents are far below 4 GiB")
}
