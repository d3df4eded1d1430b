//! CloudFront's configuration as the managed fields, whatever defaults and orders CloudFront adds.

use std::collections::BTreeSet;

use aws_sdk_cloudfront::types;

use super::{Access, Behavior, Config, Origin, OriginGroup, PathBehavior, Routing, Viewer};
use crate::model::Input;
use crate::resources::cloudfront::COMPLETE;
use crate::resources::{Tags, cloudfront_function};

/// How an origin names an access identity.
pub(super) const IDENTITY_PREFIX: &str = "origin-access-identity/cloudfront/";

/// The managed fields of `config`; the tags are not in it.
pub(super) fn read(config: &types::DistributionConfig) -> Config {
    let responses = config
        .custom_error_responses()
        .map_or(&[][..], types::CustomErrorResponses::items);
    Config {
        enabled: config.enabled(),
        price_class: config
            .price_class()
            .map_or_else(String::new, |class| class.as_str().to_owned()),
        ipv6: config.is_ipv6_enabled().unwrap_or_default(),
        http_version: config
            .http_version()
            // `HTTP2` in answers to what was made by old versions of the API.
            .map_or_else(String::new, |version| version.as_str().to_lowercase()),
        viewer: viewer(config),
        error_caching: responses
            .iter()
            .map(|response| {
                // CloudFront's own default where none is set.
                let seconds = response.error_caching_min_ttl().unwrap_or(10);
                (response.error_code().to_string(), seconds)
            })
            .collect(),
        routing: routing(config),
        web_acl_arn: present(config.web_acl_id()).map(str::to_owned),
        tags: Tags::new(),
    }
}

/// What a list tells of a distribution, as the configuration that it is of; without what is not managed.
pub(super) fn summarised(item: &types::DistributionSummary) -> types::DistributionConfig {
    types::DistributionConfig::builder()
        .caller_reference("")
        .comment(item.comment())
        .enabled(item.enabled())
        .price_class(item.price_class().clone())
        .is_ipv6_enabled(item.is_ipv6_enabled())
        .http_version(item.http_version().clone())
        .web_acl_id(item.web_acl_id())
        .set_aliases(item.aliases().cloned())
        .set_viewer_certificate(item.viewer_certificate().cloned())
        .set_custom_error_responses(item.custom_error_responses().cloned())
        .set_origins(item.origins().cloned())
        .set_origin_groups(item.origin_groups().cloned())
        .set_default_cache_behavior(item.default_cache_behavior().cloned())
        .set_cache_behaviors(item.cache_behaviors().cloned())
        .build()
        .expect(COMPLETE)
}

/// CloudFront answers an empty element for what is not set.
fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn viewer(config: &types::DistributionConfig) -> Viewer {
    let aliases = config.aliases().map_or(&[][..], types::Aliases::items);
    let certificate = config
        .viewer_certificate()
        .filter(|certificate| certificate.cloud_front_default_certificate() != Some(true));
    let name = certificate.and_then(|certificate| {
        present(certificate.acm_certificate_arn()).or(present(certificate.iam_certificate_id()))
    });
    Viewer {
        aliases: aliases.iter().map(|alias| alias.to_lowercase()).collect(),
        certificate_arn: name.map(Input::from),
        minimum_tls: name.and(certificate).map(minimum_tls),
    }
}

fn minimum_tls(certificate: &types::ViewerCertificate) -> String {
    let version = certificate
        .minimum_protocol_version()
        .map_or("none", |version| version.as_str());
    match certificate.ssl_support_method() {
        Some(types::SslSupportMethod::SniOnly) | None => version.to_owned(),
        // Never wanted: addresses of its own, at 600 dollars a month.
        Some(other) => format!("{version} ({})", other.as_str()),
    }
}

fn routing(config: &types::DistributionConfig) -> Routing {
    let origins = config.origins().map_or(&[][..], types::Origins::items);
    let groups = config
        .origin_groups()
        .map_or(&[][..], types::OriginGroups::items);
    let behaviors = config
        .cache_behaviors()
        .map_or(&[][..], types::CacheBehaviors::items);
    Routing {
        origins: origins
            .iter()
            .map(|origin| (origin.id().to_owned(), read_origin(origin)))
            .collect(),
        groups: groups
            .iter()
            .map(|group| (group.id().to_owned(), read_group(group)))
            .collect(),
        default_behavior: config
            .default_cache_behavior()
            .map_or_else(nothing, ReadBehavior::read),
        behaviors: behaviors
            .iter()
            .map(|behavior| PathBehavior {
                path: behavior.path_pattern().to_owned(),
                behavior: behavior.read(),
            })
            .collect(),
    }
}

