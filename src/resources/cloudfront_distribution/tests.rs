//! Against CloudFront's own answers: defaults added, lists in its order, empty elements for what is not set.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::model::{FailureKind, Live};
use crate::plan::diff;
use crate::resources::testing::{Answer, Asked, Asks, owner, recording};
use crate::resources::{AnyKind, REGISTRY};

const CONFIG: &str = include_str!("aws_config.xml");
const ID: &str = "E1EXAMPLE";
const ARN: &str = "arn:aws:cloudfront::123456789012:distribution/E1EXAMPLE";

fn id() -> ResourceId {
    ResourceId::global("cloudfront_distribution", "shop")
}

fn kind() -> &'static dyn AnyKind {
    REGISTRY
        .get("cloudfront_distribution")
        .expect("registered")
        .as_ref()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// What [`CONFIG`] is the answer to.
fn wanted() -> Config {
    let origin = |domain: &str, access, response_timeout| Origin {
        domain: domain.into(),
        access,
        connection_attempts: 2,
        connection_timeout: 3,
        response_timeout,
    };
    let url = |domain: &str| origin(domain, Access::FunctionUrl("ELAMBDA".into()), Some(15));
    let group = |name: &str, status_codes: &[i32]| OriginGroup {
        primary: format!("{name}-primary"),
        secondary: format!("{name}-dr"),
        status_codes: status_codes.iter().copied().collect(),
    };
    let default_behavior = Behavior {
        target: "lambda".into(),
        methods: set(&["GET", "HEAD", "OPTIONS"]),
        cache_policy: "cache-policy".into(),
        origin_request_policy: Some("origin-request-policy".into()),
        viewer_protocol: "redirect-to-https".into(),
        compress: true,
        viewer_request: None,
    };
    let behavior = Behavior {
        target: "static".into(),
        methods: set(&["GET", "HEAD"]),
        cache_policy: "658327ea-f89d-4fab-a63d-7e88639e58f6".into(),
        origin_request_policy: None,
        ..default_behavior.clone()
    };
    Config {
        enabled: true,
        price_class: "PriceClass_All".into(),
        ipv6: true,
        http_version: "http2and3".into(),
        viewer: Viewer {
            aliases: set(&["shop.example.com", "www.example.com"]),
            certificate_arn: Some("arn:aws:acm:us-east-1:123456789012:certificate/one".into()),
            minimum_tls: Some("TLSv1.2_2021".into()),
        },
        error_caching: BTreeMap::from([("500".into(), 0), ("503".into(), 0)]),
        routing: Routing {
            origins: BTreeMap::from([
                (
                    "lambda-primary".into(),
                    url("abc.lambda-url.us-east-1.on.aws"),
                ),
                ("lambda-dr".into(), url("def.lambda-url.us-west-2.on.aws")),
                (
                    "static-primary".into(),
                    origin(
                        "shop-static.s3.us-east-1.amazonaws.com",
                        Access::BucketByControl("ES3".into()),
                        None,
                    ),
                ),
                (
                    "static-dr".into(),
                    origin(
                        "shop-static-dr.s3.us-west-2.amazonaws.com",
                        Access::BucketByIdentity("EOAI".into()),
                        None,
                    ),
                ),
            ]),
            groups: BTreeMap::from([
                ("lambda".into(), group("lambda", &[503])),
                ("static".into(), group("static", &[500, 502, 503, 504])),
            ]),
            default_behavior,
            behaviors: vec![PathBehavior {
                path: "/_nuxt/*".into(),
                behavior,
            }],
        },
        web_acl_arn: None,
        tags: owner().tags(),
    }
}

fn distribution(config: &str, status: &str) -> String {
    format!(
        "<Distribution><Id>{ID}</Id><ARN>{ARN}</ARN><Status>{status}</Status><LastModifiedTime>2026-01-01T00:00:00Z\
         </LastModifiedTime><InProgressInvalidationBatches>0</InProgressInvalidationBatches><DomainName>\
         d111111abcdef8.cloudfront.net</DomainName>{config}</Distribution>"
    )
}

fn tags(tags: &Tags) -> String {
    let tag = |(key, value): (&String, &String)| {
        format!("<Tag><Key>{key}</Key><Value>{value}</Value></Tag>")
    };
    let items: String = tags.iter().map(tag).collect();
    format!("<Tags><Items>{items}</Items></Tags>")
}

