//! What the edge makes of distributions of the real emulator, and of origins that fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod caching;
mod config;
mod control;
mod failover;
mod functions;
mod routing;
mod server;
mod world;
