//! CloudFront's rules.

use std::time::Duration;

use serde_json::json;
use strict_aws::{Config, Strict};

use crate::support::{Aws, Reply};

const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";

/// A config with two origins in a group, which a test spoils at one place.
pub fn config(reference: &str) -> String {
    let origin = |id: &str| {
        format!(
            "<Origin><Id>{id}</Id><DomainName>{id}.s3.us-east-1.amazonaws.com</DomainName><S3OriginConfig>\
             <OriginAccessIdentity></OriginAccessIdentity></S3OriginConfig></Origin>"
        )
    };
    format!(
        "<DistributionConfig xmlns=\"{NAMESPACE}\"><CallerReference>{reference}</CallerReference>\
         <Aliases><Quantity>0</Quantity></Aliases>\
         <Origins><Quantity>2</Quantity><Items>{}{}</Items></Origins>\
         <OriginGroups><Quantity>1</Quantity><Items><OriginGroup><Id>group</Id><FailoverCriteria><StatusCodes>\
         <Quantity>2</Quantity><Items><StatusCode>500</StatusCode><StatusCode>502</StatusCode></Items></StatusCodes>\
         </FailoverCriteria><Members><Quantity>2</Quantity><Items>\
         <OriginGroupMember><OriginId>one</OriginId></OriginGroupMember>\
         <OriginGroupMember><OriginId>two</OriginId></OriginGroupMember></Items></Members></OriginGroup></Items>\
         </OriginGroups><DefaultCacheBehavior><TargetOriginId>group</TargetOriginId>\
         <ViewerProtocolPolicy>allow-all</ViewerProtocolPolicy>\
         <AllowedMethods><Quantity>2</Quantity><Items><Method>GET</Method><Method>HEAD</Method></Items></AllowedMethods>\
         <CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId></DefaultCacheBehavior>\
         <Comment>shop</Comment><Enabled>true</Enabled></DistributionConfig>",
        origin("one"),
        origin("two")
    )
}

/// The config with one alias, and a certificate if one is named.
pub fn with_alias(reference: &str, alias: &str, certificate: &str) -> String {
    let aliases =
        format!("<Aliases><Quantity>1</Quantity><Items><CNAME>{alias}</CNAME></Items></Aliases>");
    let certificate = match certificate {
        "" => String::new(),
        arn => format!(
            "<ViewerCertificate><ACMCertificateArn>{arn}</ACMCertificateArn><SSLSupportMethod>sni-only\
             </SSLSupportMethod></ViewerCertificate>"
        ),
    };
    let sent = config(reference).replace("<Aliases><Quantity>0</Quantity></Aliases>", &aliases);
    sent.replace("<Comment>", &format!("{certificate}<Comment>"))
}

async fn create(aws: &Aws, config: &str) -> Reply {
    aws.cloudfront("POST", "distribution", None, config).await
}

/// Creates the config after replacing one text in it, which must be there.
#[track_caller]
fn spoilt(from: &str, to: &str) -> String {
    let config = config("spoilt");
    assert!(config.contains(from), "no {from} in {config}");
    config.replacen(from, to, 1)
}

