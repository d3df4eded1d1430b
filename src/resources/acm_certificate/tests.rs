//! Against ACM's own answers.

use serde_json::{Value, json};

use super::*;
use crate::model::FailureKind;
use crate::resources::testing::{Answer, Asked, Asks, owner, recording};

const DOMAIN: &str = "shop.example.com";

fn arn(name: &str) -> String {
    format!("arn:aws:acm:us-east-1:123456789012:certificate/{name}")
}

fn id() -> ResourceId {
    ResourceId::new("acm_certificate", US_EAST_1, DOMAIN)
}

/// A certificate of the list: its name says whose it is.
fn summary(name: &str, status: &str, created: u32) -> Value {
    json!({
        "CertificateArn": arn(name), "DomainName": DOMAIN, "SubjectAlternativeNameSummaries": [DOMAIN],
        "HasAdditionalSubjectAlternativeNames": false, "Status": status, "Type": "AMAZON_ISSUED",
        "KeyAlgorithm": "RSA-2048", "InUse": false, "RenewalEligibility": "INELIGIBLE", "CreatedAt": created,
    })
}

fn detail(name: &str, more: &Value) -> Value {
    let mut detail = json!({
        "CertificateArn": arn(name), "DomainName": DOMAIN, "SubjectAlternativeNames": [DOMAIN],
        "Status": "PENDING_VALIDATION", "Type": "AMAZON_ISSUED", "KeyAlgorithm": "RSA-2048", "InUseBy": [],
        "CreatedAt": 1_700_000_000, "Options": {"CertificateTransparencyLoggingPreference": "ENABLED"},
    });
    if let (Value::Object(detail), Value::Object(more)) = (&mut detail, more) {
        detail.extend(more.clone());
    }
    json!({ "Certificate": detail })
}

/// ACM with these certificates, one a page; every described one has `more`. Those called `ours…` have the owner's tags.
fn acm(list: Vec<Value>, more: Value) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
    move |asked| {
        let body: Value = serde_json::from_str(&asked.body).expect("ACM speaks JSON");
        let name = body["CertificateArn"].as_str().unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        let answer = match asked.target() {
            "ListCertificates" => {
                let page = body["NextToken"].as_str().unwrap_or("0");
                let page: usize = page.parse().expect("a token of ours");
                let mut answer = json!({"CertificateSummaryList": list.get(page).into_iter().collect::<Vec<_>>()});
                if page + 1 < list.len() {
                    answer["NextToken"] = (page + 1).to_string().into();
                }
                answer
            }
            "ListTagsForCertificate" => {
                let tags = if name.starts_with("ours") {
                    owner().tags()
                } else if name.starts_with("theirs") {
                    let mut other = owner();
                    other.name = "blog".into();
                    other.tags()
                } else {
                    Tags::new()
                };
                let tag = |(key, value): (&String, &String)| json!({"Key": key, "Value": value});
                json!({"Tags": tags.iter().map(tag).collect::<Vec<_>>()})
            }
            "DescribeCertificate" if name != "gone" => detail(name, &more),
            _ => {
                return Answer::json_error(
                    "ResourceNotFoundException",
                    "Could not find certificate.",
                );
            }
        };
        Answer::new(200, answer.to_string())
    }
}

async fn observe(pass: &Pass, known: Option<&str>) -> Option<Seen<Config>> {
    let hint = Hint {
        known_id: known.map(arn),
        wanted: None,
    };
    let seen = Certificate::observe(pass, &id(), hint).await;
    seen.expect("it can be read")
}

fn targets(asks: &Asks) -> Vec<String> {
    let asks = asks.lock().expect("no test panics with it");
    asks.iter().map(|asked| asked.target().to_owned()).collect()
}

#[tokio::test]
async fn the_record_comes_some_seconds_after_the_request() {
    let early = json!({"DomainValidationOptions": [
        {"DomainName": DOMAIN, "ValidationDomain": DOMAIN, "ValidationStatus": "PENDING_VALIDATION", "ValidationMethod": "DNS"},
    ]});
    let (pass, _) = recording(true, acm(Vec::new(), early));
    let seen = observe(&pass, Some("ours")).await.expect("it is there");
    assert_eq!(seen.phase, Phase::Pending("DNS validation".into()));
    assert_eq!(seen.owner, Owner::Ours);
    let outputs: Vec<&str> = seen.outputs.keys().copied().collect();
    assert_eq!(outputs, ["pending_arn"]);

    let later = json!({"Status": "ISSUED", "DomainValidationOptions": [{
        "DomainName": DOMAIN, "ValidationStatus": "SUCCESS", "ValidationMethod": "DNS", "ResourceRecord": {
            "Name": "_0a1b.shop.example.com.", "Type": "CNAME", "Value": "_9f8e.acm-validations.aws.",
        },
    }]});
    let (pass, _) = recording(true, acm(Vec::new(), later));
    let seen = observe(&pass, Some("ours")).await.expect("it is there");
    assert_eq!(seen.phase, Phase::Ready);
    assert_eq!(seen.outputs["arn"], arn("ours"));
    assert_eq!(seen.outputs["validation_name"], "_0a1b.shop.example.com");
    assert_eq!(seen.outputs["validation_type"], "CNAME");
    assert_eq!(
        seen.outputs["validation_value"],
        "_9f8e.acm-validations.aws"
    );
}

