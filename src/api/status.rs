//! What the controller reports: `status`. Nothing in it moves without cause: no counters, no time of the last look.
//!
//! Lists are list-maps where items have a key, atomic where they are written whole. Nothing is bounded by the schema: a status
//! that is too long must not stop the controller from reporting.

use super::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is, as far as the controller knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MultiRegionAppStatus {
    /// Generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Synced, FailoverHealthy, ReplicationHealthy and RuntimeSupported are always there; CertificateIssued with a domain;
    /// Reconciling and Stalled only while True.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Where the app is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The CloudFront distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<DistributionStatus>,
    /// What runs in each region.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["role"]))]
    pub regions: Vec<RegionStatus>,
    /// Each replication, in each direction.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["source", "from", "to"]))]
    pub replication: Vec<ReplicationStatus>,
    /// DNS records to create by hand, with a domain and no hosted zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsStatus>,
    /// Tokens of the annotations that were acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled: Option<LastHandled>,
    /// AWS resources of the app, at most 60. A cache: it may be lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub inventory: Vec<InventoryItem>,
    /// AWS resources that were left behind on purpose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub retained: Vec<RetainedItem>,
    /// What is still to be done, at most 20 changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub pending: Vec<PendingChange>,
}

/// The CloudFront distribution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DistributionStatus {
    /// Its id, such as E1A2B3C4D5E6F7.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its name at cloudfront.net.
    pub domain_name: String,
    /// `InProgress` or `Deployed`.
    pub status: String,
}

/// What runs in one region. A field is absent until AWS has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegionStatus {
    /// `Primary` or `DR`.
    pub role: Role,
    /// Region, such as us-east-1.
    pub region: String,
    /// ARN of the function.
    #[serde(
        rename = "functionARN",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub function_arn: Option<String>,
    /// URL of the function; only CloudFront may call it.
    #[serde(
        rename = "functionURL",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub function_url: Option<String>,
    /// Hash of the code the function runs, as Lambda reports it: SHA-256 in base64.
    #[serde(
        rename = "codeSHA256",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub code_sha256: Option<String>,
    /// Bucket that the function's code is loaded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_bucket: Option<String>,
    /// Bucket with the static files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_bucket: Option<String>,
}

/// What a region is for.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum Role {
    /// Takes the writes.
    #[default]
    Primary,
    /// Takes over.
    #[serde(rename = "DR")]
    Dr,
}

/// One replication, in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationStatus {
    /// What is replicated, `dynamodb/<table>` or `s3/<bucket>`.
    pub source: String,
    /// Region that it comes from.
    pub from: String,
    /// Region that it goes to.
    pub to: String,
    /// How it stands, in one word such as `NoData` or `ReplicaNotActive`.
    pub state: String,
}

/// DNS records to create by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsStatus {
    /// The records.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub records: Vec<DnsRecord>,
}

/// A DNS record to create by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DnsRecord {
    /// Name of the record.
    pub name: String,
    /// Type of the record, such as CNAME.
    pub r#type: String,
    /// Value of the record.
    pub value: String,
    /// What it is for.
    pub purpose: DnsRecordPurpose,
}

/// What a DNS record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnsRecordPurpose {
    /// Proves to ACM that the domain is yours; it stays, for renewals.
    Validation,
    /// Sends the domain's traffic to the distribution.
    Alias,
}

/// Tokens of the annotations that were acted on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastHandled {
    /// Of `multiregion.dev/reconcile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconcile: Option<String>,
}

/// An AWS resource of the app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryItem {
    /// Kind, such as `lambda_function`.
    pub kind: String,
    /// Region; absent for what is global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name.
    pub name: String,
    /// Id that AWS chose, where it is not the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// An AWS resource that was left behind on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetainedItem {
    /// Kind, such as `dynamodb_table`.
    pub kind: String,
    /// Region; absent for what is global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Name.
    pub name: String,
    /// Why it stays.
    pub reason: String,
}

/// A change still to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    /// Which resource.
    pub resource: String,
    /// What is to happen to it.
    pub change: String,
    /// What it waits on; absent if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_on: Option<String>,
}
