//! An origin access identity, found by the owner key in its comment.

use serde::{Deserialize, Serialize};

/// Nothing of an access identity can change but its comment, which names the owner.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {}
