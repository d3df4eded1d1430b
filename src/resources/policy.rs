//! Policy documents by their meaning: parsed, sorted, decoded; never compared as text.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Input;
use serde::{Deserialize, Serialize};

/// Statements by their Sid.
pub type Statements = BTreeMap<String, Statement>;

/// One statement of a policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// `Allow` or `Deny`.
    pub effect: Effect,
    /// Whom it speaks of; none in a role's own policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub principal: Option<Principal>,
    /// Actions, as in `s3:GetObject`.
    pub actions: BTreeSet<String>,
    /// ARNs.
    pub resources: BTreeSet<Input>,
    /// Values by operator and key, as in `StringEquals` → `aws:SourceArn` → ARNs.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub conditions: BTreeMap<String, BTreeMap<String, BTreeSet<Input>>>,
}

/// Whether a statement allows or denies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "IAM's own two words")]
pub enum Effect {
    Allow,
    Deny,
}

/// Whom a resource's policy speaks of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Principal {
    /// `*`.
    Anyone,
    /// An AWS service, as in `cloudfront.amazonaws.com`.
    Service(String),
    /// An ARN.
    Aws(Input),
}
