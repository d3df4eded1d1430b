//! ACM's rules.

use std::time::Duration;

use serde_json::{Value, json};
use strict_aws::{Config, Strict};

use crate::route53::{change, record, zone};
use crate::support::{Aws, Reply};

async fn call(aws: &Aws, operation: &str, body: Value) -> Reply {
    aws.json(
        "acm",
        "us-east-1",
        &format!("CertificateManager.{operation}"),
        body,
    )
    .await
}

async fn request(aws: &Aws, body: Value) -> String {
    let made = call(aws, "RequestCertificate", body).await.ok().json();
    made["CertificateArn"].as_str().unwrap().to_owned()
}

async fn describe(aws: &Aws, arn: &str) -> Value {
    call(aws, "DescribeCertificate", json!({"CertificateArn": arn}))
        .await
        .ok()
        .json()["Certificate"]
        .clone()
}

async fn with_validation() -> Aws {
    let mut config = Config {
        strict: Strict::none(),
        ..Config::strict()
    };
    config.strict.acm_validation = true;
    config.delays.certificate_record = Duration::from_secs(600);
    config.delays.certificate_issuing = Duration::from_secs(600);
    Aws::with(config).await
}

#[tokio::test]
async fn a_certificate_waits_for_its_record() {
    let aws = with_validation().await;
    let zone = zone(&aws, "example.com").await;
    let names = json!(["shop.example.com", "*.shop.example.com"]);
    let asked = json!({"DomainName": "shop.example.com", "SubjectAlternativeNames": names, "ValidationMethod": "DNS"});
    let arn = request(&aws, asked).await;
    let certificate = describe(&aws, &arn).await;
    assert_eq!(certificate["Status"], "PENDING_VALIDATION");
    assert!(certificate["IssuedAt"].is_null());
    assert!(certificate["DomainValidationOptions"][0]["ResourceRecord"].is_null());

    aws.proxy
        .configure(|config| config.delays.certificate_record = Duration::ZERO);
    let options = describe(&aws, &arn).await["DomainValidationOptions"].clone();
    let wanted = &options[0]["ResourceRecord"];
    assert_eq!(
        *wanted, options[1]["ResourceRecord"],
        "a wildcard has its parent's record"
    );
    let (name, value) = (
        wanted["Name"].as_str().unwrap(),
        wanted["Value"].as_str().unwrap(),
    );
    assert!(
        name.starts_with('_') && name.ends_with(".shop.example.com."),
        "{name}"
    );
    assert!(
        value.starts_with('_') && value.ends_with(".acm-validations.aws."),
        "{value}"
    );

    // A record with another value is none.
    change(
        &aws,
        &zone,
        &[record(
            "CREATE",
            name,
            "CNAME",
            "other.acm-validations.aws.",
        )],
    )
    .await
    .ok();
    assert_eq!(
        describe(&aws, &arn).await["DomainValidationOptions"][0]["ValidationStatus"],
        "PENDING_VALIDATION"
    );
    change(&aws, &zone, &[record("UPSERT", name, "CNAME", value)])
        .await
        .ok();
    let certificate = describe(&aws, &arn).await;
    assert_eq!(
        certificate["DomainValidationOptions"][0]["ValidationStatus"],
        "SUCCESS"
    );
    assert_eq!(certificate["Status"], "PENDING_VALIDATION");
    let listed = async |status: &str| {
        let list = call(
            &aws,
            "ListCertificates",
            json!({"CertificateStatuses": [status]}),
        )
        .await
        .ok()
        .json();
        list["CertificateSummaryList"].as_array().unwrap().len()
    };
    assert_eq!(
        (listed("PENDING_VALIDATION").await, listed("ISSUED").await),
        (1, 0)
    );
    aws.proxy
        .configure(|config| config.delays.certificate_issuing = Duration::ZERO);
    assert_eq!(describe(&aws, &arn).await["Status"], "ISSUED");
    assert_eq!(
        (listed("PENDING_VALIDATION").await, listed("ISSUED").await),
        (0, 1)
    );

    // Another certificate of the name has the same record, and so is valid at once.
    let other = request(
        &aws,
        json!({"DomainName": "shop.example.com", "ValidationMethod": "DNS"}),
    )
    .await;
    assert_eq!(describe(&aws, &other).await["Status"], "ISSUED");
    // What is issued stays so, also without the record.
    change(&aws, &zone, &[record("DELETE", name, "CNAME", value)])
        .await
        .ok();
    assert_eq!(describe(&aws, &arn).await["Status"], "ISSUED");
}

