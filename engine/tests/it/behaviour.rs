//! What an engine does, rule by rule: inputs by hand, a clock that stands
//! still until it is moved, and a store that answers what a test says.

mod awareness;
mod awareness_limits;
mod awareness_owners;
mod bad_input;
mod bus;
mod copies;
mod cost;
mod crafted;
mod document_life;
mod inspect;
mod journal;
mod limits;
mod nesting;
mod presence;
mod rights;
mod room;
mod saving;
mod shutdown;
mod slow_clients;
mod sync;
mod wire;
mod world;
