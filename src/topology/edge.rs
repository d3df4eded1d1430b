//! The edge: certificate, policies, access, the distribution, the records that lead to it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::site::PERMISSIONS;
use super::{ids, want, writer};
use crate::api::PriceClass;
use crate::app::{App, Site};
use crate::model::{Desired, Guard, Input, Needed, ResourceId};
use crate::resources::cloudfront::{
    ALL_VIEWER_EXCEPT_HOST_HEADER, CACHING_DISABLED, CACHING_OPTIMIZED,
};
use crate::resources::cloudfront_distribution::{
    Access, Behavior, Config, Origin, OriginGroup, PathBehavior, Routing, Viewer,
};
use crate::resources::route53_record::Target;
use crate::resources::{
    acm_certificate, cloudfront_cache_policy, cloudfront_origin_access_control,
    cloudfront_origin_access_identity, cloudfront_origin_request_policy, route53_hosted_zone,
    route53_record,
};

/// CloudFront caches these for 10 s unless told otherwise: a repaired side would stay broken.
const UNCACHED_ERRORS: [u16; 4] = [500, 502, 503, 504];
/// What CloudFront waits beyond the function's own timeout, so that the function's answer wins. Seconds.
const RESPONSE_MARGIN: i32 = 5;
const VALIDATION_TTL: i64 = 300;

const LAMBDA_GROUP: &str = "lambda";
const STATIC_GROUP: &str = "static";

/// Our certificate with its validation record, or the user's, only read; and the zone, only read.
pub(super) fn certificate(app: &App) -> Vec<Desired> {
    let (Some(domain), Some(id)) = (&app.domain, ids::certificate(app)) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    let zone = ids::hosted_zone(app);
    all.extend(
        zone.iter()
            .map(|zone| Desired::data(zone.clone(), &route53_hosted_zone::Config {})),
    );
    if domain.certificate_arn.is_some() {
        let config = acm_certificate::Config {
            domain_name: domain.name.clone(),
            tags: None,
        };
        all.push(Desired::data(id, &config));
        return all;
    }
    let config = acm_certificate::Config {
        domain_name: domain.name.clone(),
        tags: Some(app.tags.clone()),
    };
    all.push(want(id.clone(), &config));
    all.extend(zone.map(|zone| {
        let config = route53_record::Config {
            zone_id: Input::output(&zone, "zone_id"),
            name: Input::output(&id, "validation_name"),
            kind: "CNAME".into(),
            target: Target::Value {
                value: Input::output(&id, "validation_value"),
                ttl: VALIDATION_TTL,
            },
        };
        want(
            ResourceId::global("route53_record", format!("{}/validation", domain.name)),
            &config,
        )
    }));
    all
}

/// The aliases that lead to the distribution.
pub(super) fn records(app: &App) -> Vec<Desired> {
    let (Some(domain), Some(zone)) = (&app.domain, ids::hosted_zone(app)) else {
        return Vec::new();
    };
    let record = |kind: &str| {
        let config = route53_record::Config {
            zone_id: Input::output(&zone, "zone_id"),
            name: Input::from(domain.name.as_str()),
            kind: kind.into(),
            target: Target::Distribution(Input::output(&ids::distribution(app), "domain_name")),
        };
        want(
            ResourceId::global("route53_record", format!("{}/{kind}", domain.name)),
            &config,
        )
    };
    vec![record("A"), record("AAAA")]
}

/// None where nothing may be cached: AWS refuses a policy that has a key but keeps nothing by it.
fn cache_policy(app: &App) -> Option<(ResourceId, cloudfront_cache_policy::Config)> {
    let cache = &app.spec.cdn.cache;
    if cache.max_ttl_seconds == 0 {
        return None;
    }
    let config = cloudfront_cache_policy::Config {
        default_ttl: cache.default_ttl_seconds.into(),
        max_ttl: cache.max_ttl_seconds.into(),
        min_ttl: 0,
        query_strings: "all".into(),
        cookies: cache.cookies.iter().cloned().collect(),
        headers: cache.headers.iter().cloned().collect(),
        encodings: BTreeSet::from(["br".into(), "gzip".into()]),
    };
    let id = shared_id("cloudfront_cache_policy", "cache", &config);
    Some((id, config))
}

