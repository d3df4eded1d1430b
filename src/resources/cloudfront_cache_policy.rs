//! A cache policy, shared by content over the account.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Managed fields of a cache policy. All query strings are in the key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Seconds.
    pub default_ttl: i64,
    /// Seconds.
    pub max_ttl: i64,
    /// Seconds.
    pub min_ttl: i64,
    /// Names in the key; empty is none.
    pub cookies: BTreeSet<String>,
    /// Names in the key; empty is none.
    pub headers: BTreeSet<String>,
}
