//! One record set: an alias to the distribution, or a certificate's validation. Named `<domain>/<purpose>`.

use crate::model::Input;
use serde::{Deserialize, Serialize};

/// Managed fields of a record set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Hosted zone's id, without `/hostedzone/`.
    pub zone_id: Input,
    /// Fully qualified, without the trailing dot.
    pub name: Input,
    /// `A`, `AAAA` or `CNAME`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it answers.
    pub target: Target,
}

/// What a record answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Target {
    /// An alias to a distribution, by its domain name; target health is not evaluated.
    Distribution(Input),
    /// A value with a time to live in seconds.
    Value {
        /// Without the trailing dot.
        value: Input,
        /// Seconds.
        ttl: i64,
    },
}
