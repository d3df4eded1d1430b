//! A certificate in us-east-1, validated by DNS; named as its domain, or (only read) by its ARN.

use super::Tags;
use serde::{Deserialize, Serialize};

/// Managed fields of a certificate.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The domain it is for.
    pub domain_name: String,
    /// Owner's and user's tags; absent for a certificate that is only read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tags: Option<Tags>,
}