#[tokio::test]
async fn what_contradicts_itself_is_refused() {
    let aws = Aws::only(|strict| strict.cloudfront_validation = true).await;
    let methods = "<Quantity>2</Quantity><Items><Method>GET</Method><Method>HEAD</Method></Items>";
    let all = "<Quantity>7</Quantity><Items><Method>GET</Method><Method>HEAD</Method><Method>OPTIONS</Method>\
               <Method>PUT</Method><Method>PATCH</Method><Method>POST</Method><Method>DELETE</Method></Items>";
    let post = "<Quantity>2</Quantity><Items><Method>GET</Method><Method>POST</Method></Items>";
    let policy = "<CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId>";
    let s3 = "<S3OriginConfig><OriginAccessIdentity></OriginAccessIdentity></S3OriginConfig>";
    let slow = format!("{s3}<ConnectionAttempts>4</ConnectionAttempts>");
    let mixed = format!("{policy}<MinTTL>0</MinTTL>");
    let cases = [
        (
            "<Origins><Quantity>2",
            "<Origins><Quantity>3",
            400,
            "InconsistentQuantities",
        ),
        (
            "<Aliases><Quantity>0",
            "<Aliases><Quantity>1",
            400,
            "InconsistentQuantities",
        ),
        (
            "<TargetOriginId>group",
            "<TargetOriginId>other",
            404,
            "NoSuchOrigin",
        ),
        ("<OriginId>two", "<OriginId>three", 404, "NoSuchOrigin"),
        ("<Origin><Id>two", "<Origin><Id>one", 400, "InvalidArgument"),
        ("<StatusCode>502", "<StatusCode>429", 400, "InvalidArgument"),
        (methods, all, 400, "InvalidArgument"),
        (methods, post, 400, "InvalidArgument"),
        (policy, "", 400, "InvalidArgument"),
        (policy, &mixed, 400, "InvalidArgument"),
        ("<Comment>shop</Comment>", "", 400, "InvalidArgument"),
        (s3, "", 400, "InvalidOrigin"),
        (s3, &slow, 400, "InvalidArgument"),
        ("one.s3.us-east-1.amazonaws.com", "", 400, "InvalidOrigin"),
        (
            "one.s3.us-east-1.amazonaws.com",
            "example.com",
            400,
            "InvalidArgument",
        ),
    ];
    for (from, to, status, code) in cases {
        create(&aws, &spoilt(from, to)).await.refused(status, code);
    }
    let post_on_group = create(&aws, &spoilt(methods, all)).await;
    post_on_group.says("cannot include POST, PUT, PATCH, or DELETE for a cached behavior associated with an origin group");
    // The same methods on an origin are fine.
    let direct = spoilt(methods, all).replace("<TargetOriginId>group", "<TargetOriginId>one");
    create(&aws, &direct).await.ok();
}

#[tokio::test]
async fn what_is_referred_to_must_exist() {
    let aws = Aws::only(|strict| strict.cloudfront_validation = true).await;
    let policy = "<CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId>";
    let identity = "<OriginAccessIdentity></OriginAccessIdentity>";
    let s3 = "</S3OriginConfig>";
    let cases = [
        (
            policy,
            "<CachePolicyId>none</CachePolicyId>",
            404,
            "NoSuchCachePolicy",
        ),
        (
            policy,
            "<CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId>\
             <OriginRequestPolicyId>none</OriginRequestPolicyId>",
            404,
            "NoSuchOriginRequestPolicy",
        ),
        (
            identity,
            "<OriginAccessIdentity>origin-access-identity/cloudfront/E0</OriginAccessIdentity>",
            400,
            "InvalidOriginAccessIdentity",
        ),
        (
            s3,
            "</S3OriginConfig><OriginAccessControlId>E0</OriginAccessControlId>",
            400,
            "InvalidOriginAccessControl",
        ),
    ];
    for (from, to, status, code) in cases {
        create(&aws, &spoilt(from, to)).await.refused(status, code);
    }
    // An access control for functions does not fit a bucket.
    let control = access_control(&aws, "lambda").await.text("Id");
    let with_control =
        |id: &str| format!("</S3OriginConfig><OriginAccessControlId>{id}</OriginAccessControlId>");
    let wrong = create(&aws, &spoilt(s3, &with_control(&control))).await;
    wrong.refused(400, "InvalidDomainNameForOriginAccessControl");
    let control = access_control(&aws, "s3").await.text("Id");
    create(&aws, &spoilt(s3, &with_control(&control)))
        .await
        .ok();
}

async fn access_control(aws: &Aws, kind: &str) -> Reply {
    let body = format!(
        "<OriginAccessControlConfig xmlns=\"{NAMESPACE}\"><Name>for-{kind}</Name><SigningProtocol>sigv4</SigningProtocol>\
         <SigningBehavior>always</SigningBehavior><OriginAccessControlOriginType>{kind}</OriginAccessControlOriginType>\
         </OriginAccessControlConfig>"
    );
    aws.cloudfront("POST", "origin-access-control", None, &body)
        .await
        .ok()
}