#[tokio::test]
async fn a_failed_one_says_why_and_gives_way_to_a_newer_one() {
    let failed = json!({"Status": "FAILED", "FailureReason": "CAA_ERROR"});
    let list = vec![summary("ours-failed", "FAILED", 1)];
    let (pass, _) = recording(true, acm(list, failed));
    let seen = observe(&pass, Some("ours-failed"))
        .await
        .expect("it is there");
    assert_eq!(seen.phase, Phase::Failed("FAILED: CAA_ERROR".into()));
    let timed_out = json!({"Status": "VALIDATION_TIMED_OUT"});
    let list = vec![
        summary("ours-failed", "FAILED", 2),
        summary("ours-pending", "PENDING_VALIDATION", 1),
    ];
    let (pass, _) = recording(true, acm(list, timed_out));
    let seen = observe(&pass, Some("ours-failed"))
        .await
        .expect("it is there");
    assert_eq!(seen.physical_id, arn("ours-pending"));
}

#[tokio::test]
async fn of_several_the_newest_issued_one_of_ours_is_taken() {
    let list = vec![
        summary("ours-old", "ISSUED", 10),
        summary("theirs", "ISSUED", 40),
        summary("ours-pending", "PENDING_VALIDATION", 30),
        summary("ours-new", "ISSUED", 20),
    ];
    let (pass, asks) = recording(false, acm(list.clone(), json!({"Status": "ISSUED"})));
    let seen = observe(&pass, Some("gone")).await.expect("it is there");
    assert_eq!(seen.physical_id, arn("ours-new"));
    assert_eq!(seen.owner, Owner::Ours);
    assert!(seen.unread.is_empty());
    // Without the filter ACM leaves out certificates with other keys than short RSA ones.
    let list_asked = asks.lock().expect("no test panics with it");
    let list_asked = list_asked
        .iter()
        .find(|asked| asked.target() == "ListCertificates");
    let body = &list_asked.expect("it was listed").body;
    assert!(
        body.contains("EC_prime256v1") && body.contains("RSA_4096"),
        "{body}"
    );
}

#[tokio::test]
async fn a_known_one_costs_one_call_or_two_with_its_tags() {
    for (every_facet, expected) in [
        (false, vec!["DescribeCertificate"]),
        (true, vec!["DescribeCertificate", "ListTagsForCertificate"]),
    ] {
        let (pass, asks) = recording(every_facet, acm(Vec::new(), json!({"Status": "ISSUED"})));
        let seen = observe(&pass, Some("ours")).await.expect("it is there");
        assert_eq!(seen.unread.contains("tags"), !every_facet);
        assert_eq!(targets(&asks), expected);
    }
}

#[tokio::test]
async fn a_new_one_that_acm_does_not_know_yet_is_pending() {
    let (pass, asks) = recording(true, |asked: &Asked| match asked.target() {
        "RequestCertificate" => {
            Answer::new(200, json!({"CertificateArn": arn("ours")}).to_string())
        }
        _ => Answer::json_error("ResourceNotFoundException", "Could not find certificate."),
    });
    let desired = Config {
        domain_name: DOMAIN.into(),
        tags: Some(owner().tags()),
    };
    let seen = Certificate::create(&pass, &id(), &desired).await;
    let seen = seen.expect("it was made");
    assert_eq!(seen.phase, Phase::Pending("DNS validation".into()));
    assert_eq!(seen.outputs["pending_arn"], arn("ours"));
    assert_eq!(seen.config, desired);
    let asks = asks.lock().expect("no test panics with it");
    let body: Value = serde_json::from_str(&asks[0].body).expect("ACM speaks JSON");
    let token = body["IdempotencyToken"].as_str().unwrap_or_default();
    assert_eq!(token.len(), 32, "as long as ACM allows");
}

#[tokio::test]
async fn a_given_one_that_was_requested_for_another_app_is_refused_by_every_pass() {
    let (pass, _) = recording(true, acm(vec![], json!({"Status": "ISSUED"})));
    let look = async |pass: &Pass, name: &str| {
        let hint = Hint {
            known_id: None,
            wanted: Some(Config {
                domain_name: DOMAIN.into(),
                tags: None,
            }),
        };
        let given = ResourceId::new("acm_certificate", US_EAST_1, arn(name));
        Certificate::observe(pass, &given, hint).await
    };
    for name in ["nobodys", "ours"] {
        let seen = look(&pass, name).await.expect("it is taken");
        assert_eq!(seen.expect("it is there").phase, Phase::Ready);
    }
    let quick = Pass::new(pass.aws().clone(), owner(), false);
    for pass in [&pass, &quick] {
        let refused = look(pass, "theirs").await.expect_err("it is another's");
        assert_eq!(refused.kind, FailureKind::Foreign);
        assert!(refused.message.contains("blog"), "{refused}");
    }
}

#[tokio::test]
async fn an_issued_one_is_described_once_as_long_as_it_is_listed_as_issued() {
    let list = vec![summary("ours", "ISSUED", 10)];
    let (pass, asks) = recording(false, acm(list, json!({"Status": "ISSUED"})));
    let pass = pass.believing();
    for _ in 0..3 {
        assert!(observe(&pass, Some("ours")).await.is_some());
    }
    assert_eq!(targets(&asks), ["ListCertificates", "DescribeCertificate"]);
    // Of one that is not, more may become known with each look.
    let list = vec![summary("ours", "PENDING_VALIDATION", 10)];
    let (pass, asks) = recording(false, acm(list, json!({"Status": "ISSUED"})));
    let pass = pass.believing();
    for _ in 0..3 {
        assert!(observe(&pass, Some("ours")).await.is_some());
    }
    assert_eq!(targets(&asks).len(), 4);
}
