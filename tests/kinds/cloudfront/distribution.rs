//! The distribution, behind a proxy that answers in CloudFront's own order and with its defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_cloudfront::types;
use multiregion::aws::Pass;
use multiregion::model::{
    DataPolicy, Deleted, FailureKind, Live, Observed, Owner, Phase, ResourceId,
};
use multiregion::resources::cloudfront_distribution::{
    Access, Behavior, Config, Origin, OriginGroup, PathBehavior, Routing, Viewer,
};
use multiregion::resources::route53_record::{self, Target};
use multiregion::resources::{
    Hint, REGISTRY, acm_certificate, cloudfront_origin_access_identity as access_identity,
};
use strict_aws::{Fault, FaultKind, Proxy, Service};

use super::{
    access_control, access_control_id, access_identity_id, cache_policy, cache_policy_id, names,
    origin_request_policy, origin_request_policy_id,
};
use crate::support::{Account, PRIMARY, Subject, owner, tags, value};

/// AWS's own cache policies, and its origin request policy for function URLs.
const CACHING_OPTIMIZED: &str = "658327ea-f89d-4fab-a63d-7e88639e58f6";
const CACHING_DISABLED: &str = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad";
const ALL_VIEWER_EXCEPT_HOST_HEADER: &str = "b689b0a8-53d0-40ab-baf2-68738e2966ac";

fn id() -> ResourceId {
    ResourceId::global("cloudfront_distribution", "shop")
}

/// What the distribution refers to.
pub struct World {
    pub account: Account,
    proxy: Proxy,
    cache_policy: String,
    origin_request_policy: String,
    lambda_control: String,
    s3_control: String,
    identity: String,
    certificate: String,
}

impl World {
    pub async fn new() -> Self {
        let (account, proxy) = Account::strict(|config| {
            // Validation is another test's; here the certificate is issued at once.
            config.strict.acm_validation = false;
        })
        .await;
        let subject = |id| Subject::new(&account, id);
        let outputs = |live: Live, name: &str| live.outputs[name].clone();
        let cache = subject(cache_policy_id()).create(&cache_policy()).await;
        let request = subject(origin_request_policy_id())
            .create(&origin_request_policy())
            .await;
        let lambda = subject(access_control_id("lambda"))
            .create(&access_control("lambda"))
            .await;
        let s3 = subject(access_control_id("s3"))
            .create(&access_control("s3"))
            .await;
        let identity = subject(access_identity_id())
            .create(&access_identity::Config {})
            .await;
        let certificate = subject(ResourceId::new(
            "acm_certificate",
            PRIMARY,
            "shop.example.com",
        ))
        .create(&acm_certificate::Config {
            domain_name: "shop.example.com".into(),
            tags: Some(tags()),
        })
        .await;
        Self {
            cache_policy: outputs(cache, "id"),
            origin_request_policy: outputs(request, "id"),
            lambda_control: outputs(lambda, "id"),
            s3_control: outputs(s3, "id"),
            identity: outputs(identity, "id"),
            certificate: outputs(certificate, "arn"),
            account,
            proxy,
        }
    }

