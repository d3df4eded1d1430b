//! What users declare: `spec`.
//!
//! Every list, string and map is bounded, or the API server refuses the CEL rules for what they might cost. Lists of scalars are
//! atomic, because server-side apply cannot take a default out of a set. Defaults of objects are whole objects.

use super::{prefix_fits_dr, prefix_fits_primary, prefix_is_immutable, prefix_is_valid, rules};
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
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the app serves as declared"
    ),
    printcolumn(
        name = "Failover",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="FailoverHealthy")].reason"#,
        description = "Whether the DR region could take over now"
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
#[schemars(extend("x-kubernetes-validations" = rules([(
    "self.cdn.writePaths.all(w, !(w in self.staticAssets.paths))",
    "a path cannot be both in cdn.writePaths and in staticAssets.paths: take it out of one",
)])))]
pub struct MultiRegionAppSpec {
    /// Start of the name of every AWS resource; the object's name if absent. 3 to 20 lower case letters, digits and dashes.
    /// Immutable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
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
            ("self.all(k, size(k) > 0 && size(k) <= 128)", "a tag name has 1 to 128 characters: shorten it"),
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
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = rules([(
        "self.matches('^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",
        "domain.name must be a host name in lower case without a dot at its end, such as shop.example.com",
    )])))]
    pub name: String,
    /// Public Route 53 zone, by name (example.com) or id (Z0123456789ABCDEFGHIJ). Absent: DNS is elsewhere, and the records to
    /// create are in `status.dns`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub hosted_zone: Option<String>,
    /// Certificate in us-east-1 that covers the name. Absent: one is requested and validated by DNS.
    #[serde(rename = "certificateARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rules([(
        "self.matches('^arn:aws:acm:us-east-1:[0-9]{12}:certificate/[A-Za-z0-9-]+$')",
        "domain.certificateARN must be the ARN of an ACM certificate in us-east-1, the only region CloudFront takes certificates from",
    )])))]
    pub certificate_arn: Option<String>,
}

/// The Lambda function that answers dynamic requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Function {
    /// Lambda runtime, such as nodejs24.x.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = rules([(
        "self.matches('^[a-z][a-z0-9]*([.][a-z0-9]+)*$')",
        "function.runtime must be a Lambda runtime identifier such as nodejs24.x",
    )])))]
    pub runtime: String,
    /// Instruction set.
    pub architecture: Architecture,
    /// Entry point in the code, `<file>.<export>`.
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = rules([(
        r"self.matches('^[^\\s]+$')",
        "function.handler must not contain spaces, such as index.handler",
    )])))]
    pub handler: String,
    /// Memory, in MiB.
    #[serde(rename = "memorySizeMiB")]
    #[schemars(range(min = 128, max = 10240))]
    pub memory_size_mib: i32,
    /// Longest time for one request, in seconds. CloudFront waits 120 at most.
    #[schemars(range(min = 1, max = 115))]
    pub timeout_seconds: i32,
    /// Environment variables besides NODE_ENV, NITRO_PRESET, PRIMARY_REGION, DR_REGION, PROJECT_NAME, DYNAMODB_TABLE (the first
    /// table) and TABLE_<NAME>. At most 2048 characters in all.
    #[schemars(
        extend("maxProperties" = 100, "additionalProperties" = {"type": "string", "maxLength": 2048}),
        extend("x-kubernetes-validations" = rules([
            (
                "self.all(k, !(k in ['NODE_ENV', 'NITRO_PRESET', 'PRIMARY_REGION', 'DR_REGION', 'PROJECT_NAME', 'DYNAMODB_TABLE', '_HANDLER', '_X_AMZN_TRACE_ID', 'LAMBDA_TASK_ROOT', 'LAMBDA_RUNTIME_DIR']) && !k.startsWith('AWS_') && !k.startsWith('TABLE_'))",
                "function.environment has a name that is reserved: NODE_ENV, NITRO_PRESET, PRIMARY_REGION, DR_REGION, PROJECT_NAME, DYNAMODB_TABLE and TABLE_* are set for you, AWS_*, LAMBDA_TASK_ROOT, LAMBDA_RUNTIME_DIR, _HANDLER and _X_AMZN_TRACE_ID by Lambda: rename it",
            ),
            (
                "self.all(k, k.startsWith('_') || k.matches('^[A-Za-z][A-Za-z0-9_]+$'))",
                "names in function.environment are at least two letters, digits and _, starting with a letter: rename what is not",
            ),
            (
                "self.map(k, size(k) + size(self[k])).sum() <= 2048",
                "names and values in function.environment have at most 2048 characters together: move large values to where the function can read them",
            ),
        ]))
    )]
    pub environment: BTreeMap<String, String>,
    /// The code, in the deployment bucket of the primary region.
    pub code: FunctionCode,
    /// How long logs are kept, in days.
    #[schemars(extend("enum" = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]))]
    pub log_retention_days: i32,
}

