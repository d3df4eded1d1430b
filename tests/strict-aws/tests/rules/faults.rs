//! Faults: what a caller sees, and what was done all the same.

use std::time::{Duration, Instant};

use strict_aws::{Config, Fault, FaultKind, Service};

use crate::support::{Aws, Reply};

async fn with(fault: Fault) -> Aws {
    let mut config = Config::transparent();
    config.faults.push(fault);
    Aws::with(config).await
}

async fn create_bucket(aws: &Aws) -> Result<Reply, String> {
    aws.send(
        "s3",
        "us-east-1",
        "PUT",
        &format!("/{}-b", aws.account),
        &[],
        "",
    )
    .await
}

async fn bucket_exists(aws: &Aws) -> bool {
    aws.s3("us-east-1", "HEAD", &format!("/{}-b", aws.account), "")
        .await
        .status
        == 200
}

fn no_answer(result: Result<Reply, String>) {
    let error = result.unwrap_err();
    assert!(
        error.contains("ConnectionReset") || error.contains("IncompleteMessage"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reset_before_does_nothing() {
    let aws = with(
        Fault::new(FaultKind::ResetBefore)
            .operation("CreateBucket")
            .times(1),
    )
    .await;
    no_answer(create_bucket(&aws).await);
    assert!(!bucket_exists(&aws).await);
    create_bucket(&aws).await.unwrap().ok();
    assert!(bucket_exists(&aws).await);
    let first = &aws.proxy.calls()[0];
    assert_eq!(
        (first.fault, first.status),
        (Some(FaultKind::ResetBefore), None)
    );
}

#[tokio::test]
async fn a_reset_after_is_a_lost_reply() {
    let aws = with(
        Fault::new(FaultKind::ResetAfter)
            .operation("CreateBucket")
            .times(1),
    )
    .await;
    no_answer(create_bucket(&aws).await);
    assert!(bucket_exists(&aws).await);
}

#[tokio::test]
async fn a_black_hole_never_answers_until_it_is_taken_away() {
    let aws = with(Fault::new(FaultKind::BlackHole).region("us-east-1")).await;
    let waited = tokio::time::timeout(Duration::from_millis(300), create_bucket(&aws)).await;
    assert!(waited.is_err(), "a black hole answered: {waited:?}");
    aws.s3("us-west-2", "GET", "/", "").await.ok();
    let lifted = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        aws.proxy.configure(|config| config.faults.clear());
    };
    let (swallowed, ()) = tokio::join!(create_bucket(&aws), lifted);
    no_answer(swallowed);
    assert!(!bucket_exists(&aws).await);
}

#[tokio::test]
async fn a_refusing_region_fails_at_once() {
    let aws = with(Fault::new(FaultKind::RefuseRegion).region("us-west-2")).await;
    let started = Instant::now();
    no_answer(
        aws.send("dynamodb", "us-west-2", "POST", "/", &[], "")
            .await,
    );
    // So do the URLs of its functions.
    let host = [("host", "abc.lambda-url.us-west-2.on.aws")];
    no_answer(aws.send("lambda", "us-west-2", "GET", "/", &host, "").await);
    assert!(started.elapsed() < Duration::from_secs(5));
    aws.s3("us-east-1", "GET", "/", "").await.ok();
}

#[tokio::test]
async fn each_service_throttles_in_its_own_words() {
    let aws = with(Fault::new(FaultKind::Throttle)).await;
    let lambda = aws
        .lambda(
            "us-east-1",
            "GET",
            "/2015-03-31/functions",
            serde_json::Value::Null,
        )
        .await;
    lambda.refused(429, "TooManyRequestsException");
    aws.s3("us-east-1", "GET", "/", "")
        .await
        .refused(503, "SlowDown");
    aws.iam("ListRoles").await.refused(400, "Throttling");
    aws.route53("GET", "hostedzone", "")
        .await
        .refused(400, "Throttling");
    aws.cloudfront("GET", "distribution", None, "")
        .await
        .refused(400, "Throttling");
    let table = serde_json::json!({"TableName": "t"});
    let described = aws
        .json(
            "dynamodb",
            "us-east-1",
            "DynamoDB_20120810.DescribeTable",
            table,
        )
        .await;
    described.refused(400, "ThrottlingException");
    let listed = aws
        .json(
            "acm",
            "us-east-1",
            "CertificateManager.ListCertificates",
            serde_json::json!({}),
        )
        .await;
    listed.refused(400, "ThrottlingException");
    let cbor = [
        ("smithy-protocol", "rpc-v2-cbor"),
        ("content-type", "application/cbor"),
    ];
    let path = "/service/GraniteServiceVersion20100801/operation/ListMetrics";
    let metrics = aws
        .send("monitoring", "us-east-1", "POST", path, &cbor, "")
        .await
        .unwrap();
    assert_eq!(
        (metrics.status, metrics.header("smithy-protocol")),
        (400, "rpc-v2-cbor")
    );
    assert!(metrics.body.contains("Throttling"));
}

#[tokio::test]
async fn internal_errors_and_denials_do_nothing() {
    let aws = with(
        Fault::new(FaultKind::Status500)
            .operation("CreateBucket")
            .times(1),
    )
    .await;
    create_bucket(&aws)
        .await
        .unwrap()
        .refused(500, "InternalError");
    aws.proxy
        .configure(|config| config.faults = vec![Fault::new(FaultKind::Status503).writes()]);
    create_bucket(&aws)
        .await
        .unwrap()
        .refused(503, "ServiceUnavailable");
    assert!(!bucket_exists(&aws).await);
    let denied = Fault::new(FaultKind::AccessDenied).service(Service::Iam);
    aws.proxy.configure(|config| config.faults = vec![denied]);
    aws.iam("CreateRole&RoleName=r")
        .await
        .refused(403, "AccessDenied")
        .says("iam:CreateRole");
}

#[tokio::test]
async fn random_faults_are_the_same_for_the_same_seed() {
    let mut patterns = Vec::new();
    for seed in [7, 7, 8] {
        let mut config = Config {
            seed,
            ..Config::transparent()
        };
        config
            .faults
            .push(Fault::new(FaultKind::Status500).probability(0.5));
        let aws = Aws::with(config).await;
        let mut pattern = Vec::new();
        for _ in 0..24 {
            pattern.push(aws.s3("us-east-1", "GET", "/", "").await.status);
        }
        patterns.push(pattern);
    }
    assert_eq!(patterns[0], patterns[1]);
    assert_ne!(patterns[0], patterns[2]);
    assert!(patterns[0].contains(&200) && patterns[0].contains(&500));
}

#[tokio::test]
async fn a_fault_hits_the_nth_call_and_ends_in_time() {
    let aws = with(Fault::new(FaultKind::Status500).nth(2)).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(aws.s3("us-east-1", "GET", "/", "").await.status);
        // A change elsewhere does not make the fault count anew.
        aws.proxy.configure(|config| config.page_size += 1);
    }
    assert_eq!(statuses, [200, 500, 200]);

    let lasting =
        |seconds: u64| Fault::new(FaultKind::Status500).lasting(Duration::from_secs(seconds));
    aws.proxy
        .configure(|config| config.faults = vec![lasting(600)]);
    assert_eq!(aws.s3("us-east-1", "GET", "/", "").await.status, 500);
    aws.proxy
        .configure(|config| config.faults = vec![lasting(0)]);
    assert_eq!(aws.s3("us-east-1", "GET", "/", "").await.status, 200);
}