    pub fn subject(&self) -> Subject<'_> {
        Subject::new(&self.account, id())
    }

    fn behavior(&self, target: &str) -> Behavior {
        Behavior {
            target: target.into(),
            methods: names(&["GET", "HEAD", "OPTIONS"]),
            cache_policy: self.cache_policy.as_str().into(),
            origin_request_policy: Some(self.origin_request_policy.as_str().into()),
            viewer_protocol: "redirect-to-https".into(),
            compress: true,
            viewer_request: None,
        }
    }

    fn origin(&self, domain: &str, access: Access) -> Origin {
        let response_timeout = matches!(access, Access::FunctionUrl(_)).then_some(15);
        Origin {
            domain: domain.into(),
            access,
            connection_attempts: 2,
            connection_timeout: 3,
            response_timeout,
        }
    }

    fn lambda(&self, host: &str, region: &str) -> Origin {
        let access = Access::FunctionUrl(self.lambda_control.as_str().into());
        self.origin(&format!("{host}.lambda-url.{region}.on.aws"), access)
    }

    fn bucket(&self, name: &str, region: &str) -> Origin {
        let access = Access::BucketByControl(self.s3_control.as_str().into());
        self.origin(&format!("{name}.s3.{region}.amazonaws.com"), access)
    }

    /// The reference deployment's.
    pub fn wanted(&self) -> Config {
        let group = |primary: &str, secondary: &str| OriginGroup {
            primary: primary.into(),
            secondary: secondary.into(),
            status_codes: [500, 502, 503, 504].into(),
        };
        let static_behavior = Behavior {
            cache_policy: CACHING_OPTIMIZED.into(),
            origin_request_policy: None,
            ..self.behavior("static")
        };
        let write_behavior = Behavior {
            methods: names(&["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]),
            cache_policy: CACHING_DISABLED.into(),
            origin_request_policy: Some(ALL_VIEWER_EXCEPT_HOST_HEADER.into()),
            ..self.behavior("lambda-primary")
        };
        let path = |path: &str, behavior: &Behavior| PathBehavior {
            path: path.into(),
            behavior: behavior.clone(),
        };
        Config {
            enabled: true,
            price_class: "PriceClass_All".into(),
            ipv6: true,
            http_version: "http2and3".into(),
            viewer: Viewer {
                aliases: names(&["shop.example.com"]),
                certificate_arn: Some(self.certificate.as_str().into()),
                minimum_tls: Some("TLSv1.2_2021".into()),
            },
            error_caching: ["500", "502", "503", "504"]
                .map(|code| (code.to_owned(), 0))
                .into(),
            routing: Routing {
                origins: BTreeMap::from([
                    ("lambda-primary".into(), self.lambda("abc", "us-east-1")),
                    ("lambda-dr".into(), self.lambda("def", "us-west-2")),
                    ("static-primary".into(), self.bucket("shop", "us-east-1")),
                    ("static-dr".into(), self.bucket("shop-dr", "us-west-2")),
                ]),
                groups: BTreeMap::from([
                    ("lambda".into(), group("lambda-primary", "lambda-dr")),
                    ("static".into(), group("static-primary", "static-dr")),
                ]),
                default_behavior: self.behavior("lambda"),
                behaviors: vec![
                    path("/api/*", &write_behavior),
                    path("/_nuxt/*", &static_behavior),
                    path("/favicon.ico", &static_behavior),
                ],
            },
            web_acl_arn: None,
            tags: tags(),
        }
    }

    /// The same without a DR region.
    fn single(&self) -> Config {
        let mut config = self.wanted();
        let routing = &mut config.routing;
        routing.groups.clear();
        routing.origins.retain(|id, _| id.ends_with("-primary"));
        routing.default_behavior.target = "lambda-primary".into();
        for path in &mut routing.behaviors[1..] {
            path.behavior.target = "static-primary".into();
        }
        config
    }

    async fn read(&self) -> (types::DistributionConfig, String) {
        let live = self.subject().live(&self.wanted()).await;
        let answer = self
            .account
            .clients(PRIMARY)
            .cloudfront
            .get_distribution_config()
            .id(live.physical_id)
            .send()
            .await
            .expect("it is there");
        (
            answer.distribution_config.expect("it has a config"),
            answer.e_tag.expect("it has an ETag"),
        )
    }

    /// Changes the distribution by hand.
    async fn tamper(&self, change: impl FnOnce(&mut types::DistributionConfig)) {
        let live = self.subject().live(&self.wanted()).await;
        let (mut config, etag) = self.read().await;
        change(&mut config);
        self.account
            .clients(PRIMARY)
            .cloudfront
            .update_distribution()
            .id(live.physical_id)
            .if_match(etag)
            .distribution_config(config)
            .send()
            .await
            .expect("it can be changed");
    }

    async fn observe_known(&self, pass: &Pass, known_id: &str) -> Observed {
        let kind = REGISTRY.get("cloudfront_distribution").expect("registered");
        let hint = Hint {
            known_id: Some(known_id.to_owned()),
            wanted: Some(value(&self.wanted())),
        };
        kind.observe(pass, &id(), hint).await
    }
}

#[tokio::test]
async fn a_distribution_comes_and_each_of_its_fields_comes_back_to_what_is_wanted() {
    let world = World::new().await;
    let subject = world.subject();
    let mut wanted = world.wanted();
    let live = subject.create(&wanted).await;
    assert_eq!(live.outputs["id"], live.physical_id);
    assert!(live.outputs["arn"].ends_with(&format!("distribution/{}", live.physical_id)));
    assert!(live.outputs["domain_name"].ends_with(".cloudfront.net"));

    let routing: [fn(&mut Routing); 9] = [
        |routing| group(routing, "lambda").status_codes = [500, 503].into(),
        |routing| {
            let group = group(routing, "lambda");
            std::mem::swap(&mut group.primary, &mut group.secondary);
        },
        |routing| origin(routing, "lambda-dr").domain = "ghi.lambda-url.us-west-2.on.aws".into(),
        |routing| origin(routing, "lambda-dr").response_timeout = Some(60),
        |routing| origin(routing, "static-dr").connection_attempts = 1,
        |routing| origin(routing, "static-dr").connection_timeout = 10,
        |routing| routing.behaviors.reverse(),
        |routing| routing.behaviors[0].path = "/robots.txt".into(),
        |routing| routing.default_behavior.compress = false,
    ];
    for change in routing {
        change(&mut wanted.routing);
        subject.update(&wanted).await;
    }
    let changes: [fn(&mut Config); 7] = [
        |config| config.enabled = false,
        |config| config.price_class = "PriceClass_100".into(),
        |config| config.ipv6 = false,
        |config| config.http_version = "http2".into(),
        |config| config.viewer.minimum_tls = Some("TLSv1.2_2019".into()),
        |config| config.error_caching = BTreeMap::from([("503".into(), 1)]),
        |config| drop(config.tags.insert("team".into(), "shop".into())),
    ];
    for change in changes {
        change(&mut wanted);
        subject.update(&wanted).await;
    }
    wanted.viewer = Viewer {
        aliases: names(&[]),
        certificate_arn: None,
        minimum_tls: None,
    };
    subject.update(&wanted).await;
    subject.update(&world.wanted()).await;
}

fn group<'a>(routing: &'a mut Routing, id: &str) -> &'a mut OriginGroup {
    routing.groups.get_mut(id).expect("the group is there")
}