#[tokio::test]
async fn a_record_may_be_in_dns_elsewhere() {
    let aws = with_validation().await;
    aws.proxy.configure(|config| {
        config.delays.certificate_record = Duration::ZERO;
        config.delays.certificate_issuing = Duration::ZERO;
    });
    let arn = request(
        &aws,
        json!({"DomainName": "shop.example.net", "ValidationMethod": "DNS"}),
    )
    .await;
    let certificate = describe(&aws, &arn).await;
    assert_eq!(certificate["Status"], "PENDING_VALIDATION");
    let name = certificate["DomainValidationOptions"][0]["ResourceRecord"]["Name"]
        .as_str()
        .unwrap();
    let name = name.trim_end_matches('.').to_owned();
    aws.proxy.configure(|config| {
        config.dns_elsewhere.insert(name);
    });
    assert_eq!(describe(&aws, &arn).await["Status"], "ISSUED");
}

#[tokio::test]
async fn a_request_with_the_same_token_is_the_same() {
    let aws = with_validation().await;
    let asked = |name: &str, token: &str| json!({"DomainName": name, "ValidationMethod": "DNS", "IdempotencyToken": token});
    let first = request(&aws, asked("a.example.com", "one")).await;
    assert_eq!(request(&aws, asked("a.example.com", "one")).await, first);
    assert_ne!(request(&aws, asked("a.example.com", "two")).await, first);
    assert_ne!(request(&aws, asked("b.example.com", "one")).await, first);
    call(&aws, "DeleteCertificate", json!({"CertificateArn": first}))
        .await
        .ok();
    assert_ne!(request(&aws, asked("a.example.com", "one")).await, first);
}

#[tokio::test]
async fn a_certificate_in_use_stays_and_one_not_issued_is_no_use() {
    let aws = with_validation().await;
    aws.proxy.configure(|config| {
        config.strict.cloudfront_validation = true;
        config.strict.acm_in_use = true;
    });
    let arn = request(
        &aws,
        json!({"DomainName": "shop.example.com", "ValidationMethod": "DNS"}),
    )
    .await;
    let distribution = crate::cloudfront::with_alias("ref", "shop.example.com", &arn);
    let early = aws
        .cloudfront("POST", "distribution", None, &distribution)
        .await;
    early.refused(400, "InvalidViewerCertificate");
    aws.proxy
        .configure(|config| config.strict.acm_validation = false);
    let made = aws
        .cloudfront("POST", "distribution", None, &distribution)
        .await
        .ok();
    let refused = call(&aws, "DeleteCertificate", json!({"CertificateArn": arn})).await;
    refused.refused(400, "ResourceInUseException");
    assert_eq!(
        describe(&aws, &arn).await["InUseBy"],
        json!([made.text("ARN")])
    );
}

#[tokio::test]
async fn certificates_are_listed_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    let mut made = Vec::new();
    for name in ["a.example.com", "b.example.com", "c.example.com"] {
        made.push(Value::from(
            request(&aws, json!({"DomainName": name})).await,
        ));
    }
    let arns = |list: &Value| -> Vec<Value> {
        let list = list["CertificateSummaryList"].as_array().unwrap().iter();
        list.map(|summary| summary["CertificateArn"].clone())
            .collect()
    };
    let first = call(&aws, "ListCertificates", json!({})).await.ok().json();
    let second = call(
        &aws,
        "ListCertificates",
        json!({"NextToken": first["NextToken"]}),
    )
    .await
    .ok()
    .json();
    assert_eq!(
        [arns(&first), arns(&second)],
        [made[..2].to_vec(), made[2..].to_vec()]
    );
    assert!(second["NextToken"].is_null());
}
