//! What the controller reports: `status`. Nothing in it moves without cause: no counters, no time of the last look.
//!
//! Lists are list-maps where items have a key, atomic where they are written whole. Nothing is bounded by the schema: a status
//! that is too long must not stop the controller from reporting.

use super::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is, as far as the controller knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
// kstatus takes an object without any status for one that is as declared, which a new one is not.
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct MultiRegionAppStatus {
    /// Generation of the spec that this status is about; -1 until the controller has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Synced, FailoverHealthy, ReplicationHealthy, CodeInSync and RuntimeSupported are always there; CertificateIssued with a domain;
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
    /// Which region takes the writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer: Option<WriterStatus>,
    /// Longest lag of all replications, in seconds, rounded up to 1, 2, 5, 10, 30, 60, 120, 300 and so on. Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_lag_seconds: Option<i64>,
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
    /// The last drill of the failover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_drill: Option<DrillStatus>,
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

impl MultiRegionAppStatus {
    /// Whether the controller has written it: of a new object it is the API server's.
    pub fn is_observed(&self) -> bool {
        self.observed_generation
            .is_some_and(|generation| generation >= 0)
    }
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

/// Which region takes the writes. The truth is what the edge reads, the value in its key value store; this is a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WriterStatus {
    /// `Primary` or `DR`.
    pub active: Role,
    /// Counts the moves.
    pub epoch: i64,
    /// When it became so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Why it is so, or why it does not move, in one word.
    pub reason: String,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether it is so by the annotation force-writer, against what the spec prefers. It stays, whatever `reason` says
    /// meanwhile, until the annotation failback, an edit of `failover.writes` or a failure moves the writes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// ARN of the key value store; a move of the writes needs no other call to find it.
    #[serde(rename = "storeARN", default, skip_serializing_if = "Option::is_none")]
    pub store_arn: Option<String>,
}

/// A drill of the failover.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DrillStatus {
    /// Token of the annotation that asked for it.
    pub id: String,
    /// How far it is: `Running`, `Succeeded`, `Failed`, `Refused`.
    pub result: String,
    /// Why, in one word.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// While it runs: what it does now, one of `MovingToDR`, `AtDR`, `MovingBack`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Epoch of the writer that it sets at DR. Whoever finds a drill that nobody runs any more takes that writer back, and
    /// no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Time>,
    /// When the last drill that succeeded ended: this one, or one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_succeeded: Option<Time>,
    /// Milliseconds from the move to the first answer of the edge that named DR.
    #[serde(
        rename = "toDRMilliseconds",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub to_dr_milliseconds: Option<i64>,
    /// Milliseconds from the move back to the first answer of the edge that named the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_primary_milliseconds: Option<i64>,
    /// Milliseconds of writes that would have been lost had the primary failed as the drill began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point_milliseconds: Option<i64>,
    /// Requests sent by the drill that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_requests: Option<i64>,
    /// What came of the declared write probe: `Passed`, `Failed`, `NotDeclared`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_probe: Option<String>,
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
    /// What the probes say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<RegionHealth>,
    /// When `health` became so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
}

/// What the probes say of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RegionHealth {
    /// It answers.
    Healthy,
    /// It does not, past the threshold.
    Unhealthy,
    /// It was not probed of late.
    #[default]
    Unknown,
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
    /// Lag in seconds, rounded up to 1, 2, 5, 10, 30, 60, 120, 300 and so on. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<i64>,
    /// How it stands, in one word such as `WithinObjective`, `NoData` or `ReplicaNotActive`.
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
    /// Of `multiregion.dev/drill`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    /// Of `multiregion.dev/force-writer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_writer: Option<String>,
    /// Of `multiregion.dev/failback`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failback: Option<String>,
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