fn origin<'a>(routing: &'a mut Routing, id: &str) -> &'a mut Origin {
    routing.origins.get_mut(id).expect("the origin is there")
}

#[tokio::test]
async fn a_live_app_changes_its_dr_region_and_its_access() {
    let world = World::new().await;
    let subject = world.subject();
    subject.create(&world.single()).await;
    subject.update(&world.wanted()).await;
    let mut by_identity = world.wanted();
    for id in ["static-primary", "static-dr"] {
        origin(&mut by_identity.routing, id).access =
            Access::BucketByIdentity(world.identity.as_str().into());
    }
    subject.update(&by_identity).await;
    let identity = Subject::new(&world.account, access_identity_id());
    let deleted = identity
        .try_delete(&access_identity::Config {}, DataPolicy::Delete)
        .await;
    assert!(matches!(deleted, Ok(Deleted::Pending(_))), "{deleted:?}");
    subject.update(&world.wanted()).await;
    subject.update(&world.single()).await;
}

#[tokio::test]
async fn what_others_set_stays_and_what_is_ours_is_seen_to_have_drifted() {
    let world = World::new().await;
    let subject = world.subject();
    subject.create(&world.wanted()).await;
    world
        .tamper(|config| {
            config.default_root_object = Some("index.html".into());
            let behavior = config
                .default_cache_behavior
                .as_mut()
                .expect("there is one");
            behavior.realtime_log_config_arn =
                Some("arn:aws:cloudfront::123456789012:realtime-log-config/shop".into());
            behavior.viewer_protocol_policy = types::ViewerProtocolPolicy::AllowAll;
            let origins = config.origins.as_mut().expect("there are some");
            for origin in &mut origins.items {
                origin.origin_shield = Some(
                    types::OriginShield::builder()
                        .enabled(true)
                        .origin_shield_region("us-east-1")
                        .build()
                        .expect("complete"),
                );
                if let Some(custom) = &mut origin.custom_origin_config {
                    custom.origin_protocol_policy = types::OriginProtocolPolicy::MatchViewer;
                }
            }
        })
        .await;
    let drifted = subject.live(&world.wanted()).await;
    let routing = &drifted.config["routing"];
    assert_eq!(routing["default_behavior"]["viewer_protocol"], "allow-all");
    let access = &routing["origins"]["lambda-dr"]["access"]["Other"];
    assert!(
        access
            .as_str()
            .is_some_and(|access| access.starts_with("match-viewer"))
    );

    subject.update(&world.wanted()).await;
    let (config, _) = world.read().await;
    assert_eq!(config.default_root_object(), Some("index.html"));
    let behavior = config.default_cache_behavior().expect("there is one");
    assert!(behavior.realtime_log_config_arn().is_some());
    let origins = config.origins().expect("there are some").items();
    for origin in origins {
        assert!(
            origin
                .origin_shield()
                .is_some_and(types::OriginShield::enabled)
        );
    }
}