fn origin_request_policy(app: &App) -> (ResourceId, cloudfront_origin_request_policy::Config) {
    let cache = &app.spec.cdn.cache;
    let config = cloudfront_origin_request_policy::Config {
        query_strings: "all".into(),
        cookies: cache.cookies.iter().cloned().collect(),
        headers: cache.headers.iter().cloned().collect(),
    };
    (
        shared_id(
            "cloudfront_origin_request_policy",
            "origin-request",
            &config,
        ),
        config,
    )
}

/// One policy for all apps of the account with the same settings, as there may be only 20 of each.
pub(super) fn shared_id(kind: &str, what: &str, config: &impl Serialize) -> ResourceId {
    let content =
        serde_json::to_vec(config).expect("a configuration is plain data with string keys");
    let hash = hex::encode(Sha256::digest(content));
    ResourceId::global(kind, format!("multiregion-{what}-{}", &hash[..12]))
}

/// What the distribution refers to: policies, access controls or the access identity.
pub(super) fn shared(app: &App) -> Vec<Desired> {
    let (request_id, request) = origin_request_policy(app);
    let control = |origin_type: &str| {
        let config = cloudfront_origin_access_control::Config {
            origin_type: origin_type.into(),
            signing: "always".into(),
        };
        want(ids::access_control(origin_type), &config)
    };
    let mut all: Vec<Desired> = cache_policy(app)
        .map(|(id, config)| want(id, &config))
        .into_iter()
        .collect();
    all.extend([want(request_id, &request), control("lambda")]);
    all.push(if app.origin_access_identity {
        want(
            ids::access_identity(app),
            &cloudfront_origin_access_identity::Config {},
        )
    } else {
        control("s3")
    });
    all
}

/// The distribution: made disabled, and enabled once its origins admit it; moved to another origin only once that does.
pub(super) fn distribution(app: &App) -> Desired {
    let mut desired = want(ids::distribution(app), &config(app, app.dr.as_ref()));
    // While the DR region is out of reach, a new app serves from the primary alone.
    desired.fallback = app
        .dr
        .as_ref()
        .map(|_| want(ids::distribution(app), &config(app, None)).config);
    let needed = |id, origin: &str| Needed {
        id,
        only_with: format!("/routing/origins/{origin}"),
    };
    desired.guard = Some(Guard {
        fields: BTreeSet::from(["routing".into()]),
        initial: Map::from_iter([("enabled".to_owned(), Value::Bool(false))]),
        until: app
            .sites()
            .flat_map(|site| {
                PERMISSIONS
                    .map(|sid| needed(ids::permission(site, sid), site.lambda_origin))
                    .into_iter()
                    .chain([needed(ids::static_policy(site), site.static_origin)])
            })
            .chain(writer::needed(app))
            .collect(),
    });
    desired
}

fn config(app: &App, dr: Option<&Site>) -> Config {
    let cdn = &app.spec.cdn;
    let certificate_arn =
        ids::certificate(app).map(|certificate| Input::output(&certificate, "arn"));
    Config {
        enabled: true,
        price_class: match cdn.price_class {
            PriceClass::All => "PriceClass_All",
            PriceClass::Class200 => "PriceClass_200",
            PriceClass::Class100 => "PriceClass_100",
        }
        .into(),
        ipv6: true,
        http_version: "http2and3".into(),
        viewer: Viewer {
            aliases: app
                .domain
                .iter()
                .map(|domain| domain.name.clone())
                .collect(),
            minimum_tls: certificate_arn.as_ref().map(|_| "TLSv1.2_2021".into()),
            certificate_arn,
        },
        error_caching: UNCACHED_ERRORS
            .iter()
            .map(|code| (code.to_string(), 0))
            .collect(),
        routing: routing(app, dr),
        web_acl_arn: cdn.web_acl_arn.clone(),
        tags: app.tags.clone(),
    }
}

