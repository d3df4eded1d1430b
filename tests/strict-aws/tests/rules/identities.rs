//! The API of origin access identities, which is the proxy's own.

use strict_aws::Config;

use crate::support::Aws;

const PATH: &str = "origin-access-identity/cloudfront";

fn config(reference: &str, comment: &str) -> String {
    format!(
        "<CloudFrontOriginAccessIdentityConfig xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">\
         <CallerReference>{reference}</CallerReference><Comment>{comment}</Comment>\
         </CloudFrontOriginAccessIdentityConfig>"
    )
}

#[tokio::test]
async fn an_identity_lives_through_its_api() {
    let aws = Aws::with(Config::transparent()).await;
    let created = aws
        .cloudfront("POST", PATH, None, &config("ref", "shop &amp; co"))
        .await
        .ok();
    assert_eq!(created.status, 201);
    let (id, etag) = (created.text("Id"), created.etag());
    assert_eq!(created.text("S3CanonicalUserId").len(), 96);
    assert!(created.header("location").ends_with(&id));

    let path = format!("{PATH}/{id}");
    let read = aws.cloudfront("GET", &path, None, "").await.ok();
    assert_eq!(
        (read.text("Comment").as_str(), read.etag()),
        ("shop &amp; co", etag.clone())
    );
    let read = aws
        .cloudfront("GET", &format!("{path}/config"), None, "")
        .await
        .ok();
    assert_eq!(
        (read.text("CallerReference").as_str(), read.etag()),
        ("ref", etag.clone())
    );

    let updated = format!("{path}/config");
    aws.cloudfront("PUT", &updated, None, &config("ref", "new"))
        .await
        .refused(400, "InvalidIfMatchVersion");
    aws.cloudfront("PUT", &updated, Some("E0"), &config("ref", "new"))
        .await
        .refused(412, "PreconditionFailed");
    aws.cloudfront("PUT", &updated, Some(&etag), &config("other", "new"))
        .await
        .refused(400, "IllegalUpdate");
    let etag = aws
        .cloudfront("PUT", &updated, Some(&etag), &config("ref", "new"))
        .await
        .ok()
        .etag();
    aws.cloudfront("GET", &path, None, "")
        .await
        .ok()
        .says("<Comment>new</Comment>");

    aws.cloudfront("DELETE", &path, Some("E0"), "")
        .await
        .refused(412, "PreconditionFailed");
    assert_eq!(
        aws.cloudfront("DELETE", &path, Some(&etag), "")
            .await
            .status,
        204
    );
    aws.cloudfront("GET", &path, None, "")
        .await
        .refused(404, "NoSuchCloudFrontOriginAccessIdentity");
    aws.cloudfront("DELETE", &path, Some(&etag), "")
        .await
        .refused(404, "NoSuchCloudFrontOriginAccessIdentity");
}

#[tokio::test]
async fn a_caller_reference_is_used_once() {
    let aws = Aws::with(Config::transparent()).await;
    let first = aws
        .cloudfront("POST", PATH, None, &config("ref", "a"))
        .await
        .ok();
    let again = aws
        .cloudfront("POST", PATH, None, &config("ref", "a"))
        .await
        .ok();
    assert_eq!(first.text("Id"), again.text("Id"));
    let other = aws
        .cloudfront("POST", PATH, None, &config("ref", "b"))
        .await;
    other.refused(409, "CloudFrontOriginAccessIdentityAlreadyExists");
}

#[tokio::test]
async fn identities_are_listed_in_pages_of_their_account() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    aws.cloudfront("GET", PATH, None, "")
        .await
        .ok()
        .says("<Quantity>0</Quantity>");
    let mut created = Vec::new();
    for number in 0..5 {
        let made = aws
            .cloudfront("POST", PATH, None, &config(&format!("r{number}"), "c"))
            .await
            .ok();
        created.push(made.text("Id"));
    }
    created.sort();
    let (mut listed, mut marker) = (Vec::new(), String::new());
    for page in [2, 2, 1] {
        let answer = aws
            .cloudfront("GET", &format!("{PATH}?Marker={marker}"), None, "")
            .await
            .ok();
        let ids: Vec<_> = answer
            .body
            .split("<Id>")
            .skip(1)
            .filter_map(|rest| rest.split('<').next())
            .collect();
        assert_eq!(ids.len(), page);
        listed.extend(ids.iter().map(ToString::to_string));
        let more = answer.text("IsTruncated") == "true";
        assert_eq!(more, listed.len() < 5);
        if more {
            marker = answer.text("NextMarker");
        }
    }
    assert_eq!(listed, created);
}

#[tokio::test]
async fn an_identity_in_use_stays() {
    let aws = Aws::with(Config::transparent()).await;
    let created = aws
        .cloudfront("POST", PATH, None, &config("ref", "used"))
        .await
        .ok();
    let (id, etag) = (created.text("Id"), created.etag());
    let distribution = format!(
        "<DistributionConfig xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><CallerReference>d</CallerReference>\
         <Origins><Quantity>1</Quantity><Items><Origin><Id>o</Id><DomainName>b.s3.us-east-1.amazonaws.com</DomainName>\
         <S3OriginConfig><OriginAccessIdentity>origin-access-identity/cloudfront/{id}</OriginAccessIdentity></S3OriginConfig>\
         </Origin></Items></Origins><DefaultCacheBehavior><TargetOriginId>o</TargetOriginId>\
         <ViewerProtocolPolicy>allow-all</ViewerProtocolPolicy></DefaultCacheBehavior><Comment/><Enabled>false</Enabled>\
         </DistributionConfig>"
    );
    let made = aws
        .cloudfront("POST", "distribution", None, &distribution)
        .await
        .ok();
    let path = format!("{PATH}/{id}");
    let refused = aws.cloudfront("DELETE", &path, Some(&etag), "").await;
    refused.refused(409, "CloudFrontOriginAccessIdentityInUse");
    let used_by = format!("distribution/{}", made.text("Id"));
    aws.cloudfront("DELETE", &used_by, Some(&made.etag()), "")
        .await
        .ok();
    aws.cloudfront("DELETE", &path, Some(&etag), "").await.ok();
}
