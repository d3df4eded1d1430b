//! A bucket with versioning, encryption, ownership, public access block, lifecycle and tags.

use super::Tags;
use serde::{Deserialize, Serialize};

/// Managed fields of a bucket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Whether versions are kept. Off is never written: AWS can only suspend it.
    pub versioning: bool,
    /// Default encryption, `AES256`.
    pub encryption: String,
    /// `BucketOwnerEnforced`: no ACLs.
    pub object_ownership: String,
    /// All four public access blocks.
    pub public_access_blocked: bool,
    /// Our lifecycle rule; others' rules stay.
    pub lifecycle: Lifecycle,
    /// Owner's and user's tags.
    pub tags: Tags,
}

/// Our lifecycle rule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lifecycle {
    /// How many noncurrent versions stay; `None`: all.
    pub noncurrent_versions_kept: Option<i32>,
    /// Days after which a noncurrent version beyond those goes.
    pub noncurrent_days: Option<i32>,
    /// Days after which an unfinished multipart upload is dropped.
    pub abort_multipart_days: i32,
}