fn routing(app: &App, dr: Option<&Site>) -> Routing {
    let cdn = &app.spec.cdn;
    let sites = || std::iter::once(&app.primary).chain(dr);
    let origins = sites()
        .flat_map(|site| {
            [
                (site.lambda_origin.to_owned(), lambda_origin(app, site)),
                (site.static_origin.to_owned(), static_origin(app, site)),
            ]
        })
        .collect();
    let groups: BTreeMap<String, OriginGroup> = dr
        .iter()
        .flat_map(|dr| {
            let group = |primary: &str, secondary: &str| OriginGroup {
                primary: primary.into(),
                secondary: secondary.into(),
                status_codes: cdn.failover_status_codes.iter().copied().collect(),
            };
            [
                (
                    LAMBDA_GROUP.to_owned(),
                    group(app.primary.lambda_origin, dr.lambda_origin),
                ),
                (
                    STATIC_GROUP.to_owned(),
                    group(app.primary.static_origin, dr.static_origin),
                ),
            ]
        })
        .collect();
    let target = |group: &str, origin: &str| {
        if dr.is_some() {
            group.into()
        } else {
            origin.to_owned()
        }
    };
    let cached = |target, cache_policy, origin_request_policy| {
        behavior(
            target,
            &["GET", "HEAD", "OPTIONS"],
            cache_policy,
            origin_request_policy,
        )
    };
    let writes = cdn.write_paths.iter().map(|path| PathBehavior {
        path: path.clone(),
        behavior: Behavior {
            viewer_request: dr.and_then(|_| writer::viewer_request(app)),
            ..behavior(
                // Where the function does not send it elsewhere.
                app.primary.lambda_origin.into(),
                &["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
                CACHING_DISABLED.into(),
                Some(ALL_VIEWER_EXCEPT_HOST_HEADER.into()),
            )
        },
    });
    let assets = app
        .spec
        .static_assets
        .paths
        .iter()
        .map(|path| PathBehavior {
            path: path.clone(),
            behavior: cached(
                target(STATIC_GROUP, app.primary.static_origin),
                CACHING_OPTIMIZED.into(),
                None,
            ),
        });
    let cache =
        cache_policy(app).map_or(CACHING_DISABLED.into(), |(id, _)| Input::output(&id, "id"));
    let request = origin_request_policy(app).0;
    Routing {
        origins,
        groups,
        default_behavior: cached(
            target(LAMBDA_GROUP, app.primary.lambda_origin),
            cache,
            Some(Input::output(&request, "id")),
        ),
        // A write path is tried first: no static pattern may shadow it.
        behaviors: writes.chain(assets).collect(),
    }
}

fn behavior(
    target: String,
    methods: &[&str],
    cache_policy: Input,
    origin_request_policy: Option<Input>,
) -> Behavior {
    Behavior {
        target,
        methods: methods.iter().map(|&method| method.into()).collect(),
        cache_policy,
        origin_request_policy,
        viewer_protocol: "redirect-to-https".into(),
        compress: true,
        viewer_request: None,
    }
}

fn lambda_origin(app: &App, site: &Site) -> Origin {
    Origin {
        domain: Input::output(&ids::function_url(site), "host"),
        access: Access::FunctionUrl(Input::output(&ids::access_control("lambda"), "id")),
        connection_attempts: app.spec.cdn.origin.connection_attempts,
        connection_timeout: app.spec.cdn.origin.connection_timeout_seconds,
        response_timeout: Some(app.spec.function.timeout_seconds + RESPONSE_MARGIN),
    }
}

fn static_origin(app: &App, site: &Site) -> Origin {
    let access = if app.origin_access_identity {
        Access::BucketByIdentity(Input::output(&ids::access_identity(app), "id"))
    } else {
        Access::BucketByControl(Input::output(&ids::access_control("s3"), "id"))
    };
    Origin {
        domain: Input::output(&ids::static_bucket(site), "regional_domain_name"),
        access,
        connection_attempts: app.spec.cdn.origin.connection_attempts,
        connection_timeout: app.spec.cdn.origin.connection_timeout_seconds,
        response_timeout: None,
    }
}
