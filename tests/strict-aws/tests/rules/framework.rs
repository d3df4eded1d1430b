//! Passing on, recording, limits and the admin API.

use serde_json::{Value, json};
use strict_aws::{Config, Service};

use crate::support::Aws;

#[tokio::test]
async fn calls_pass_through_and_are_recorded() {
    let aws = Aws::with(Config::transparent()).await;
    let bucket = aws.bucket("eu-west-1", "passed").await;
    aws.s3("eu-west-1", "PUT", &format!("/{bucket}/a%20key"), "content")
        .await
        .ok();
    let read = aws
        .s3("eu-west-1", "GET", &format!("/{bucket}/a%20key"), "")
        .await
        .ok();
    assert_eq!(read.body, "content");
    aws.iam("GetRole&RoleName=nobody")
        .await
        .refused(404, "NoSuchEntity");

    let calls = aws.proxy.calls();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.service,
                call.operation.as_str(),
                call.write,
                call.status,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Service::S3, "CreateBucket", true, Some(200)),
            (Service::S3, "PutObject", true, Some(200)),
            (Service::S3, "GetObject", false, Some(200)),
            (Service::Iam, "GetRole", false, Some(404)),
        ]
    );
    assert!(
        calls
            .iter()
            .all(|call| call.account == aws.account && call.fault.is_none())
    );
    assert_eq!(
        (calls[0].region.as_str(), calls[3].region.as_str()),
        ("eu-west-1", "us-east-1")
    );
    assert_eq!(aws.proxy.writes().len(), 2);
    assert_eq!(
        aws.proxy.counts()[&(Service::S3, "GetObject".to_owned())],
        1
    );
    aws.proxy.clear_calls();
    assert!(aws.proxy.calls().is_empty());
}

#[tokio::test]
async fn an_emulator_that_is_down_gives_no_answer() {
    let aws = Aws::with(Config::transparent()).await;
    let dead = strict_aws::Proxy::start("http://127.0.0.1:1", Config::transparent())
        .await
        .unwrap();
    let aws = Aws { proxy: dead, ..aws };
    let error = aws
        .send("s3", "us-east-1", "GET", "/", &[], "")
        .await
        .unwrap_err();
    assert!(
        error.contains("ConnectionReset") || error.contains("IncompleteMessage"),
        "{error}"
    );
}

#[tokio::test]
async fn route53_admits_five_requests_a_second_for_the_account() {
    let mut config = Config::transparent();
    config.strict.rate_limits = true;
    config.limits.route53 = 5.0;
    let aws = Aws::with(config).await;
    let started = std::time::Instant::now();
    let mut admitted = 0;
    for number in 0..40 {
        let status = aws.route53("GET", "hostedzone", "").await.status;
        assert!(
            status == 200 || (status == 400 && number >= 5),
            "request {number} answered {status}"
        );
        admitted += u32::from(status == 200);
    }
    assert!(f64::from(admitted) <= 5.0 + 5.0 * started.elapsed().as_secs_f64());
    aws.proxy.configure(|config| config.limits.route53 = 0.0);
    aws.route53("GET", "hostedzone", "")
        .await
        .refused(400, "Throttling")
        .says("Rate exceeded");
}

#[tokio::test]
async fn lambda_admits_so_many_requests_a_second_for_a_region() {
    let mut config = Config::transparent();
    config.strict.rate_limits = true;
    config.limits.lambda = 1.0;
    let aws = Aws::with(config).await;
    aws.lambda("us-east-1", "GET", "/2015-03-31/functions", Value::Null)
        .await
        .ok();
    aws.proxy.configure(|config| config.limits.lambda = 0.0);
    let path = "/2015-03-31/functions";
    aws.lambda("us-east-1", "GET", path, Value::Null)
        .await
        .refused(429, "TooManyRequestsException");
    aws.proxy.configure(|config| config.limits.lambda = 1.0);
    aws.lambda("us-west-2", "GET", path, Value::Null).await.ok();
    // GetFunction has a limit of its own.
    aws.proxy.configure(|config| config.limits.lambda = 0.0);
    aws.lambda(
        "us-west-2",
        "GET",
        "/2015-03-31/functions/none",
        Value::Null,
    )
    .await
    .refused(404, "ResourceNotFoundException");
}

#[tokio::test]
async fn other_processes_use_the_admin_api() {
    let aws = Aws::with(Config::transparent()).await;
    let admin = async |method: &str, path: &str, body: Value| {
        aws.send(
            "",
            "",
            method,
            &format!("/_strict/{path}"),
            &[],
            &body.to_string(),
        )
        .await
        .unwrap()
    };
    admin("GET", "ready", Value::Null).await.ok();
    let config = admin(
        "POST",
        "config",
        json!({"delays": {"stale_reads": 0.5}, "page_size": 7}),
    )
    .await
    .ok()
    .json();
    assert_eq!(
        (&config["page_size"], &config["delays"]["stale_reads"]),
        (&json!(7), &json!(0.5))
    );
    assert_eq!(config["strict"]["pages"], json!(false));
    admin("POST", "config", json!({"delais": {}}))
        .await
        .says("unknown field");

    let fault = json!({"kind": "Throttle", "matches": {"service": "s3"}, "schedule": {"Calls": {"from": 1, "count": 1}}});
    admin("POST", "faults", fault).await.ok();
    aws.s3("us-east-1", "GET", "/", "")
        .await
        .refused(503, "SlowDown");
    aws.s3("us-east-1", "GET", "/", "").await.ok();
    let calls = admin("GET", "calls", Value::Null).await.ok().json();
    assert_eq!(
        (&calls[0]["operation"], &calls[0]["fault"]),
        (&json!("ListBuckets"), &json!("Throttle"))
    );
    assert_eq!(calls.as_array().unwrap().len(), 2);
    admin("DELETE", "calls", Value::Null).await.ok();
    admin("DELETE", "faults", Value::Null).await.ok();
    assert!(aws.proxy.calls().is_empty() && aws.proxy.config().faults.is_empty());
    assert_eq!(admin("GET", "nothing", Value::Null).await.status, 404);
}

#[tokio::test]
async fn every_setting_survives_json() {
    let mut config = Config::strict();
    let fault = strict_aws::Fault::new(strict_aws::FaultKind::ResetAfter)
        .service(Service::KeyValueStore)
        .nth(3);
    config
        .faults
        .push(fault.lasting(std::time::Duration::from_millis(2500)));
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), config);
    assert_eq!(
        serde_json::from_str::<Config>("{}").unwrap(),
        Config::strict()
    );
}