#[tokio::test]
async fn only_the_fields_that_changed_are_written() {
    let world = World::new().await;
    let subject = world.subject();
    let live = subject.create(&world.wanted()).await;
    let mut wanted = world.wanted();
    wanted.price_class = "PriceClass_200".into();
    world
        .tamper(|config| {
            let groups = config.origin_groups.as_mut().expect("there are some");
            for group in groups.items.iter_mut().flatten() {
                let codes = types::StatusCodes::builder().quantity(1).items(503).build();
                let criteria = types::OriginGroupFailoverCriteria::builder()
                    .status_codes(codes.expect("complete"))
                    .build();
                group.failover_criteria = Some(criteria);
            }
        })
        .await;
    // Decided before the hand was there: the price class alone.
    subject
        .try_update(&live, &wanted)
        .await
        .expect("it can be changed");
    let live = subject.live(&wanted).await;
    assert_eq!(live.config["price_class"], "PriceClass_200");
    let codes = &live.config["routing"]["groups"]["static"]["status_codes"];
    assert_eq!(*codes, serde_json::json!([503]));
}

#[tokio::test]
async fn it_is_disabled_then_deployed_then_deleted() {
    let world = World::new().await;
    let subject = world.subject();
    let wanted = world.wanted();
    subject.create(&wanted).await;
    for id in [cache_policy_id(), origin_request_policy_id()] {
        let subject = Subject::new(&world.account, id);
        let deleted = if subject.id.kind == "cloudfront_cache_policy" {
            subject.try_delete(&cache_policy(), DataPolicy::Keep).await
        } else {
            subject
                .try_delete(&origin_request_policy(), DataPolicy::Keep)
                .await
        };
        assert!(matches!(deleted, Ok(Deleted::Retained(_))), "{deleted:?}");
    }
    let certificate = ResourceId::new("acm_certificate", PRIMARY, "shop.example.com");
    let deleted = Subject::new(&world.account, certificate)
        .try_delete(
            &acm_certificate::Config {
                domain_name: "shop.example.com".into(),
                tags: Some(tags()),
            },
            DataPolicy::Keep,
        )
        .await;
    assert!(matches!(deleted, Ok(Deleted::Pending(_))), "{deleted:?}");
    let pending = Ok(Deleted::Pending("disabled, waiting for Deployed".into()));
    world.proxy.configure(|config| {
        config.delays.distribution_in_progress = Duration::from_secs(2);
    });
    let delete = || subject.try_delete(&wanted, DataPolicy::Keep);
    assert_eq!(delete().await, pending);
    assert_eq!(delete().await, pending);
    let phase = subject.live(&wanted).await.phase;
    assert_eq!(phase, Phase::Deploying("Deployed (InProgress)".into()));
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(delete().await, Ok(Deleted::Gone));
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
    let controls = Subject::new(&world.account, access_control_id("lambda"));
    controls.delete(&access_control("lambda")).await;
}