impl Default for Function {
    fn default() -> Self {
        Self {
            runtime: "nodejs24.x".into(),
            architecture: Architecture::default(),
            handler: "index.handler".into(),
            memory_size_mib: 512,
            timeout_seconds: 10,
            environment: BTreeMap::new(),
            code: FunctionCode::default(),
            log_retention_days: 30,
        }
    }
}

/// The function's code, in the deployment bucket of the primary region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionCode {
    /// Key of the zip file.
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = rules([(
        "!self.startsWith('/')",
        "function.code.key must not start with a slash, such as lambda/function.zip",
    )])))]
    pub key: String,
    /// S3 version id to run. Absent: always the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub version: Option<String>,
}

impl Default for FunctionCode {
    fn default() -> Self {
        Self {
            key: "lambda/function.zip".into(),
            version: None,
        }
    }
}

/// Instruction set of the function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    /// Intel and AMD.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// Graviton.
    #[serde(rename = "arm64")]
    Arm64,
}

/// Static files of the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StaticAssets {
    /// Path patterns served from the static buckets.
    #[schemars(
        length(min = 1, max = 20),
        inner(length(min = 1, max = 255)),
        extend("x-kubernetes-list-type" = "atomic"),
        extend("x-kubernetes-validations" = path_rules())
    )]
    pub paths: Vec<String>,
    /// How CloudFront proves itself to the buckets.
    pub origin_access: OriginAccess,
    /// S3 Replication Time Control: nearly all objects within 15 minutes, at a price.
    pub replication_time_control: Toggle,
}

impl Default for StaticAssets {
    fn default() -> Self {
        Self {
            paths: vec!["/_nuxt/*".into(), "/favicon.ico".into()],
            origin_access: OriginAccess::default(),
            replication_time_control: Toggle::Disabled,
        }
    }
}

/// How CloudFront proves itself to the static buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OriginAccess {
    /// Signed requests, what AWS recommends.
    #[default]
    OriginAccessControl,
    /// A CloudFront identity in the bucket policy, the older way.
    OriginAccessIdentity,
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

    fn enabled() -> Self {
        Self::Enabled
    }
}

/// A DynamoDB table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules([(
    "!has(self.timeToLiveAttribute) || (self.timeToLiveAttribute != self.key.partition.name && (!has(self.key.sort) || self.timeToLiveAttribute != self.key.sort.name))",
    "timeToLiveAttribute cannot be an attribute of the key: name another attribute",
)])))]
pub struct Table {
    /// Name without the prefix: the table in AWS is `<prefix>-<name>`, its variable TABLE_<NAME>.
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rules([(
        "self.matches('^[a-z][a-z0-9-]{0,99}$')",
        "a table's name has at most 100 lower case letters, digits and dashes, starting with a letter",
    )])))]
    pub name: String,
    /// Primary key. Immutable.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub key: TableKey,
    /// Restore to any second of the last 35 days.
    #[serde(default = "Toggle::enabled")]
    pub point_in_time_recovery: Toggle,
    /// AWS refuses to delete the table.
    #[serde(default = "Toggle::enabled")]
    pub deletion_protection: Toggle,
    /// Attribute with the time at which an item expires, in seconds since 1970. Absent: items stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub time_to_live_attribute: Option<String>,
}

/// Primary key of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules([(
    "!has(self.sort) || self.sort.name != self.partition.name",
    "key.sort must be another attribute than key.partition",
)])))]
pub struct TableKey {
    /// Partition key.
    pub partition: KeyAttribute,
    /// Sort key. Absent in a given key: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<KeyAttribute>,
}

impl Default for TableKey {
    fn default() -> Self {
        let string = |name: &str| KeyAttribute {
            name: name.into(),
            r#type: AttributeType::String,
        };
        Self {
            partition: string("PK"),
            sort: Some(string("SK")),
        }
    }
}

/// An attribute of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyAttribute {
    /// Name of the attribute.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Type of its values.
    pub r#type: AttributeType,
}

/// Type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttributeType {
    /// Text.
    String,
    /// A number.
    Number,
    /// Bytes.
    Binary,
}

/// The CloudFront distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cdn {
    /// Answers of the primary region on which a read is sent to the DR region.
    #[schemars(
        length(min = 1, max = 8),
        extend("items" = {"type": "integer", "format": "int32", "enum": [400, 403, 404, 416, 500, 502, 503, 504]}),
        extend("x-kubernetes-list-type" = "atomic"),
        extend("x-kubernetes-validations" = rules([UNIQUE]))
    )]
    pub failover_status_codes: Vec<i32>,
    /// Connections to both regions.
    pub origin: CdnOrigin,
    /// Path patterns that take all methods, are never cached, and go to the region that takes the writes.
    #[schemars(
        length(max = 20),
        inner(length(min = 1, max = 255)),
        extend("x-kubernetes-list-type" = "atomic"),
        extend("x-kubernetes-validations" = path_rules())
    )]
    pub write_paths: Vec<String>,
    /// Caching of everything that is neither a static path nor a write path.
    pub cache: CdnCache,
    /// Edge locations that serve the app.
    pub price_class: PriceClass,
    /// AWS WAF web ACL. Absent: left as it is.
    #[serde(rename = "webACLARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rules([(
        "self.matches('^arn:aws:wafv2:us-east-1:[0-9]{12}:global/webacl/[^/]+/[^/]+$')",
        "cdn.webACLARN must be the ARN of a global web ACL, arn:aws:wafv2:us-east-1:<account>:global/webacl/<name>/<id>",
    )])))]
    pub web_acl_arn: Option<String>,
}

