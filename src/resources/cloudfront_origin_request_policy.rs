//! An origin request policy, shared by content over the account.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Managed fields of an origin request policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Names forwarded; empty is none.
    pub cookies: BTreeSet<String>,
    /// Names forwarded; empty is none.
    pub headers: BTreeSet<String>,
    /// Which query strings are forwarded, as CloudFront spells it: `all`.
    pub query_strings: String,
}
