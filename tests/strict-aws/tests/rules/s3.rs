//! S3's rules.

use std::time::Duration;

use serde_json::json;
use strict_aws::{Config, Strict};

use crate::support::Aws;

const VERSIONED: &str =
    "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
const SUSPENDED: &str =
    "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>";
const REGION: &str = "us-east-1";

#[tokio::test]
async fn a_bucket_answers_only_in_its_region() {
    let aws = Aws::with(Config::transparent()).await;
    let bucket = aws.bucket("eu-west-1", "b").await;
    for (method, path) in [("GET", "?versioning"), ("GET", "/key"), ("HEAD", "")] {
        let answer = aws
            .s3("us-west-2", method, &format!("/{bucket}{path}"), "")
            .await;
        assert_eq!(
            (answer.status, answer.header("x-amz-bucket-region")),
            (301, "eu-west-1"),
            "{method} {path}"
        );
        assert!(
            method == "HEAD" || answer.body.contains("<Code>PermanentRedirect</Code>"),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_bucket_with_any_version_stays() {
    let aws = Aws::with(Config::transparent()).await;
    let bucket = aws.bucket(REGION, "b").await;
    aws.s3(REGION, "PUT", &format!("/{bucket}?versioning"), VERSIONED)
        .await
        .ok();
    let version = aws
        .s3(REGION, "PUT", &format!("/{bucket}/key"), "content")
        .await
        .ok();
    let marker = aws
        .s3(REGION, "DELETE", &format!("/{bucket}/key"), "")
        .await
        .ok();
    aws.s3(REGION, "DELETE", &format!("/{bucket}"), "")
        .await
        .refused(409, "BucketNotEmpty");
    for answer in [version, marker] {
        let path = format!(
            "/{bucket}/key?versionId={}",
            answer.header("x-amz-version-id")
        );
        aws.s3(REGION, "DELETE", &path, "").await.ok();
    }
    aws.s3(REGION, "DELETE", &format!("/{bucket}"), "")
        .await
        .ok();
}

#[tokio::test]
async fn replication_needs_versioning_on_both_sides() {
    let aws = Aws::only(|strict| strict.s3_replication = true).await;
    let source = aws.bucket(REGION, "source").await;
    let target = aws.bucket("us-west-2", "target").await;
    let configuration = |rule: &str| {
        format!(
            "<ReplicationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Role>arn:aws:iam::1:role/r</Role>\
             <Rule><ID>all</ID><Status>Enabled</Status>{rule}<Destination><Bucket>arn:aws:s3:::{target}</Bucket>\
             </Destination></Rule></ReplicationConfiguration>"
        )
    };
    let whole = "<Filter><Prefix></Prefix></Filter><Priority>1</Priority><DeleteMarkerReplication>\
                 <Status>Disabled</Status></DeleteMarkerReplication>";
    let put = async |configuration: &str| {
        aws.s3(
            REGION,
            "PUT",
            &format!("/{source}?replication"),
            configuration,
        )
        .await
    };
    put(&configuration(whole))
        .await
        .refused(400, "InvalidRequest");
    aws.s3(REGION, "PUT", &format!("/{source}?versioning"), VERSIONED)
        .await
        .ok();
    let answer = put(&configuration(whole))
        .await
        .refused(400, "InvalidRequest");
    answer.says("Destination bucket must have versioning enabled");
    aws.s3(
        "us-west-2",
        "PUT",
        &format!("/{target}?versioning"),
        VERSIONED,
    )
    .await
    .ok();
    put(&configuration("<Filter><Prefix></Prefix></Filter>"))
        .await
        .refused(400, "InvalidRequest");
    put(&configuration(whole).replace(&target, "no-such-bucket-anywhere"))
        .await
        .refused(400, "InvalidRequest");
    put(&configuration(whole)).await.ok();

    aws.s3(REGION, "PUT", &format!("/{source}?versioning"), SUSPENDED)
        .await
        .refused(409, "InvalidBucketState");
    aws.s3(REGION, "DELETE", &format!("/{source}?replication"), "")
        .await
        .ok();
    aws.s3(REGION, "PUT", &format!("/{source}?versioning"), SUSPENDED)
        .await
        .ok();
}

#[tokio::test]
async fn policies_name_principals_that_exist_and_the_bucket_itself() {
    let aws = Aws::only(|strict| strict.s3_policies = true).await;
    aws.proxy
        .configure(|config| config.delays.identity_unknown = Duration::ZERO);
    let bucket = aws.bucket(REGION, "b").await;
    let policy = |principal: serde_json::Value, resource: &str| {
        let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": resource});
        json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
    };
    let put = async |policy: &str| {
        aws.s3(REGION, "PUT", &format!("/{bucket}?policy"), policy)
            .await
    };
    let objects = format!("arn:aws:s3:::{bucket}/*");
    let user =
        |id: &str| format!("arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity {id}");
    let malformed = [
        "no json".to_owned(),
        "{}".to_owned(),
        policy(json!({"AWS": user("E0")}), &objects),
        policy(json!({"CanonicalUser": "0"}), &objects),
        policy(
            json!({"AWS": format!("arn:aws:iam::{}:role/nobody", aws.account)}),
            &objects,
        ),
        policy(json!({"Service": "cloudfront"}), &objects),
        policy(json!(null), &objects),
        policy(json!("*"), "arn:aws:s3:::other/*"),
    ];
    for policy in malformed {
        put(&policy).await.refused(400, "MalformedPolicy");
    }
    put(&policy(
        json!({"Service": "cloudfront.amazonaws.com"}),
        &objects,
    ))
    .await
    .ok();
    let body = "<CloudFrontOriginAccessIdentityConfig><CallerReference>r</CallerReference><Comment>c</Comment>\
                </CloudFrontOriginAccessIdentityConfig>";
    let made = aws
        .cloudfront("POST", "origin-access-identity/cloudfront", None, body)
        .await
        .ok();
    let mine = policy(json!({"AWS": user(&made.text("Id"))}), &objects);
    put(&mine).await.ok();
    put(&policy(
        json!({"CanonicalUser": made.text("S3CanonicalUserId")}),
        &objects,
    ))
    .await
    .ok();
    // S3 learns of a new identity later than CloudFront.
    aws.proxy
        .configure(|config| config.delays.identity_unknown = Duration::from_secs(600));
    put(&mine).await.refused(400, "MalformedPolicy");
}

#[tokio::test]
async fn what_is_unknown_never_reaches_the_bucket_itself() {
    let aws = Aws::only(|strict| strict.s3_subresources = true).await;
    let bucket = aws.bucket(REGION, "b").await;
    for query in [
        "metrics&id=x",
        "analytics&id=x",
        "inventory&id=x",
        "metrics",
    ] {
        for method in ["DELETE", "PUT", "GET"] {
            let answer = aws
                .s3(REGION, method, &format!("/{bucket}?{query}"), "")
                .await;
            answer.refused(501, "NotImplemented");
        }
    }
    aws.s3(REGION, "HEAD", &format!("/{bucket}?x-id=HeadBucket"), "")
        .await
        .ok();
    aws.s3(
        REGION,
        "GET",
        &format!("/{bucket}?list-type=2&prefix=a&x-id=ListObjectsV2"),
        "",
    )
    .await
    .ok();
    aws.s3(REGION, "GET", &format!("/{bucket}?location"), "")
        .await
        .ok();
    aws.s3(REGION, "DELETE", &format!("/{bucket}"), "")
        .await
        .ok();
}

#[tokio::test]
async fn a_new_bucket_is_private_encrypted_and_its_owners() {
    let aws = Aws::only(|strict| strict.s3_defaults = true).await;
    for (region, name) in [(REGION, "east"), ("us-west-2", "west")] {
        let bucket = aws.bucket(region, name).await;
        let block = aws
            .s3(region, "GET", &format!("/{bucket}?publicAccessBlock"), "")
            .await
            .ok();
        assert_eq!(block.body.matches("true").count(), 4, "{}", block.body);
        aws.s3(region, "GET", &format!("/{bucket}?encryption"), "")
            .await
            .ok()
            .says("AES256");
        aws.s3(region, "GET", &format!("/{bucket}?ownershipControls"), "")
            .await
            .ok()
            .says("BucketOwnerEnforced");
    }
}

#[tokio::test]
async fn configuration_reads_show_what_was_before_a_write() {
    let mut config = Config {
        strict: Strict::none(),
        ..Config::strict()
    };
    config.strict.stale_reads = true;
    config.delays.stale_reads = Duration::from_secs(600);
    let aws = Aws::with(config).await;
    let bucket = aws.bucket(REGION, "b").await;
    let path = format!("/{bucket}?versioning");
    let status = async || {
        let read = aws.s3(REGION, "GET", &path, "").await.ok();
        if read.body.contains("<Status>") {
            read.text("Status")
        } else {
            String::new()
        }
    };
    aws.s3(REGION, "PUT", &path, VERSIONED).await.ok();
    assert_eq!(status().await, "");
    aws.s3(REGION, "PUT", &path, SUSPENDED).await.ok();
    assert_eq!(status().await, "");
    // Another part of the configuration, and objects, are read as they are.
    aws.s3(REGION, "GET", &format!("/{bucket}?encryption"), "")
        .await
        .ok();
    aws.s3(REGION, "PUT", &format!("/{bucket}/key"), "content")
        .await
        .ok();
    assert_eq!(
        aws.s3(REGION, "GET", &format!("/{bucket}/key"), "")
            .await
            .ok()
            .body,
        "content"
    );
    aws.proxy
        .configure(|config| config.delays.stale_reads = Duration::ZERO);
    assert_eq!(status().await, "Suspended");
    // A write that is refused changes nothing.
    aws.proxy
        .configure(|config| config.delays.stale_reads = Duration::from_secs(600));
    let other = aws.bucket(REGION, "other").await;
    let wrong = aws
        .s3(REGION, "PUT", &format!("/{other}?versioning"), "<x>")
        .await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn versions_are_listed_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    let bucket = aws.bucket(REGION, "b").await;
    aws.s3(REGION, "PUT", &format!("/{bucket}?versioning"), VERSIONED)
        .await
        .ok();
    let mut made = Vec::new();
    for key in ["a", "a", "a", "b", "c"] {
        let put = aws
            .s3(REGION, "PUT", &format!("/{bucket}/{key}"), "content")
            .await
            .ok();
        made.push(put.header("x-amz-version-id").to_owned());
    }
    let (mut seen, mut markers, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let list = aws
            .s3(REGION, "GET", &format!("/{bucket}?versions{markers}"), "")
            .await
            .ok();
        let ids: Vec<_> = list
            .body
            .split("<VersionId>")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap())
            .collect();
        assert!(ids.len() <= 2, "{}", list.body);
        seen.extend(ids.into_iter().map(ToOwned::to_owned));
        pages += 1;
        if list.text("IsTruncated") != "true" {
            break;
        }
        markers = format!(
            "&key-marker={}&version-id-marker={}",
            list.text("NextKeyMarker"),
            list.text("NextVersionIdMarker")
        );
    }
    assert_eq!(pages, 3);
    seen.sort();
    made.sort();
    assert_eq!(seen, made);
}