#[tokio::test]
async fn an_access_control_in_use_stays() {
    let aws = Aws::only(|strict| strict.cloudfront_in_use = true).await;
    let control = access_control(&aws, "s3").await;
    let (id, etag) = (control.text("Id"), control.etag());
    let with = format!("</S3OriginConfig><OriginAccessControlId>{id}</OriginAccessControlId>");
    let made = create(
        &aws,
        &spoilt("</S3OriginConfig>", &with).replace("<Enabled>true", "<Enabled>false"),
    )
    .await
    .ok();
    let path = format!("origin-access-control/{id}");
    aws.cloudfront("DELETE", &path, Some("stale"), "")
        .await
        .refused(412, "PreconditionFailed");
    aws.cloudfront("DELETE", &path, Some(&etag), "")
        .await
        .refused(409, "OriginAccessControlInUse");
    let distribution = format!("distribution/{}", made.text("Id"));
    aws.cloudfront("DELETE", &distribution, Some(&made.etag()), "")
        .await
        .ok();
    aws.cloudfront("DELETE", &path, Some(&etag), "").await.ok();
}

#[tokio::test]
async fn policies_in_use_stay() {
    let aws = Aws::only(|strict| strict.cloudfront_in_use = true).await;
    let body = format!(
        "<CachePolicyConfig xmlns=\"{NAMESPACE}\"><Name>mine</Name><MinTTL>0</MinTTL>\
         <ParametersInCacheKeyAndForwardedToOrigin><EnableAcceptEncodingGzip>true</EnableAcceptEncodingGzip>\
         <HeadersConfig><HeaderBehavior>none</HeaderBehavior></HeadersConfig>\
         <CookiesConfig><CookieBehavior>none</CookieBehavior></CookiesConfig>\
         <QueryStringsConfig><QueryStringBehavior>all</QueryStringBehavior></QueryStringsConfig>\
         </ParametersInCacheKeyAndForwardedToOrigin></CachePolicyConfig>"
    );
    let cache = aws
        .cloudfront("POST", "cache-policy", None, &body)
        .await
        .ok();
    let body = format!(
        "<OriginRequestPolicyConfig xmlns=\"{NAMESPACE}\"><Name>mine</Name>\
         <HeadersConfig><HeaderBehavior>none</HeaderBehavior></HeadersConfig>\
         <CookiesConfig><CookieBehavior>none</CookieBehavior></CookiesConfig>\
         <QueryStringsConfig><QueryStringBehavior>all</QueryStringBehavior></QueryStringsConfig>\
         </OriginRequestPolicyConfig>"
    );
    let request = aws
        .cloudfront("POST", "origin-request-policy", None, &body)
        .await
        .ok();
    let policies = format!(
        "<CachePolicyId>{}</CachePolicyId><OriginRequestPolicyId>{}</OriginRequestPolicyId>",
        cache.text("Id"),
        request.text("Id")
    );
    let managed = "<CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId>";
    create(&aws, &spoilt(managed, &policies)).await.ok();
    let path = format!("cache-policy/{}", cache.text("Id"));
    aws.cloudfront("DELETE", &path, Some(&cache.etag()), "")
        .await
        .refused(409, "CachePolicyInUse");
    let path = format!("origin-request-policy/{}", request.text("Id"));
    aws.cloudfront("DELETE", &path, Some(&request.etag()), "")
        .await
        .refused(409, "OriginRequestPolicyInUse");
}

#[tokio::test]
async fn a_caller_reference_is_used_once_and_never_changes() {
    let aws = Aws::only(|strict| strict.cloudfront_validation = true).await;
    let made = create(&aws, &config("first")).await.ok();
    let again = create(&aws, &config("first"))
        .await
        .refused(409, "DistributionAlreadyExists");
    again.says(&made.text("Id"));
    let path = format!("distribution/{}/config", made.text("Id"));
    aws.cloudfront("PUT", &path, None, &config("first"))
        .await
        .refused(400, "InvalidIfMatchVersion");
    aws.cloudfront("PUT", &path, Some("stale"), &config("first"))
        .await
        .refused(412, "PreconditionFailed");
    aws.cloudfront("PUT", &path, Some(&made.etag()), &config("second"))
        .await
        .refused(400, "IllegalUpdate");
    let bad = config("first").replace("<TargetOriginId>group", "<TargetOriginId>none");
    aws.cloudfront("PUT", &path, Some(&made.etag()), &bad)
        .await
        .refused(404, "NoSuchOrigin");
    aws.cloudfront("PUT", &path, Some(&made.etag()), &config("first"))
        .await
        .ok();
}

