//! An origin access control, shared by content over the account: signs always, by SigV4.

use serde::{Deserialize, Serialize};

/// Managed fields of an origin access control.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// `lambda` or `s3`.
    pub origin_type: String,
    /// When requests are signed, as CloudFront spells it: `always`.
    pub signing: String,
}
