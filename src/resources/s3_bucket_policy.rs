//! Our statements in a bucket's policy, by their Sid; others' statements stay. Named as the bucket.

use super::policy::Statements;
use serde::{Deserialize, Serialize};

/// Managed fields of a bucket policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Ours, all with Sids that begin with [`SID_PREFIX`].
    pub statements: Statements,
}

/// What the Sids of our statements begin with.
pub const SID_PREFIX: &str = "MultiRegion";
