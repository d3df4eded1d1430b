//! A Lambda function, its configuration and its code.

use std::collections::BTreeMap;

use super::Tags;
use crate::model::Input;
use serde::{Deserialize, Serialize};

/// Managed fields of a function.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// ARN of the execution role.
    pub role_arn: Input,
    /// As in `nodejs24.x`.
    pub runtime: String,
    /// As in `index.handler`.
    pub handler: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// MiB.
    pub memory_size: i32,
    /// Seconds.
    pub timeout: i32,
    /// Environment variables; their values are never printed.
    pub environment: BTreeMap<String, String>,
    /// What it runs.
    pub code: Code,
    /// Owner's and user's tags.
    pub tags: Tags,
}

/// The zip a function runs: one version of one object in a bucket of the function's region.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Code {
    /// Bucket.
    pub bucket: String,
    /// Key.
    pub key: String,
    /// S3 version id. Observed from the function's tag, as long as the tag's hash is that of the code AWS runs.
    pub version: Input,
}
