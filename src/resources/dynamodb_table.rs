//! A table in its primary region: keys, streams, time to live, recovery, protection.

use super::Tags;
use serde::{Deserialize, Serialize};

/// Managed fields of a table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Partition key.
    pub partition_key: KeyAttribute,
    /// Sort key; always compared: `null` is none.
    pub sort_key: Option<KeyAttribute>,
    /// `PAY_PER_REQUEST`, which global tables want.
    pub billing_mode: String,
    /// `NEW_AND_OLD_IMAGES`, which global tables want.
    pub stream_view_type: String,
    /// Attribute of the expiry time; absent is unmanaged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_to_live_attribute: Option<String>,
    /// In this region.
    pub point_in_time_recovery: bool,
    /// In this region.
    pub deletion_protection: bool,
    /// Owner's and user's tags, in this region.
    pub tags: Tags,
}

/// An attribute of a key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// `S`, `N` or `B`.
    #[serde(rename = "type")]
    pub kind: String,
}
