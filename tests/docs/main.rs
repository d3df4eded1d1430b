//! The documentation, held to what it speaks of: every link leads somewhere, every module has its row, and every reason
//! that the program gives is explained, and no other. (Manifests and commands of the pages are tested in
//! `src/cli/tests.rs`, where they are known.)

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod links;
mod modules;
mod pages;
mod reasons;
