//! `spec.cdn` and `spec.staticAssets`: what CloudFront does, and the files it serves from S3.

use super::Toggle;
use super::rules::{TOKENS, UNIQUE, path_rules, rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    #[schemars(length(max = 255), extend("x-kubernetes-validations" = rules([(
        "self.matches('^arn:aws:wafv2:us-east-1:[0-9]{12}:global/webacl/[^/]+/[^/]+$')",
        "must be the ARN of a global web ACL, arn:aws:wafv2:us-east-1:<account>:global/webacl/<name>/<id>",
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
    "defaultTTLSeconds must not be over maxTTLSeconds: lower the one or raise the other",
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
                "Host cannot be forwarded: a function URL answers only to its own host name",
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