/// CloudFront with the one distribution of this config.
fn cloudfront(config: String) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
    move |asked| {
        let of_id = format!("/2020-05-31/distribution/{ID}");
        let path = asked.path.as_str();
        if path.ends_with("/tagging") {
            return Answer::new(200, tags(&owner().tags()));
        }
        let rest = path.strip_prefix(&of_id);
        match (asked.method.as_str(), rest) {
            ("GET", Some("")) => Answer::new(200, distribution(&config, "Deployed")),
            ("GET", Some("/config")) => Answer::new(200, config.clone()).header("etag", "E2ETAG"),
            ("PUT", Some("/config")) => {
                Answer::new(200, distribution(&asked.body, "InProgress")).header("etag", "E3ETAG")
            }
            _ => Answer::enveloped_error(404, "NoSuchDistribution", "There is none."),
        }
    }
}

async fn observe(pass: &Pass, wanted: &Config) -> Live {
    let hint = Hint {
        known_id: Some(ID.into()),
        wanted: Some(json!(wanted)),
    };
    let observed = kind().observe(pass, &id(), hint).await;
    observed.live().expect("it is there").clone()
}

/// Brings the distribution of `config` to `wanted`; the config that was sent.
async fn sent(config: &str, wanted: &Config) -> String {
    let (pass, asks) = recording(true, cloudfront(config.to_owned()));
    let live = observe(&pass, wanted).await;
    let changes = diff::fields(&json!(wanted), &live);
    assert!(!changes.is_empty(), "there is something to change");
    let changed = changes
        .iter()
        .map(|change| change.top_level().to_owned())
        .collect();
    let updated = kind()
        .update(&pass, &id(), &live, &json!(wanted), &changed)
        .await
        .expect("it can be changed");
    assert_eq!(diff::fields(&json!(wanted), &updated), []);
    assert_eq!(
        updated.phase,
        Phase::Deploying("Deployed (InProgress)".into())
    );
    last_put(&asks)
}

fn last_put(asks: &Asks) -> String {
    let asks = asks.lock().expect("no test panics with it");
    let put = asks.iter().rfind(|asked| asked.method == "PUT");
    let put = put.expect("it was sent");
    assert_eq!(put.header("if-match"), "E2ETAG");
    put.body.clone()
}

#[tokio::test]
async fn cloudfronts_own_answer_differs_in_nothing() {
    let (pass, asks) = recording(true, cloudfront(CONFIG.into()));
    let live = observe(&pass, &wanted()).await;
    assert_eq!(diff::fields(&json!(wanted()), &live), []);
    assert_eq!(live.owner, Owner::Ours);
    assert_eq!(live.phase, Phase::Ready);
    assert_eq!(live.outputs["domain_name"], "d111111abcdef8.cloudfront.net");
    assert_eq!(asks.lock().expect("no test panics with it").len(), 2);
}

#[tokio::test]
async fn an_update_keeps_what_others_set() {
    let mut changed = wanted();
    changed.price_class = "PriceClass_100".into();
    changed.routing.default_behavior.target = "lambda-primary".into();
    changed.routing.behaviors[0].path = "/assets/*".into();
    let sent = sent(CONFIG, &changed).await;
    for kept in [
        "<CallerReference>multiregion-0123</CallerReference>",
        "<KeyGroup>their-key-group</KeyGroup>",
        "function/theirs</FunctionARN>",
        "<ResponseHeadersPolicyId>their-response-headers-policy</ResponseHeadersPolicyId>",
        "<Bucket>their-logs.s3.amazonaws.com</Bucket>",
        "<Location>AQ</Location>",
        "webacl/theirs/1</WebACLId>",
        "<OriginShieldRegion>us-east-1</OriginShieldRegion>",
    ] {
        assert!(sent.contains(kept), "{kept} in {sent}");
    }
    // A behavior of another path is a new one, and an update has to be complete.
    assert!(sent.contains("<LambdaFunctionAssociations><Quantity>0</Quantity>"));
    assert!(sent.contains("<PathPattern>/assets/*</PathPattern>"));
}

#[tokio::test]
async fn a_function_of_ours_comes_and_goes_and_anothers_stays() {
    const OURS: &str = "arn:aws:cloudfront::123456789012:function/multiregion-writer-0123456789ab";
    let mut with_ours = wanted();
    with_ours.routing.default_behavior.viewer_request = Some(OURS.into());
    let associated = sent(CONFIG, &with_ours).await;
    let both = "<FunctionAssociations><Quantity>2</Quantity>";
    for part in [both, OURS, "function/theirs</FunctionARN>"] {
        assert!(associated.contains(part), "{part} in {associated}");
    }
    let (pass, _) = recording(true, cloudfront(associated.clone()));
    let live = observe(&pass, &with_ours).await;
    assert_eq!(diff::fields(&json!(with_ours), &live), []);
    let without = sent(&associated, &wanted()).await;
    assert!(!without.contains("multiregion-writer"), "{without}");
    assert!(
        without.contains("function/theirs</FunctionARN>"),
        "{without}"
    );
}

