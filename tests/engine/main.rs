//! The engine against a fake of AWS that refuses, delays, fails and forgets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod apps;
mod damage;
mod drive;
mod edge;
mod figures;
mod property;
mod recorded;
mod rules;
mod sim;
mod stories;
mod write_path;