#[tokio::test]
async fn it_is_found_again_after_a_lost_reply_and_made_once() {
    let world = World::new().await;
    let subject = world.subject();
    let wanted = world.wanted();
    let lost = Fault::new(FaultKind::ResetAfter)
        .service(Service::CloudFront)
        .operation("CreateDistributionWithTags");
    world.proxy.configure(|config| config.faults.push(lost));
    let lost = subject.try_create(&wanted).await;
    assert!(lost.is_err(), "{lost:?}");
    let live = subject.live(&wanted).await;
    assert_eq!(live.owner, Owner::Ours);
    let list = world.account.clients(PRIMARY);
    let list = list.cloudfront.list_distributions().send().await;
    let list = list.expect("they can be listed").distribution_list;
    assert_eq!(list.expect("there is a list").items().len(), 1);
}

#[tokio::test]
async fn it_is_known_by_id_by_comment_or_by_tags() {
    let world = World::new().await;
    let subject = world.subject();
    let live = subject.create(&world.wanted()).await;
    world.proxy.clear_calls();
    let seen = world
        .observe_known(&world.account.quick_pass(), &live.physical_id)
        .await;
    let Observed::Present(seen) = seen else {
        panic!("it is there: {seen:?}");
    };
    assert_eq!(seen.unread, names(&["tags"]));
    assert_eq!(world.proxy.calls().len(), 1);
    // A stale id costs a list, no more.
    let seen = world
        .observe_known(&world.account.pass(), "E0000000000000")
        .await;
    assert_eq!(
        seen.live().map(|live| &live.physical_id),
        Some(&live.physical_id)
    );
    // Another Comment is mended with the next change; until then the tags tell.
    world
        .tamper(|config| config.comment = "my shop".into())
        .await;
    let seen = world
        .observe_known(&world.account.pass(), &live.physical_id)
        .await;
    let Observed::Present(seen) = seen else {
        panic!("it is there: {seen:?}");
    };
    assert_eq!(seen.owner, Owner::Ours);
    let mut wanted = world.wanted();
    wanted.ipv6 = false;
    subject
        .try_update(&seen, &wanted)
        .await
        .expect("it can be changed");
    assert_eq!(world.read().await.0.comment(), owner("shop").comment());
    // Another app's pass sees nothing of it.
    let other = world
        .observe_known(&world.account.pass_of("blog"), &live.physical_id)
        .await;
    assert_eq!(other, Observed::Absent);
}

#[tokio::test]
async fn an_alias_of_anothers_is_never_taken_over() {
    let world = World::new().await;
    world.subject().create(&world.wanted()).await;
    let other = Subject::new(
        &world.account,
        ResourceId::global("cloudfront_distribution", "blog"),
    );
    let kind = REGISTRY.get("cloudfront_distribution").expect("registered");
    let pass = world.account.pass_of("blog");
    let refused = kind.create(&pass, &other.id, &value(&world.wanted())).await;
    let refused = refused.expect_err("the alias is taken");
    assert_eq!(refused.kind, FailureKind::Foreign);
    assert_eq!(refused.code, "CNAMEAlreadyExists");
}

#[tokio::test]
async fn an_alias_of_which_nothing_is_known_is_found_for_its_removal() {
    let world = World::new().await;
    let zone = crate::route53::make_zone(&world.account, "example.com").await;
    let live = world.subject().create(&world.wanted()).await;
    let record = Subject::new(
        &world.account,
        ResourceId::global("route53_record", "shop.example.com/A"),
    );
    let wanted = route53_record::Config {
        zone_id: zone.into(),
        name: "shop.example.com".into(),
        kind: "A".into(),
        target: Target::Distribution(live.outputs["domain_name"].as_str().into()),
    };
    let made = record.create(&wanted).await;
    let found = record.observe_in(&world.account.pass(), None).await;
    assert_eq!(found, Observed::Present(Box::new(made)));
    let other = record
        .observe_in(&world.account.pass_of("blog"), None)
        .await;
    assert_eq!(other, Observed::Absent, "blog has no distribution");
}
