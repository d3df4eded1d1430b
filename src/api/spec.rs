//! What users declare: `spec`.
//!
//! Every list, string and map is bounded, or the API server refuses the CEL rules for what they might cost. Lists of scalars are
//! atomic, because server-side apply cannot take a default out of a set. Defaults of objects are whole objects.

use super::rules::{
    dr_stays_while_it_takes_writes, prefix_fits_dr, prefix_fits_primary, prefix_is_immutable,
    prefix_is_valid, region_rule, rules,
};
use super::{Cdn, Failover, Function, Objectives, StaticAssets, Table};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the app is made of, and where.
#[derive(
    CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema,
)]
#[kube(
    group = "multiregion.dev",
    version = "v1alpha1",
    kind = "MultiRegionApp",
    doc = "A serverless web application in two AWS regions: CloudFront in front of Lambda and S3 in a primary and a DR region, with DynamoDB global tables.",
    namespaced,
    plural = "multiregionapps",
    singular = "multiregionapp",
    shortname = "mra",
    category = "aws",
    status = "super::MultiRegionAppStatus",
    derive = "PartialEq",
    validation = prefix_is_valid(),
    validation = prefix_is_immutable(),
    validation = prefix_fits_primary(),
    validation = prefix_fits_dr(),
    validation = dr_stays_while_it_takes_writes(),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the app serves as declared"
    ),
    printcolumn(
        name = "Writer",
        type_ = "string",
        json_path = ".status.writer.active",
        description = "Which region takes the writes"
    ),
    printcolumn(
        name = "Failover",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="FailoverHealthy")].reason"#,
        description = "Whether the DR region could take over now"
    ),
    printcolumn(
        name = "Lag",
        type_ = "integer",
        json_path = ".status.replicationLagSeconds",
        description = "Longest replication lag, in seconds, rounded up"
    ),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", description = "Where the app is served"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Primary",
        type_ = "string",
        json_path = ".spec.regions.primary",
        description = "Primary region",
        priority = 1
    ),
    printcolumn(
        name = "DR",
        type_ = "string",
        json_path = ".spec.regions.dr",
        description = "DR region",
        priority = 1
    ),
    printcolumn(
        name = "Distribution",
        type_ = "string",
        json_path = ".status.distribution.id",
        description = "Id of the CloudFront distribution",
        priority = 1
    ),
    printcolumn(
        name = "Synced",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Synced")].status"#,
        description = "Whether AWS matches the manifest",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules([
    (
        "self.cdn.writePaths.all(w, !(w in self.staticAssets.paths))",
        "a path cannot be both in cdn.writePaths and in staticAssets.paths: take it out of one",
    ),
    (
        "has(self.regions.dr) || self.failover.writes.active != 'DR'",
        "failover.writes.active cannot be DR without regions.dr: make it Primary, or keep regions.dr",
    ),
    (
        "has(self.regions.dr) || self.failover.writes.mode != 'Automatic'",
        "failover.writes.mode cannot be Automatic without regions.dr: make it Manual, or set regions.dr",
    ),
])))]
pub struct MultiRegionAppSpec {
    /// Start of the name of every AWS resource; the object's name if absent. 3 to 20 lower case letters, digits and dashes.
    /// Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub resource_prefix: Option<String>,
    /// Where the app runs.
    pub regions: Regions,
    /// Domain the app is served on; if absent, the distribution's cloudfront.net name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// The Lambda function that answers dynamic requests, the same in both regions.
    #[serde(default)]
    pub function: Function,
    /// Static files, served from a bucket in each region; the primary's is replicated to DR.
    #[serde(default)]
    pub static_assets: StaticAssets,
    /// DynamoDB tables, each a global table with a replica in the DR region. A table taken out of the list is kept in AWS.
    #[schemars(
        length(min = 1, max = 20),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]),
        extend("x-kubernetes-validations" = rules([(
            "self.all(t, oldSelf.all(o, o.name != t.name || o.key == t.key))",
            "the key of a table cannot change: add a table with another name instead",
        )]))
    )]
    pub tables: Vec<Table>,
    /// The CloudFront distribution in front of both regions.
    #[serde(default)]
    pub cdn: Cdn,
    /// How health is told, and which region takes the writes.
    #[serde(default)]
    pub failover: Failover,
    /// How much may be lost, in time.
    #[serde(default)]
    pub objectives: Objectives,
    /// `Full`: create, correct and delete. `Observe`: plan and report, no AWS write of any kind.
    #[serde(default)]
    pub management_policy: ManagementPolicy,
    /// What deleting this object leaves in AWS. `Retain`: everything. `RetainData`: tables, log groups and buckets that are not
    /// empty. `Delete`: nothing.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// `Never`: an AWS resource that exists under an expected name is an error. `IfUnowned`: it is taken over unless it carries
    /// another owner.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,
    /// Stop changing AWS; a deletion waits, too.
    #[serde(default)]
    pub suspend: bool,
    /// Tags on every AWS resource that can carry them, besides the owner's.
    #[serde(default)]
    #[schemars(
        extend("maxProperties" = 40, "additionalProperties" = {"type": "string", "maxLength": 256}),
        extend("x-kubernetes-validations" = rules([
            (
                "self.all(k, !k.startsWith('aws:') && !k.startsWith('multiregion.dev/'))",
                "tag names starting with aws: and multiregion.dev/ are reserved: choose other names",
            ),
            ("self.all(k, k.matches('^.{1,128}$'))", "a tag name has 1 to 128 characters: shorten it"),
            (
                r"self.all(k, k.matches('^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]*$') && self[k].matches('^[\\p{L}\\p{Z}\\p{N}_.:/=+@-]*$'))",
                "tag names and values are made of letters, digits, spaces and _ . : / = + - @: take out what is not",
            ),
        ]))
    )]
    pub tags: BTreeMap<String, String>,
}

