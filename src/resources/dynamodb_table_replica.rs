//! A replica of a table; its region is the replica's, its name the table's.

use super::Tags;
use serde::{Deserialize, Serialize};

/// Managed fields of a replica.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Region of the table it is a replica of. Made and removed through that region, configured in its own.
    pub source_region: String,
    /// In the replica's region.
    pub point_in_time_recovery: bool,
    /// In the replica's region.
    pub deletion_protection: bool,
    /// Owner's and user's tags, in the replica's region.
    pub tags: Tags,
}
