//! Free TCP ports.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Below the range from which Linux and macOS give outgoing connections theirs: a port from that range could be
/// taken by any connection while a server on it is being restarted.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port on 127.0.0.1 on which nothing listens at the moment.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let span = u64::from(RANGE.end - RANGE.start);
    for _ in 0..200 {
        // RandomState is seeded anew for each process and each call, so that parallel tests seldom meet.
        let offset = RandomState::new().build_hasher().finish() % span;
        let port = RANGE.start + u16::try_from(offset)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!(
        "no free port between {} and {} on 127.0.0.1",
        RANGE.start,
        RANGE.end
    )
}
