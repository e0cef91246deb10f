//! The protocol and document logic of ysyncd, free of IO.
pub mod auth;
pub mod config;
pub mod document;
pub mod event;
pub mod id;
pub mod input;
mod json;
pub mod lib0;
pub mod output;
pub mod state_vector;
pub mod store;
pub mod time;
pub mod update;
