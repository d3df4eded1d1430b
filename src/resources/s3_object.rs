//! The function's zip in a deployment bucket; named `<bucket>/<key>`.

use crate::model::Input;
use serde::{Deserialize, Serialize};

/// Managed fields of an object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Where it comes from.
    pub source: Source,
}

/// Where an object comes from.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Source {
    /// A placeholder of ours if there is none yet; whatever is there is then the user's, and stays.
    PlaceholderIfAbsent,
    /// A given version, put there by the user.
    Pinned(String),
    /// A copy of a version of another bucket's object.
    CopyOf {
        /// Bucket, in another region.
        bucket: String,
        /// Key.
        key: String,
        /// S3 version id there.
        version: Input,
    },
}
