//! The managed fields laid over CloudFront's configuration, all else left as it was.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudfront::types;

use super::read::{IDENTITY_PREFIX, is_function_of_ours};
use super::{Access, Behavior, Config, Origin, OriginGroup, PathBehavior, Routing, Viewer};
use crate::model::Input;
use crate::resources::cloudfront::{COMPLETE, quantity};

/// What a function URL is kept open for after an answer. Seconds; CloudFront's own default.
const KEEPALIVE: i32 = 5;

/// The configuration of a new distribution.
pub(super) fn created(
    caller_reference: &str,
    comment: &str,
    desired: &Config,
) -> types::DistributionConfig {
    let mut config = types::DistributionConfig::builder()
        .caller_reference(caller_reference)
        .comment(comment)
        .enabled(desired.enabled)
        .build()
        .expect(COMPLETE);
    lay(&mut config, comment, desired, |_| true);
    config
}

/// Brings the fields named in `changed` to `desired`.
pub(super) fn overlay(
    config: &mut types::DistributionConfig,
    comment: &str,
    desired: &Config,
    changed: &BTreeSet<String>,
) {
    lay(config, comment, desired, |field| changed.contains(field));
}

fn lay(
    config: &mut types::DistributionConfig,
    comment: &str,
    desired: &Config,
    changes: impl Fn(&str) -> bool,
) {
    // Destructured whole, so that a new field cannot be forgotten here.
    let Config {
        enabled,
        price_class,
        ipv6,
        http_version,
        viewer,
        error_caching,
        routing,
        web_acl_arn,
        tags: _,
    } = desired;
    config.comment = comment.to_owned();
    if changes("enabled") {
        config.enabled = *enabled;
    }
    if changes("price_class") {
        config.price_class = Some(price_class.as_str().into());
    }
    if changes("ipv6") {
        config.is_ipv6_enabled = Some(*ipv6);
    }
    if changes("http_version") {
        config.http_version = Some(http_version.as_str().into());
    }
    if changes("viewer") {
        lay_viewer(config, viewer);
    }
    if changes("error_caching") {
        lay_error_caching(config, error_caching);
    }
    if changes("routing") {
        lay_routing(config, routing);
    }
    if let (true, Some(arn)) = (changes("web_acl_arn"), web_acl_arn) {
        config.web_acl_id = Some(arn.clone());
    }
}

fn lay_viewer(config: &mut types::DistributionConfig, viewer: &Viewer) {
    let Viewer {
        aliases,
        certificate_arn,
        minimum_tls,
    } = viewer;
    let aliases: Vec<String> = aliases.iter().cloned().collect();
    config.aliases = Some(
        types::Aliases::builder()
            .quantity(quantity(&aliases))
            .set_items((!aliases.is_empty()).then_some(aliases))
            .build()
            .expect(COMPLETE),
    );
    let certificate = types::ViewerCertificate::builder();
    config.viewer_certificate = Some(match certificate_arn {
        Some(arn) => certificate
            .acm_certificate_arn(arn.as_str())
            .ssl_support_method(types::SslSupportMethod::SniOnly)
            .set_minimum_protocol_version(minimum_tls.as_deref().map(Into::into))
            .build(),
        None => certificate.cloud_front_default_certificate(true).build(),
    });
}

fn lay_error_caching(config: &mut types::DistributionConfig, wanted: &BTreeMap<String, i64>) {
    let present = config
        .custom_error_responses
        .take()
        .and_then(|responses| responses.items)
        .unwrap_or_default();
    let items: Vec<_> = wanted
        .iter()
        .filter_map(|(code, &seconds)| {
            let code: i32 = code.parse().ok()?;
            let mut response = present
                .iter()
                .find(|response| response.error_code == code)
                .cloned()
                .unwrap_or_else(|| {
                    types::CustomErrorResponse::builder()
                        .error_code(code)
                        .build()
                        .expect(COMPLETE)
                });
            response.error_caching_min_ttl = Some(seconds);
            Some(response)
        })
        .collect();
    config.custom_error_responses = Some(
        types::CustomErrorResponses::builder()
            .quantity(quantity(&items))
            .set_items((!items.is_empty()).then_some(items))
            .build()
            .expect(COMPLETE),
    );
}

