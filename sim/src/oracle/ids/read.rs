//! Finds the ids of an update without looking at what it says: a second reader
//! of the format, so that the engine's does not vouch for itself, and a fast
//! one, as oracles look at every update several times.
//!
//! The format is that of `readClientsStructRefs` and `readDeleteSet` of Yjs.

use ysyncd_engine::lib0::{ReadError, Reader};

use super::runs::{Row, Run};

/// Ids as an update tells them, in its order.
#[derive(Default)]
pub(super) struct Told {
    /// Of all structs.
    pub(super) structs: Row,
    /// Of the structs that are but a length, and of the deletes.
    pub(super) deletes: Row,
    /// Of the structs that hold something.
    pub(super) content: Row,
    /// Of those that hold several values.
    pub(super) rows: Row,
}

/// What a struct is: the low bits of its first byte.
const KIND: u8 = 0b1_1111;
const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_PARENT_SUB: u8 = 0x20;

/// Reads all ids of an update.
pub(super) fn told(update: &[u8]) -> Result<Told, ReadError> {
    let mut reader = Reader::new(update);
    let mut told = Told::default();
    for _ in 0..reader.var_uint()? {
        let (count, client) = (reader.var_uint()?, reader.var_uint()?);
        let mut clock = clock(&mut reader)?;
        for _ in 0..count {
            let info = reader.u8()?;
            let len = match info & KIND {
                0 | 10 => self::clock(&mut reader)?,
                kind => {
                    skip_place(&mut reader, info)?;
                    skip_content(&mut reader, kind)?
                }
            };
            let run = Run::new(client, clock..clock.saturating_add(len));
            clock = run.end;
            match info & KIND {
                10 => {}
                0 | 1 => {
                    run.join_or_push(&mut told.structs);
                    run.join_or_push(&mut told.deletes);
                }
                kind => {
                    if matches!(kind, 2 | 8) && len > 1 {
                        run.join_or_push(&mut told.rows);
                    }
                    run.join_or_push(&mut told.content);
                    run.join_or_push(&mut told.structs);
                }
            }
        }
    }
    for _ in 0..reader.var_uint()? {
        let client = reader.var_uint()?;
        for _ in 0..reader.var_uint()? {
            let (start, len) = (clock(&mut reader)?, clock(&mut reader)?);
            let run = Run::new(client, start..start.saturating_add(len));
            run.join_or_push(&mut told.deletes);
        }
    }
    Ok(told)
}

/// Reads a state vector: what it covers.
pub(super) fn covered(vector: &[u8]) -> Result<Row, ReadError> {
    let mut reader = Reader::new(vector);
    let mut covered = Row::new();
    for _ in 0..reader.var_uint()? {
        let client = reader.var_uint()?;
        covered.push(Run::new(client, 0..clock(&mut reader)?));
    }
    Ok(covered)
}

fn clock(reader: &mut Reader<'_>) -> Result<u32, ReadError> {
    u32::try_from(reader.var_uint()?).map_err(|_| ReadError::Range)
}

/// Where the struct stands: its neighbours, or its parent.
fn skip_place(reader: &mut Reader<'_>, info: u8) -> Result<(), ReadError> {
    if info & HAS_ORIGIN != 0 {
        skip_id(reader)?;
    }
    if info & HAS_RIGHT_ORIGIN != 0 {
        skip_id(reader)?;
    }
    if info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) == 0 {
        match reader.var_uint()? {
            1 => drop(reader.var_bytes()?),
            _ => skip_id(reader)?,
        }
        if info & HAS_PARENT_SUB != 0 {
            reader.var_bytes()?;
        }
    }
    Ok(())
}

fn skip_id(reader: &mut Reader<'_>) -> Result<(), ReadError> {
    reader.var_uint()?;
    reader.var_uint()?;
    Ok(())
}

/// Returns how many ids the content takes.
fn skip_content(reader: &mut Reader<'_>, kind: u8) -> Result<u32, ReadError> {
    match kind {
        1 => return clock(reader),
        2 => {
            let count = clock(reader)?;
            (0..count).try_for_each(|_| reader.var_bytes().map(drop))?;
            return Ok(count);
        }
        3 | 5 => drop(reader.var_bytes()?),
        4 => {
            let units = reader.var_str()?.encode_utf16().count();
            return Ok(u32::try_from(units).unwrap_or(u32::MAX));
        }
        6 => {
            reader.var_bytes()?;
            reader.var_bytes()?;
        }
        7 => {
            // Two kinds of types have a name.
            if let 3 | 5 = reader.var_uint()? {
                reader.var_bytes()?;
            }
        }
        8 => {
            let count = clock(reader)?;
            (0..count).try_for_each(|_| skip_any(reader))?;
            return Ok(count);
        }
        9 => {
            reader.var_bytes()?;
            skip_any(reader)?;
        }
        _ => return Err(ReadError::Range),
    }
    Ok(1)
}

/// A value of lib0's "any" encoding.
fn skip_any(reader: &mut Reader<'_>) -> Result<(), ReadError> {
    match reader.u8()? {
        125 => reader.skip_var_int(),
        124 => reader.bytes(4).map(drop),
        122 | 123 => reader.bytes(8).map(drop),
        116 | 119 => reader.var_bytes().map(drop),
        118 => {
            let count = reader.var_uint()?;
            (0..count).try_for_each(|_| {
                reader.var_bytes()?;
                skip_any(reader)
            })
        }
        117 => {
            let count = reader.var_uint()?;
            (0..count).try_for_each(|_| skip_any(reader))
        }
        _ => Ok(()),
    }
}
