//! The managed fields of a distribution.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::Input;
use crate::resources::Tags;

/// Managed fields of a distribution. It is found by its Comment, which is the owner key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Whether it serves.
    pub enabled: bool,
    /// As in `PriceClass_All`.
    pub price_class: String,
    /// Whether it has IPv6 addresses.
    pub ipv6: bool,
    /// As in `http2and3`.
    pub http_version: String,
    /// The names it answers to.
    pub viewer: Viewer,
    /// Seconds that an error is cached, by status code.
    pub error_caching: BTreeMap<String, i64>,
    /// Where requests go.
    pub routing: Routing,
    /// ARN of a web ACL; absent is unmanaged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub web_acl_arn: Option<String>,
    /// Owner's and user's tags.
    pub tags: Tags,
}

/// The names a distribution answers to, and the certificate for them: neither is of use without the other.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Viewer {
    /// Host names.
    pub aliases: BTreeSet<String>,
    /// ARN of the certificate, served by SNI; none for CloudFront's own.
    pub certificate_arn: Option<Input>,
    /// As in `TLSv1.2_2021`; none with CloudFront's own certificate, where it cannot be chosen.
    pub minimum_tls: Option<String>,
}

/// Where requests go. One field, since its parts refer to each other by origin id.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Routing {
    /// By origin id.
    pub origins: BTreeMap<String, Origin>,
    /// By group id.
    pub groups: BTreeMap<String, OriginGroup>,
    /// For every path that no behavior takes.
    pub default_behavior: Behavior,
    /// In the order they are tried.
    pub behaviors: Vec<PathBehavior>,
}

/// An origin.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// Host name.
    pub domain: Input,
    /// How CloudFront shows who it is.
    pub access: Access,
    /// 1 to 3.
    pub connection_attempts: i32,
    /// Seconds, 1 to 10.
    pub connection_timeout: i32,
    /// Seconds; only for function URLs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub response_timeout: Option<i32>,
}

/// How CloudFront shows an origin who it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Access {
    /// A function URL (HTTPS only), by the id of an origin access control of type `lambda`.
    FunctionUrl(Input),
    /// A bucket, by the id of an origin access control of type `s3`.
    BucketByControl(Input),
    /// A bucket, by the id of an origin access identity.
    BucketByIdentity(Input),
    /// Something that is never wanted, in words; only seen, where somebody else changed the origin.
    Other(String),
}

/// Two origins, the second tried when the first answers one of the codes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OriginGroup {
    /// Id of the origin that is tried first.
    pub primary: String,
    /// Id of the origin that is tried when the first one fails.
    pub secondary: String,
    /// HTTP status codes.
    pub status_codes: BTreeSet<i32>,
}

/// A behavior for some paths.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PathBehavior {
    /// As in `/_nuxt/*`.
    pub path: String,
    /// What happens to them.
    pub behavior: Behavior,
}

/// What happens to a request.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Behavior {
    /// Id of an origin or a group.
    pub target: String,
    /// HTTP methods. `GET` and `HEAD` (and `OPTIONS` where allowed) are cached.
    pub methods: BTreeSet<String>,
    /// Id of the cache policy.
    pub cache_policy: Input,
    /// Id of the origin request policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin_request_policy: Option<Input>,
    /// What viewers may speak, as CloudFront spells it: `redirect-to-https`.
    pub viewer_protocol: String,
    /// Whether answers are compressed for viewers that accept it.
    pub compress: bool,
    /// ARN of the function of ours that sees each request first; absent is none of ours. Others' are none of our
    /// business, here as on any other event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub viewer_request: Option<Input>,
}
