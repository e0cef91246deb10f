//! Tests of the engine through its public API.

mod protocol_page;
