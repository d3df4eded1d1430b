//! A cache policy, shared by content over the account.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Managed fields of a cache policy.
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
    /// Which query strings are in the key, as CloudFront spells it: `all`.
    pub query_strings: String,
    /// Compressions offered to viewers and kept apart in the key: `br`, `gzip`.
    pub encodings: BTreeSet<String>,
}
