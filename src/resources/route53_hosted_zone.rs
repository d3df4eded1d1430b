//! A public hosted zone, only read; named by its domain or its id.

use serde::{Deserialize, Serialize};

/// Nothing of a hosted zone is managed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {}