/// For a configuration without a default behavior, of which CloudFront has none.
fn nothing() -> Behavior {
    Behavior {
        target: String::new(),
        methods: BTreeSet::new(),
        cache_policy: "".into(),
        origin_request_policy: None,
        viewer_protocol: String::new(),
        compress: false,
        viewer_request: None,
    }
}

fn read_origin(origin: &types::Origin) -> Origin {
    let custom = origin.custom_origin_config();
    Origin {
        domain: origin.domain_name().to_lowercase().into(),
        access: access(origin),
        // CloudFront's own defaults where none is set.
        connection_attempts: origin.connection_attempts().unwrap_or(3),
        connection_timeout: origin.connection_timeout().unwrap_or(10),
        response_timeout: custom.map(|custom| custom.origin_read_timeout().unwrap_or(30)),
    }
}

fn access(origin: &types::Origin) -> Access {
    if let Some(path) = present(origin.origin_path()) {
        return Access::Other(format!("below the path {path}"));
    }
    let control = present(origin.origin_access_control_id());
    if let Some(custom) = origin.custom_origin_config() {
        let https = *custom.origin_protocol_policy() == types::OriginProtocolPolicy::HttpsOnly;
        return match control {
            Some(control) if https && custom.https_port() == 443 => {
                Access::FunctionUrl(control.into())
            }
            _ => Access::Other(format!(
                "{} on port {}, access control {}",
                custom.origin_protocol_policy().as_str(),
                custom.https_port(),
                control.unwrap_or("none")
            )),
        };
    }
    let identity = origin
        .s3_origin_config()
        .and_then(|bucket| present(Some(bucket.origin_access_identity())));
    match (control, identity) {
        (Some(control), None) => Access::BucketByControl(control.into()),
        (None, Some(identity)) => {
            let id = identity.strip_prefix(IDENTITY_PREFIX).unwrap_or(identity);
            Access::BucketByIdentity(id.into())
        }
        (Some(_), Some(_)) => Access::Other("both an access control and an identity".into()),
        (None, None) => Access::Other("no access control".into()),
    }
}

fn read_group(group: &types::OriginGroup) -> OriginGroup {
    let members = group
        .members()
        .map_or(&[][..], types::OriginGroupMembers::items);
    let member = |index: usize| {
        members
            .get(index)
            .map_or_else(String::new, |member| member.origin_id().to_owned())
    };
    OriginGroup {
        primary: member(0),
        secondary: member(1),
        status_codes: group
            .failover_criteria()
            .and_then(types::OriginGroupFailoverCriteria::status_codes)
            .map_or(&[][..], types::StatusCodes::items)
            .iter()
            .copied()
            .collect(),
    }
}

/// The two types of behavior that the API has, which differ only by the path.
trait ReadBehavior {
    fn read(&self) -> Behavior;
}

macro_rules! read_behavior {
    ($($type:ty),*) => {$(
        impl ReadBehavior for $type {
            fn read(&self) -> Behavior {
                Behavior {
                    target: self.target_origin_id().to_owned(),
                    methods: methods(self.allowed_methods()),
                    // Absent where caching is set the old way, by ForwardedValues.
                    cache_policy: self.cache_policy_id().unwrap_or_default().into(),
                    origin_request_policy: present(self.origin_request_policy_id()).map(Input::from),
                    viewer_protocol: self.viewer_protocol_policy().as_str().to_owned(),
                    compress: self.compress().unwrap_or_default(),
                    viewer_request: function_of_ours(self.function_associations()),
                }
            }
        }
    )*};
}

read_behavior!(types::DefaultCacheBehavior, types::CacheBehavior);

fn function_of_ours(functions: Option<&types::FunctionAssociations>) -> Option<Input> {
    functions
        .map_or(&[][..], types::FunctionAssociations::items)
        .iter()
        .find(|function| is_function_of_ours(function))
        .map(|function| function.function_arn().into())
}

/// A behavior may have others on other events, and another's on this one.
pub(super) fn is_function_of_ours(function: &types::FunctionAssociation) -> bool {
    *function.event_type() == types::EventType::ViewerRequest
        && cloudfront_function::is_ours(function.function_arn())
}

/// CloudFront's own default is GET and HEAD.
fn methods(allowed: Option<&types::AllowedMethods>) -> BTreeSet<String> {
    match allowed {
        Some(allowed) => allowed
            .items()
            .iter()
            .map(|method| method.as_str().to_owned())
            .collect(),
        None => BTreeSet::from(["GET".into(), "HEAD".into()]),
    }
}