#[tokio::test]
async fn an_update_has_every_field_that_a_read_has() {
    let aws = Aws::only(|strict| {
        strict.cloudfront_validation = true;
        strict.cloudfront_defaults = true;
    })
    .await;
    let made = create(&aws, &config("ref")).await.ok();
    let path = format!("distribution/{}/config", made.text("Id"));
    let sparse = aws
        .cloudfront("PUT", &path, Some(&made.etag()), &config("ref"))
        .await;
    sparse
        .refused(400, "IllegalUpdate")
        .says("is required for updates");
    let read = aws.cloudfront("GET", &path, None, "").await.ok();
    let changed = read.body.replace("<Comment>shop", "<Comment>changed");
    aws.cloudfront("PUT", &path, Some(&made.etag()), &changed)
        .await
        .ok();
}

#[tokio::test]
async fn every_change_is_in_progress_for_a_while() {
    let mut settings = Config {
        strict: Strict::none(),
        ..Config::strict()
    };
    settings.strict.cloudfront_in_progress = true;
    settings.delays.distribution_in_progress = Duration::from_secs(600);
    let aws = Aws::with(settings).await;
    let deployed = |done: bool| {
        let delay = Duration::from_secs(if done { 0 } else { 600 });
        aws.proxy
            .configure(|config| config.delays.distribution_in_progress = delay);
    };
    let made = create(&aws, &config("ref"))
        .await
        .ok()
        .says("<Status>InProgress</Status>");
    let path = format!("distribution/{}", made.text("Id"));
    aws.cloudfront("GET", &path, None, "")
        .await
        .ok()
        .says("<Status>InProgress</Status>");
    aws.cloudfront("GET", "distribution", None, "")
        .await
        .ok()
        .says("<Status>InProgress</Status>");
    deployed(true);
    aws.cloudfront("GET", &path, None, "")
        .await
        .ok()
        .says("<Status>Deployed</Status>");

    // Enabled, it cannot be deleted; disabled neither, until that is deployed.
    aws.cloudfront("DELETE", &path, Some(&made.etag()), "")
        .await
        .refused(409, "DistributionNotDisabled");
    deployed(false);
    let disabled = config("ref").replace("<Enabled>true", "<Enabled>false");
    let updated = aws
        .cloudfront(
            "PUT",
            &format!("{path}/config"),
            Some(&made.etag()),
            &disabled,
        )
        .await
        .ok();
    aws.cloudfront("GET", &path, None, "")
        .await
        .ok()
        .says("<Status>InProgress</Status>");
    aws.cloudfront("DELETE", &path, Some(&updated.etag()), "")
        .await
        .refused(409, "DistributionNotDisabled");
    deployed(true);
    aws.cloudfront("DELETE", &path, Some(&made.etag()), "")
        .await
        .refused(412, "PreconditionFailed");
    aws.cloudfront("DELETE", &path, Some(&updated.etag()), "")
        .await
        .ok();
}

#[tokio::test]
async fn answers_have_defaults_and_an_order_of_their_own() {
    let aws = Aws::only(|strict| strict.cloudfront_defaults = true).await;
    let sent = config("ref").replace(
        "<Comment>shop</Comment>",
        "<Comment>shop</Comment><ViewerCertificate><ACMCertificateArn>arn:x</ACMCertificateArn>\
         <SSLSupportMethod>sni-only</SSLSupportMethod><MinimumProtocolVersion>TLSv1.2_2021</MinimumProtocolVersion>\
         </ViewerCertificate>",
    );
    let made = create(&aws, &sent).await.ok();
    let read = aws
        .cloudfront(
            "GET",
            &format!("distribution/{}/config", made.text("Id")),
            None,
            "",
        )
        .await
        .ok();
    let config = read.xml();
    let children = config.children.iter().filter_map(|node| node.as_element());
    let names: Vec<_> = children.map(|child| child.name.as_str()).collect();
    assert_eq!(
        names[..5],
        [
            "CallerReference",
            "Aliases",
            "DefaultRootObject",
            "Origins",
            "OriginGroups"
        ]
    );
    assert!(
        names.contains(&"Logging") && names.contains(&"Restrictions") && names.contains(&"Staging")
    );
    // What AWS adds to an origin, a behaviour and a certificate.
    let read = read
        .says("<ConnectionAttempts>3</ConnectionAttempts>")
        .says("<ConnectionTimeout>10</ConnectionTimeout>");
    let read = read.says(
        "<TrustedKeyGroups><Enabled>false</Enabled><Quantity>0</Quantity></TrustedKeyGroups>",
    );
    let read = read
        .says("<SmoothStreaming>false</SmoothStreaming>")
        .says("<FieldLevelEncryptionId");
    let read =
        read.says("<Certificate>arn:x</Certificate><CertificateSource>acm</CertificateSource>");
    // Sets come in another order; the members of a group and the behaviours do not.
    let order = |first: &str, second: &str| {
        read.body.find(first).unwrap() < read.body.find(second).unwrap()
    };
    assert!(order("<Id>two</Id>", "<Id>one</Id>"));
    assert!(order("<StatusCode>502", "<StatusCode>500"));
    assert!(order("<Method>HEAD", "<Method>GET"));
    assert!(order("<OriginId>one", "<OriginId>two"));
}

