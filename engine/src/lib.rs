//! The protocol and document logic of ysyncd, free of IO.
pub mod auth;
pub mod config;
pub mod event;
pub mod id;
pub mod input;
pub mod output;
pub mod store;
pub mod time;
