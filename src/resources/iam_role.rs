//! An IAM role with its inline policies.

use std::collections::{BTreeMap, BTreeSet};

use super::Tags;
use super::policy::Statements;
use serde::{Deserialize, Serialize};

/// Managed fields of a role.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Services that may assume it, as in `lambda.amazonaws.com`.
    pub trusted_services: BTreeSet<String>,
    /// Statements by the inline policy's name. Others' inline policies stay.
    pub inline_policies: BTreeMap<String, Statements>,
    /// Owner's and user's tags.
    pub tags: Tags,
}
