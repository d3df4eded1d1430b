//! Our replication rule on a bucket; others' rules stay. Named as the source bucket.

use crate::model::Input;
use serde::{Deserialize, Serialize};

/// Managed fields of a replication.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// ARN of the role that S3 assumes.
    pub role_arn: Input,
    /// ARN of the destination bucket.
    pub destination_arn: Input,
    /// Whether S3 promises 15 minutes, and is paid for it.
    pub replication_time_control: bool,
}