/// Origins, groups and behaviors are ours as whole lists: a foreign one is taken out. What others have set within one
/// of ours stays.
fn lay_routing(config: &mut types::DistributionConfig, routing: &Routing) {
    let Routing {
        origins,
        groups,
        default_behavior,
        behaviors,
    } = routing;
    let present = config
        .origins
        .take()
        .map_or_else(Vec::new, |origins| origins.items);
    let items: Vec<_> = origins
        .iter()
        .map(|(id, origin)| {
            let present = present.iter().find(|present| present.id == *id);
            lay_origin(present, id, origin)
        })
        .collect();
    config.origins = Some(
        types::Origins::builder()
            .quantity(quantity(&items))
            .set_items(Some(items))
            .build()
            .expect(COMPLETE),
    );

    let present = config
        .origin_groups
        .take()
        .and_then(|groups| groups.items)
        .unwrap_or_default();
    let items: Vec<_> = groups
        .iter()
        .map(|(id, group)| {
            let present = present.iter().find(|present| present.id == *id);
            lay_group(present, id, group)
        })
        .collect();
    config.origin_groups = Some(
        types::OriginGroups::builder()
            .quantity(quantity(&items))
            .set_items((!items.is_empty()).then_some(items))
            .build()
            .expect(COMPLETE),
    );

    let mut behavior = config.default_cache_behavior.take().unwrap_or_else(|| {
        types::DefaultCacheBehavior::builder()
            .target_origin_id(&default_behavior.target)
            .viewer_protocol_policy(default_behavior.viewer_protocol.as_str().into())
            .build()
            .expect(COMPLETE)
    });
    behavior.lay(default_behavior);
    config.default_cache_behavior = Some(behavior);
    lay_behaviors(config, behaviors);
}

fn lay_behaviors(config: &mut types::DistributionConfig, wanted: &[PathBehavior]) {
    let present = config
        .cache_behaviors
        .take()
        .and_then(|behaviors| behaviors.items)
        .unwrap_or_default();
    let items: Vec<_> = wanted
        .iter()
        .map(|PathBehavior { path, behavior }| {
            let mut item = present
                .iter()
                .find(|present| present.path_pattern == *path)
                .cloned()
                .unwrap_or_else(|| {
                    types::CacheBehavior::builder()
                        .path_pattern(path)
                        .target_origin_id(&behavior.target)
                        .viewer_protocol_policy(behavior.viewer_protocol.as_str().into())
                        .build()
                        .expect(COMPLETE)
                });
            item.lay(behavior);
            item
        })
        .collect();
    config.cache_behaviors = Some(
        types::CacheBehaviors::builder()
            .quantity(quantity(&items))
            .set_items((!items.is_empty()).then_some(items))
            .build()
            .expect(COMPLETE),
    );
}

fn lay_origin(present: Option<&types::Origin>, id: &str, wanted: &Origin) -> types::Origin {
    let Origin {
        domain,
        access,
        connection_attempts,
        connection_timeout,
        response_timeout,
    } = wanted;
    let mut origin = present.cloned().unwrap_or_else(|| {
        types::Origin::builder()
            .id(id)
            .domain_name(domain.as_str())
            .custom_headers(
                types::CustomHeaders::builder()
                    .quantity(0)
                    .build()
                    .expect(COMPLETE),
            )
            .build()
            .expect(COMPLETE)
    });
    origin.domain_name = domain.as_str().to_owned();
    origin.origin_path = Some(String::new());
    origin.connection_attempts = Some(*connection_attempts);
    origin.connection_timeout = Some(*connection_timeout);
    let (custom, bucket) = (
        origin.custom_origin_config.take(),
        origin.s3_origin_config.take(),
    );
    match access {
        Access::FunctionUrl(control) => {
            origin.origin_access_control_id = Some(control.as_str().to_owned());
            origin.custom_origin_config = Some(function_url(custom, *response_timeout));
        }
        Access::BucketByControl(control) => {
            origin.origin_access_control_id = Some(control.as_str().to_owned());
            origin.s3_origin_config = Some(identity(bucket, String::new()));
        }
        Access::BucketByIdentity(id) => {
            origin.origin_access_control_id = None;
            let name = format!("{IDENTITY_PREFIX}{}", id.as_str());
            origin.s3_origin_config = Some(identity(bucket, name));
        }
        // Never wanted; a held routing may carry it along, and then it stays as it is.
        Access::Other(_) => {
            origin = present.cloned().unwrap_or(origin);
        }
    }
    origin
}

fn function_url(
    present: Option<types::CustomOriginConfig>,
    response_timeout: Option<i32>,
) -> types::CustomOriginConfig {
    let mut custom = present.unwrap_or_else(|| {
        types::CustomOriginConfig::builder()
            .http_port(80)
            .https_port(443)
            .origin_protocol_policy(types::OriginProtocolPolicy::HttpsOnly)
            .build()
            .expect(COMPLETE)
    });
    custom.https_port = 443;
    custom.origin_protocol_policy = types::OriginProtocolPolicy::HttpsOnly;
    custom.origin_ssl_protocols = Some(
        types::OriginSslProtocols::builder()
            .quantity(1)
            .items(types::SslProtocol::TlSv12)
            .build()
            .expect(COMPLETE),
    );
    custom.origin_read_timeout = response_timeout.or(custom.origin_read_timeout);
    custom.origin_keepalive_timeout = Some(KEEPALIVE);
    custom
}

fn identity(present: Option<types::S3OriginConfig>, name: String) -> types::S3OriginConfig {
    let mut bucket = present.unwrap_or_else(|| {
        types::S3OriginConfig::builder()
            .origin_access_identity("")
            .build()
    });
    bucket.origin_access_identity = name;
    bucket
}

