//! Bytes as lib0 values: the first byte says how many choose what is read, then
//! come those, then what is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ysyncd_engine::lib0::{Reader, UINT_MAX, var_uint_len, write_var_bytes, write_var_uint};
use ysyncd_fuzz::cost::Bound;

/// Reading allocates nothing.
const READING: Bound = Bound {
    peak_per_byte: 0,
    total_per_byte: 0,
    fixed: 0,
};

fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else {
        return;
    };
    let (choices, bytes) = rest.split_at(usize::from(count).min(rest.len()));
    READING.keep(bytes.len(), || {
        let mut reader = Reader::new(bytes);
        for choice in choices {
            // Whatever comes of it; after an error, too.
            match choice % 6 {
                0 => _ = reader.u8(),
                1 => _ = reader.var_uint(),
                2 => _ = reader.skip_var_int(),
                3 => _ = reader.bytes(usize::from(*choice)),
                4 => _ = reader.var_bytes(),
                _ => _ = reader.var_str(),
            }
            assert!(bytes.ends_with(reader.rest()));
        }
    });
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let mut alternative = reader.clone();
        if let Ok(number) = reader.var_uint() {
            assert!(number <= UINT_MAX);
            let mut again = Vec::new();
            write_var_uint(&mut again, number);
            assert_eq!(again.len(), var_uint_len(number));
            assert_eq!(Reader::new(&again).var_uint(), Ok(number));
        }
        if let Ok(value) = alternative.var_bytes() {
            let mut again = Vec::new();
            write_var_bytes(&mut again, value);
            assert_eq!(Reader::new(&again).var_bytes(), Ok(value));
            let text = std::str::from_utf8(value);
            assert_eq!(Reader::new(&again).var_str().ok(), text.ok());
        }
        if reader.u8().is_err() {
            break;
        }
    }
});