#[tokio::test]
async fn aliases_need_a_certificate_that_covers_them() {
    let aws = Aws::only(|strict| strict.cloudfront_validation = true).await;
    let request = async |region: &str, name: &str| {
        let body = json!({"DomainName": name, "ValidationMethod": "DNS"});
        let made = aws
            .json("acm", region, "CertificateManager.RequestCertificate", body)
            .await
            .ok();
        made.json()["CertificateArn"].as_str().unwrap().to_owned()
    };
    let here = request("us-east-1", "shop.example.com").await;
    let wild = request("us-east-1", "*.example.com").await;
    let elsewhere = request("eu-west-1", "shop.example.com").await;
    let gone = here.replace("certificate/", "certificate/0");
    let refused = [
        ("shop.example.com", ""),
        ("shop.example.com", elsewhere.as_str()),
        ("shop.example.com", gone.as_str()),
        ("other.example.com", here.as_str()),
        ("a.b.example.com", wild.as_str()),
    ];
    for (alias, certificate) in refused {
        create(&aws, &with_alias("r", alias, certificate))
            .await
            .refused(400, "InvalidViewerCertificate");
    }
    let made = create(&aws, &with_alias("first", "shop.example.com", &here))
        .await
        .ok();
    let taken = create(&aws, &with_alias("second", "Shop.Example.com", &wild)).await;
    taken.refused(409, "CNAMEAlreadyExists");
    create(&aws, &with_alias("third", "other.example.com", &wild))
        .await
        .ok();
    // Its own alias is nobody else's.
    let path = format!("distribution/{}/config", made.text("Id"));
    aws.cloudfront(
        "PUT",
        &path,
        Some(&made.etag()),
        &with_alias("first", "shop.example.com", &wild),
    )
    .await
    .ok();
}

#[tokio::test]
async fn lists_come_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(
            create(&aws, &config(&format!("r{number}")))
                .await
                .ok()
                .text("Id"),
        );
    }
    let (mut seen, mut marker) = (Vec::new(), String::new());
    for page in [2, 2, 1] {
        let list = aws
            .cloudfront(
                "GET",
                &format!("distribution?Marker={marker}&MaxItems=50"),
                None,
                "",
            )
            .await
            .ok();
        let ids: Vec<_> = list
            .body
            .split("<DistributionSummary><Id>")
            .skip(1)
            .collect();
        assert_eq!((ids.len(), list.text("Quantity")), (page, page.to_string()));
        seen.extend(
            ids.iter()
                .map(|rest| rest.split('<').next().unwrap().to_owned()),
        );
        let more = list.text("IsTruncated") == "true";
        assert_eq!(more, seen.len() < 5);
        marker = if more {
            list.text("NextMarker")
        } else {
            String::new()
        };
    }
    assert_eq!(seen, made);

    // The policies' lists have no IsTruncated: the last page is the one without a NextMarker.
    let (mut pages, mut marker) = (0, String::new());
    loop {
        let list = aws
            .cloudfront(
                "GET",
                &format!("cache-policy?Type=managed&Marker={marker}"),
                None,
                "",
            )
            .await
            .ok();
        assert!(["1", "2"].contains(&list.text("Quantity").as_str()));
        pages += 1;
        if !list.body.contains("<NextMarker>") {
            break;
        }
        marker = list.text("NextMarker");
    }
    assert!(pages > 2, "only {pages} pages of managed policies");
}