#[tokio::test]
async fn a_web_acl_is_ours_only_where_it_is_set() {
    let mut changed = wanted();
    let arn = "arn:aws:wafv2:us-east-1:123456789012:global/webacl/ours/2";
    changed.web_acl_arn = Some(arn.into());
    let sent = sent(CONFIG, &changed).await;
    assert!(sent.contains(&format!("<WebACLId>{arn}</WebACLId>")));
}

#[tokio::test]
async fn foreign_parts_of_whole_lists_are_drift_and_go() {
    let foreign_origin = "<Items><Origin><Id>theirs</Id><DomainName>example.org</DomainName><OriginPath>/x</OriginPath>\
                          </Origin><Origin>";
    let foreign_error = "<Items><CustomErrorResponse><ErrorCode>404</ErrorCode><ResponsePagePath>/404</ResponsePagePath>\
                         <ResponseCode>404</ResponseCode></CustomErrorResponse>";
    let squeezed = CONFIG
        .replace("\n    <Origin>", "<Origin>")
        .replace("\n    <CustomError", "<CustomError");
    let tampered = squeezed
        .replacen("<Items><Origin>", foreign_origin, 1)
        .replacen("<Items><CustomErrorResponse>", &format!("{foreign_error}<CustomErrorResponse>"), 1)
        // As a behavior was made before there were policies.
        .replacen(
            "<CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId>",
            "<ForwardedValues><QueryString>false</QueryString><Cookies><Forward>none</Forward></Cookies></ForwardedValues>\
             <MinTTL>0</MinTTL><DefaultTTL>1</DefaultTTL><MaxTTL>2</MaxTTL>",
            1,
        );
    assert_ne!(tampered, squeezed);
    let (pass, _) = recording(true, cloudfront(tampered.clone()));
    let live = observe(&pass, &wanted()).await;
    let paths: Vec<String> = diff::fields(&json!(wanted()), &live)
        .into_iter()
        .map(|change| change.path)
        .collect();
    for path in ["error_caching.404", "routing.origins.theirs"] {
        assert!(
            paths.iter().any(|seen| seen.starts_with(path)),
            "{path} in {paths:?}"
        );
    }
    let sent = sent(&tampered, &wanted()).await;
    for gone in ["theirs</Id>", "/404", "ForwardedValues", "TTL>1<", "TTL>2<"] {
        assert!(!sent.contains(gone), "{gone} in {sent}");
    }
}