/// Where the app runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules([
    ("!has(self.dr) || self.dr != self.primary", "regions.dr must be another region than regions.primary"),
    ("self.primary == oldSelf.primary", "regions.primary cannot change: create another app in the new region"),
    (
        "!has(self.dr) || !has(oldSelf.dr) || self.dr == oldSelf.dr",
        "regions.dr cannot change in place: remove it, wait until the app is Ready, then add the new region",
    ),
])))]
pub struct Regions {
    /// Region that takes the writes, such as us-east-1. Immutable.
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = region_rule()))]
    pub primary: String,
    /// Region that takes over, such as us-west-2. Absent: a single region. May be added and removed, not changed in place.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), extend("x-kubernetes-validations" = region_rule()))]
    pub dr: Option<String>,
}

/// Domain the app is served on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules([(
    "!has(self.hostedZone) || self.hostedZone.matches('^Z[A-Z0-9]{8,32}$') || self.name == self.hostedZone || self.name.endsWith('.' + self.hostedZone)",
    "domain.hostedZone must be the domain or a parent of domain.name (shop.example.com is in example.com), or a zone id such as Z0123456789ABCDEFGHIJ",
)])))]
pub struct Domain {
    /// Name of the site, such as shop.example.com.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = rules([(
        "self.matches('^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",
        "must be a host name in lower case without a dot at its end, such as shop.example.com",
    )])))]
    pub name: String,
    /// Public Route 53 zone, by name (example.com) or id (Z0123456789ABCDEFGHIJ). Absent: DNS is elsewhere, and the records to
    /// create are in `status.dns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub hosted_zone: Option<String>,
    /// Certificate in us-east-1 that covers the name. Absent: one is requested and validated by DNS.
    #[serde(rename = "certificateARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255), extend("x-kubernetes-validations" = rules([(
        "self.matches('^arn:aws:acm:us-east-1:[0-9]{12}:certificate/[A-Za-z0-9-]+$')",
        "must be the ARN of an ACM certificate in us-east-1, the only region CloudFront takes certificates from",
    )])))]
    pub certificate_arn: Option<String>,
}

/// Something that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Toggle {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

impl Toggle {
    /// Whether it is on.
    pub fn is_enabled(self) -> bool {
        self == Self::Enabled
    }

    pub(super) fn enabled() -> Self {
        Self::Enabled
    }
}

/// What the controller does to AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManagementPolicy {
    /// Create, correct and delete.
    #[default]
    Full,
    /// Plan and report, without any AWS write; deleting the object only lets it go.
    Observe,
}

/// What deleting the object leaves in AWS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Everything stays.
    Retain,
    /// Tables, log groups and buckets that are not empty stay.
    #[default]
    RetainData,
    /// Nothing stays.
    Delete,
}

/// What happens to AWS resources that exist under an expected name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// They are an error.
    #[default]
    Never,
    /// They are taken over unless they carry another owner.
    IfUnowned,
}