impl Default for Cdn {
    fn default() -> Self {
        Self {
            failover_status_codes: vec![500, 502, 503, 504],
            origin: CdnOrigin::default(),
            write_paths: vec!["/api/*".into()],
            cache: CdnCache::default(),
            price_class: PriceClass::default(),
            web_acl_arn: None,
        }
    }
}

/// How CloudFront connects to the regions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CdnOrigin {
    /// Attempts to connect before CloudFront turns to the other region.
    #[schemars(range(min = 1, max = 3))]
    pub connection_attempts: i32,
    /// Wait for one attempt, in seconds.
    #[schemars(range(min = 1, max = 10))]
    pub connection_timeout_seconds: i32,
}

impl Default for CdnOrigin {
    fn default() -> Self {
        Self {
            connection_attempts: 2,
            connection_timeout_seconds: 3,
        }
    }
}

/// Caching of dynamic pages. All query strings are in the cache key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules([(
    "self.defaultTTLSeconds <= self.maxTTLSeconds",
    "cdn.cache.defaultTTLSeconds must not be over cdn.cache.maxTTLSeconds: lower the one or raise the other",
)])))]
pub struct CdnCache {
    /// How long an answer without `Cache-Control` is kept, in seconds.
    #[serde(rename = "defaultTTLSeconds")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub default_ttl_seconds: i32,
    /// Longest time an answer is kept whatever it says, in seconds.
    #[serde(rename = "maxTTLSeconds")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub max_ttl_seconds: i32,
    /// Cookies that are part of the cache key and reach the function; all others are dropped.
    #[schemars(
        length(max = 10),
        inner(length(min = 1, max = 128)),
        extend("x-kubernetes-list-type" = "atomic"),
        extend("x-kubernetes-validations" = rules([UNIQUE, (TOKENS, "cookie names are made of letters, digits and !#$%&'*+-.^_`|~")]))
    )]
    pub cookies: Vec<String>,
    /// Headers that are part of the cache key and reach the function; all others are dropped.
    #[schemars(
        length(max = 10),
        inner(length(min = 1, max = 128)),
        extend("x-kubernetes-list-type" = "atomic"),
        extend("x-kubernetes-validations" = rules([
            (
                "self.all(h, self.exists_one(g, g.lowerAscii() == h.lowerAscii()))",
                "each entry may be there once: take out the repeated one",
            ),
            (TOKENS, "header names are made of letters, digits and !#$%&'*+-.^_`|~"),
            (
                "self.all(h, h.lowerAscii() != 'host')",
                "cdn.cache.headers cannot have Host: a function URL answers only to its own host name",
            ),
        ]))
    )]
    pub headers: Vec<String>,
}

impl Default for CdnCache {
    fn default() -> Self {
        Self {
            default_ttl_seconds: 60,
            max_ttl_seconds: 86400,
            cookies: Vec::new(),
            headers: Vec::new(),
        }
    }
}

/// Edge locations that serve the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PriceClass {
    /// North America, Europe, Israel.
    #[serde(rename = "PriceClass_100")]
    Class100,
    /// All but South America, Australia, New Zealand.
    #[serde(rename = "PriceClass_200")]
    Class200,
    /// All.
    #[default]
    #[serde(rename = "PriceClass_All")]
    All,
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

/// Items of an atomic list are unique. (A set would be, but could not lose its defaults.)
const UNIQUE: (&str, &str) = (
    "self.all(a, self.exists_one(b, b == a))",
    "each entry may be there once: take out the repeated one",
);

/// Names of cookies and headers are tokens of RFC 9110.
const TOKENS: &str = "self.all(n, n.matches(\"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$\"))";

/// The commercial regions of today. CloudFront, its certificates and global tables end at the partition, so others are refused.
fn region_rule() -> serde_json::Value {
    rules([(
        "self.matches('^(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-[0-9]$')",
        "must be a region of the partition aws, such as us-east-1: China, GovCloud and isolated regions are not supported",
    )])
}

/// What CloudFront takes as a path pattern, and what would hide the default behaviour.
fn path_rules() -> serde_json::Value {
    rules([
        UNIQUE,
        (
            "self.all(p, p.matches('^/[A-Za-z0-9_.*$/~\"@:+&?-]*$'))",
            "a path pattern starts with / and has letters, digits, the wildcards * and ?, and _ - . $ / ~ \" @ : + &",
        ),
    ])
}