#[tokio::test]
async fn the_order_of_a_group_and_of_behaviors_matters() {
    let swapped = CONFIG
        .replace("<OriginId>lambda-primary<", "<OriginId>x<")
        .replace("<OriginId>lambda-dr<", "<OriginId>lambda-primary<")
        .replace("<OriginId>x<", "<OriginId>lambda-dr<");
    let (pass, _) = recording(true, cloudfront(swapped));
    let live = observe(&pass, &wanted()).await;
    assert!(!diff::fields(&json!(wanted()), &live).is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_not_served_by_sni_is_drift() {
    let (pass, _) = recording(true, cloudfront(CONFIG.replace("sni-only", "vip")));
    let live = observe(&pass, &wanted()).await;
    assert_eq!(live.config["viewer"]["minimum_tls"], "TLSv1.2_2021 (vip)");
    let own = CONFIG.replace(
        "<CloudFrontDefaultCertificate>false",
        "<CloudFrontDefaultCertificate>true",
    );
    let (pass, _) = recording(true, cloudfront(own));
    let live = observe(&pass, &wanted()).await;
    assert_eq!(live.config["viewer"]["certificate_arn"], Value::Null);
    assert_eq!(live.config["viewer"]["minimum_tls"], Value::Null);
}

#[tokio::test]
async fn a_change_between_read_and_write_is_a_conflict() {
    let answers = cloudfront(CONFIG.into());
    let (pass, _) = recording(true, move |asked: &Asked| {
        if asked.method == "PUT" {
            return Answer::enveloped_error(
                412,
                "PreconditionFailed",
                "The precondition is false.",
            );
        }
        answers(asked)
    });
    let mut changed = wanted();
    changed.ipv6 = false;
    let live = observe(&pass, &changed).await;
    let fields = BTreeSet::from(["ipv6".to_owned()]);
    let refused = kind()
        .update(&pass, &id(), &live, &json!(changed), &fields)
        .await;
    let refused = refused.expect_err("somebody was first");
    assert_eq!(refused.kind, FailureKind::Conflict);
}

fn summary(id: &str, comment: &str, staging: bool) -> String {
    format!(
        "<DistributionSummary><Id>{id}</Id><ARN>arn:aws:cloudfront::123456789012:distribution/{id}</ARN><Status>Deployed\
         </Status><LastModifiedTime>2026-01-01T00:00:00Z</LastModifiedTime><DomainName>x.cloudfront.net</DomainName>\
         <Comment>{comment}</Comment><PriceClass>PriceClass_All</PriceClass><Enabled>true</Enabled><WebACLId/>\
         <HttpVersion>http2</HttpVersion><IsIPV6Enabled>true</IsIPV6Enabled><Staging>{staging}</Staging>\
         </DistributionSummary>"
    )
}

/// Looks for a distribution in a list of two pages, with these tags on those whose id is not [`ID`].
async fn found_in_list(pages: [String; 2], others: Tags) -> Option<Live> {
    let answers = cloudfront(CONFIG.into());
    let (pass, _) = recording(true, move |asked: &Asked| {
        if asked.path.ends_with("/tagging") && !asked.query.contains(ID) {
            return Answer::new(200, tags(&others));
        }
        if asked.path != "/2020-05-31/distribution" {
            return answers(asked);
        }
        let (page, next) = if asked.has("Marker") {
            (&pages[1], "")
        } else {
            (&pages[0], "<NextMarker>next</NextMarker>")
        };
        Answer::new(
            200,
            format!(
                "<DistributionList><Marker/>{next}<MaxItems>100</MaxItems><IsTruncated>{}</IsTruncated><Quantity>1\
                 </Quantity><Items>{page}</Items></DistributionList>",
                !next.is_empty()
            ),
        )
    });
    let hint = Hint {
        known_id: None,
        wanted: None,
    };
    let observed = kind().observe(&pass, &id(), hint).await;
    observed.live().cloned()
}

#[tokio::test]
async fn of_several_with_our_comment_the_one_with_our_tags_is_ours() {
    let comment = owner().comment();
    let pages = [
        summary("E0OTHER", "my blog", false) + &summary("E9COPY", &comment, false),
        summary("E8STAGING", &comment, true) + &summary(ID, &comment, false),
    ];
    let live = found_in_list(pages, Tags::new())
        .await
        .expect("it is there");
    assert_eq!(live.physical_id, ID);
    assert_eq!(live.owner, Owner::Ours);
}

#[tokio::test]
async fn none_with_our_comment_is_none() {
    let pages = [
        summary("E0OTHER", "my blog", false),
        summary("E8STAGING", &owner().comment(), true),
    ];
    assert_eq!(found_in_list(pages, Tags::new()).await, None);
}

/// The same distribution as a list has it.
fn whole_summary(comment: &str, more: &str) -> String {
    let text = CONFIG.replace('\n', "");
    let (_, rest) = text.split_once('>').expect("an element");
    let config = rest.trim_end().trim_end_matches("</DistributionConfig>");
    let before = config.find("<Comment>").expect("a comment");
    let after = config.find("</Comment>").expect("its end") + "</Comment>".len();
    format!(
        "<DistributionSummary><Id>{ID}</Id><ARN>{ARN}</ARN><Status>Deployed</Status><LastModifiedTime>\
         2026-01-01T00:00:00Z</LastModifiedTime><DomainName>d111111abcdef8.cloudfront.net</DomainName>{}<Comment>{comment}\
         </Comment>{}{more}</DistributionSummary>",
        &config[..before],
        &config[after..],
    )
}

fn listing(summary: &str) -> Answer {
    Answer::new(
        200,
        format!(
            "<DistributionList><Marker/><MaxItems>100</MaxItems><IsTruncated>false</IsTruncated><Quantity>1</Quantity>\
             <Items>{summary}</Items></DistributionList>"
        ),
    )
}

async fn believed(summary: String) -> (Option<Seen<Config>>, Asks) {
    let (pass, asks) = recording(false, move |asked: &Asked| {
        if asked.path.ends_with("/distribution") {
            listing(&summary)
        } else {
            Answer::enveloped_error(404, "NoSuchDistribution", "none")
        }
    });
    let pass = pass.believing();
    let hint = Hint {
        known_id: Some(ID.into()),
        wanted: None,
    };
    let seen = Distribution::observe(&pass, &id(), hint).await;
    (seen.expect("it is read"), asks)
}

async fn observe_by_id() -> Seen<Config> {
    let (before, rest) = CONFIG.split_once("<Comment>").expect("a comment");
    let (_, after) = rest.split_once("</Comment>").expect("its end");
    let config = format!("{before}<Comment>{}</Comment>{after}", owner().comment());
    let (pass, _) = recording(false, cloudfront(config));
    let hint = Hint {
        known_id: Some(ID.into()),
        wanted: None,
    };
    let seen = Distribution::observe(&pass, &id(), hint).await;
    seen.expect("it is read").expect("it is there")
}

#[tokio::test]
async fn a_list_tells_all_that_is_managed_but_the_tags() {
    let (seen, asks) = believed(whole_summary(
        &owner().comment(),
        "<Staging>false</Staging>",
    ))
    .await;
    let seen = seen.expect("it is there");
    let by_id = observe_by_id().await;
    assert_eq!(seen.config, by_id.config);
    assert_eq!(seen.phase, by_id.phase);
    assert_eq!(seen.outputs, by_id.outputs);
    assert_eq!(seen.unread, BTreeSet::from(["tags"]));
    assert_eq!(seen.outputs["domain_name"], "d111111abcdef8.cloudfront.net");
    assert_eq!(asks.lock().expect("no test panics with it").len(), 1);
}

#[tokio::test]
async fn what_the_list_has_under_another_comment_is_not_taken_from_it() {
    let (seen, asks) = believed(whole_summary("mine", "<Staging>false</Staging>")).await;
    assert_eq!(seen, None);
    let asks = asks.lock().expect("no test panics with it");
    let by_id = format!("/distribution/{ID}");
    assert!(asks.iter().any(|asked| asked.path.ends_with(&by_id)));
}

#[tokio::test]
async fn what_has_as_many_distributions_as_it_may_is_followed_by_another() {
    let policy = |name: &str, id: &str| {
        format!(
            "<CachePolicySummary><Type>custom</Type><CachePolicy><Id>{id}</Id><LastModifiedTime>2026-01-01T00:00:00Z\
             </LastModifiedTime><CachePolicyConfig><Comment>Shared by MultiRegionApps.</Comment><Name>{name}</Name>\
             <MinTTL>0</MinTTL></CachePolicyConfig></CachePolicy></CachePolicySummary>"
        )
    };
    let list = |element: &str, items: &str| {
        format!(
            "<{element}><MaxItems>100</MaxItems><Marker/><IsTruncated>false</IsTruncated><Quantity>1</Quantity>\
             <Items>{items}</Items></{element}>"
        )
    };
    let of_another = whole_summary("another", "<Staging>false</Staging>");
    let (pass, asks) = recording(true, move |asked: &Asked| {
        let path = asked.path.trim_start_matches("/2020-05-31/");
        match (asked.method.as_str(), path) {
            ("GET", "cache-policy") => {
                let policies = policy("multiregion-cache-1", "cache-policy");
                Answer::new(200, list("CachePolicyList", &policies))
            }
            ("GET", "distribution") => Answer::new(200, list("DistributionList", &of_another)),
            ("POST", "cache-policy") => {
                Answer::enveloped_error(400, "TooManyCachePolicies", "There are 20.")
            }
            _ => Answer::enveloped_error(
                400,
                "TooManyDistributionsAssociatedToCachePolicy",
                "The maximum is reached.",
            ),
        }
    });
    let policies = REGISTRY["cloudfront_cache_policy"].as_ref();
    let policy = ResourceId::global("cloudfront_cache_policy", "multiregion-cache-1");
    let config = json!({
        "default_ttl": 60, "max_ttl": 60, "min_ttl": 0, "cookies": [], "headers": [], "query_strings": "all",
        "encodings": []
    });
    let seen = async || {
        let hint = Hint {
            known_id: Some("cache-policy".into()),
            wanted: Some(config.clone()),
        };
        let observed = policies.observe(&pass, &policy, hint).await;
        observed.live().map(|live| live.physical_id.clone())
    };
    assert_eq!(seen().await.as_deref(), Some("cache-policy"));
    let refused = kind().create(&pass, &id(), &json!(wanted())).await;
    let refused = refused.expect_err("its policy is full");
    assert_eq!(refused.kind, FailureKind::Conflict, "come again soon");
    assert_eq!(seen().await, None, "the next one is still to be made");
    let refused = policies.create(&pass, &policy, &config).await;
    let refused = refused.expect_err("there are too many");
    assert_eq!(refused.kind, FailureKind::Quota);
    let asks = asks.lock().expect("no test panics with it");
    let made = asks.last().expect("it was tried");
    assert!(
        made.body.contains("<Name>multiregion-cache-1-2</Name>"),
        "{made:?}"
    );
}