fn lay_group(
    present: Option<&types::OriginGroup>,
    id: &str,
    wanted: &OriginGroup,
) -> types::OriginGroup {
    let OriginGroup {
        primary,
        secondary,
        status_codes,
    } = wanted;
    let member = |origin_id: &String| {
        types::OriginGroupMember::builder()
            .origin_id(origin_id)
            .build()
            .expect(COMPLETE)
    };
    let members = types::OriginGroupMembers::builder()
        .quantity(2)
        .items(member(primary))
        .items(member(secondary))
        .build()
        .expect(COMPLETE);
    let status_codes: Vec<i32> = status_codes.iter().copied().collect();
    let status_codes = types::StatusCodes::builder()
        .quantity(quantity(&status_codes))
        .set_items(Some(status_codes))
        .build()
        .expect(COMPLETE);
    let criteria = types::OriginGroupFailoverCriteria::builder()
        .status_codes(status_codes)
        .build();
    let mut group = present.cloned().unwrap_or_else(|| {
        types::OriginGroup::builder()
            .id(id)
            .build()
            .expect(COMPLETE)
    });
    group.members = Some(members);
    group.failover_criteria = Some(criteria);
    group
}

/// The two types of behavior that the API has, which differ only by the path.
trait LayBehavior {
    fn lay(&mut self, wanted: &Behavior);
}

macro_rules! lay_behavior {
    ($($type:ty),*) => {$(
        impl LayBehavior for $type {
            #[expect(deprecated, reason = "those members are only taken away")]
            fn lay(&mut self, wanted: &Behavior) {
                let Behavior {
                    target,
                    methods,
                    cache_policy,
                    origin_request_policy,
                    viewer_protocol,
                    compress,
                    viewer_request,
                } = wanted;
                self.target_origin_id.clone_from(target);
                self.allowed_methods = Some(allowed_methods(methods));
                self.cache_policy_id = Some(cache_policy.as_str().to_owned());
                self.origin_request_policy_id =
                    origin_request_policy.as_ref().map(|policy| policy.as_str().to_owned());
                self.viewer_protocol_policy = viewer_protocol.as_str().into();
                self.compress = Some(*compress);
                self.function_associations =
                    functions(self.function_associations.take(), viewer_request.as_ref());
                self.smooth_streaming.get_or_insert(false);
                self.field_level_encryption_id.get_or_insert_default();
                self.lambda_function_associations
                    .get_or_insert_with(no_lambda_functions);
                // The old way to say what is cached; CloudFront refuses it beside a policy.
                self.forwarded_values = None;
                self.min_ttl = None;
                self.default_ttl = None;
                self.max_ttl = None;
            }
        }
    )*};
}

lay_behavior!(types::DefaultCacheBehavior, types::CacheBehavior);

/// The functions that others have associated, and ours if there is to be one. CloudFront refuses a second one on an
/// event: what others have put there is theirs to take away.
fn functions(
    present: Option<types::FunctionAssociations>,
    viewer_request: Option<&Input>,
) -> Option<types::FunctionAssociations> {
    if present.is_none() && viewer_request.is_none() {
        return None;
    }
    let mut items = present
        .and_then(|present| present.items)
        .unwrap_or_default();
    items.retain(|function| !is_function_of_ours(function));
    items.extend(viewer_request.map(|arn| {
        types::FunctionAssociation::builder()
            .event_type(types::EventType::ViewerRequest)
            .function_arn(arn.as_str())
            .build()
            .expect(COMPLETE)
    }));
    Some(
        types::FunctionAssociations::builder()
            .quantity(quantity(&items))
            .set_items((!items.is_empty()).then_some(items))
            .build()
            .expect(COMPLETE),
    )
}

/// An update has to say even what a new behavior has not: "LambdaFunctionAssociations is required for updates".
fn no_lambda_functions() -> types::LambdaFunctionAssociations {
    types::LambdaFunctionAssociations::builder()
        .quantity(0)
        .build()
        .expect(COMPLETE)
}

/// Answers to OPTIONS are cached where it is allowed, those to other methods never.
fn allowed_methods(methods: &BTreeSet<String>) -> types::AllowedMethods {
    let methods: Vec<types::Method> = methods
        .iter()
        .map(|method| method.as_str().into())
        .collect();
    let cached: Vec<types::Method> = [
        types::Method::Get,
        types::Method::Head,
        types::Method::Options,
    ]
    .into_iter()
    .filter(|method| methods.contains(method))
    .collect();
    let cached = types::CachedMethods::builder()
        .quantity(quantity(&cached))
        .set_items(Some(cached))
        .build()
        .expect(COMPLETE);
    types::AllowedMethods::builder()
        .quantity(quantity(&methods))
        .set_items(Some(methods))
        .cached_methods(cached)
        .build()
        .expect(COMPLETE)
}
