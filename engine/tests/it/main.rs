//! Tests of the engine through its public API.

mod behaviour;
mod protocol_page;
