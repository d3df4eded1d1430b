//! Against Route 53's own answers: trailing dots, escapes, upper case, sets of several records of a name.

use super::*;
use crate::model::{FailureKind, Phase};
use crate::resources::testing::{Answer, Asked, recording};

const ZONE: &str = "Z0EXAMPLE";

fn id(purpose: &str) -> ResourceId {
    ResourceId::global("route53_record", format!("*.Example.com/{purpose}"))
}

fn wanted(kind: &str) -> Config {
    Config {
        zone_id: ZONE.into(),
        name: "*.example.com".into(),
        kind: kind.into(),
        target: Target::Distribution("d111111abcdef8.cloudfront.net".into()),
    }
}

fn alias(kind: &str, set: &str, zone: &str, domain: &str) -> String {
    format!(
        "<ResourceRecordSet><Name>\\052.example.com.</Name><Type>{kind}</Type>{set}<AliasTarget><HostedZoneId>{zone}\
         </HostedZoneId><DNSName>{domain}</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth></AliasTarget>\
         </ResourceRecordSet>"
    )
}

fn value(name: &str, kind: &str, values: &[&str]) -> String {
    let values: String = values
        .iter()
        .map(|value| format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>"))
        .collect();
    format!(
        "<ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>300</TTL><ResourceRecords>{values}\
         </ResourceRecords></ResourceRecordSet>"
    )
}

fn page(records: &str, truncated: bool) -> Answer {
    Answer::new(
        200,
        format!(
            "<ListResourceRecordSetsResponse><ResourceRecordSets>{records}</ResourceRecordSets><IsTruncated>{truncated}\
             </IsTruncated><MaxItems>300</MaxItems></ListResourceRecordSetsResponse>"
        ),
    )
}

async fn observe(records: String, kind: &str) -> Option<Seen<Config>> {
    let (pass, asks) = recording(true, move |_: &Asked| page(&records, false));
    let hint = Hint {
        known_id: None,
        wanted: Some(wanted(kind)),
    };
    let seen = Record::observe(&pass, &id(kind), hint).await;
    assert_eq!(asks.lock().expect("no test panics with it").len(), 1);
    seen.expect("it can be read")
}

#[tokio::test]
async fn dots_case_and_escapes_are_no_difference() {
    let records = value("example.com.", "NS", &["ns-1.awsdns-00.com."])
        + &alias("A", "", "Z2FDTNDATAQYW2", "D111111ABCDEF8.cloudfront.net.");
    let seen = observe(records.clone(), "A").await.expect("it is there");
    assert_eq!(seen.config, wanted("A"));
    assert_eq!(seen.owner, Owner::Ours);
    assert_eq!(
        seen.physical_id,
        "Z0EXAMPLE/*.example.com/A/d111111abcdef8.cloudfront.net"
    );
    assert_eq!(observe(records, "AAAA").await, None);
}

#[tokio::test]
async fn what_is_not_to_the_letter_ours_is_anothers() {
    let weighted = "<SetIdentifier>blue</SetIdentifier><Weight>10</Weight>";
    for (record, expected) in [
        (
            alias(
                "A",
                weighted,
                "Z2FDTNDATAQYW2",
                "d111111abcdef8.cloudfront.net.",
            ),
            "d111111abcdef8.cloudfront.net (blue)",
        ),
        (
            alias(
                "A",
                "",
                "Z35SXDOTRQ7X7K",
                "dualstack.lb-1.us-east-1.elb.amazonaws.com.",
            ),
            "dualstack.lb-1.us-east-1.elb.amazonaws.com in zone z35sxdotrq7x7k",
        ),
        (
            value("\\052.example.com.", "A", &["192.0.2.1", "192.0.2.2"]),
            "192.0.2.1 192.0.2.2",
        ),
    ] {
        let seen = observe(record, "A").await.expect("it is there");
        let expected = format!("the record *.example.com A → {expected}");
        assert_eq!(seen.owner, Owner::Other(expected));
    }
}

#[tokio::test]
async fn a_record_beyond_the_page_is_asked_for_by_its_name() {
    let (pass, asks) = recording(true, |asked: &Asked| {
        if asked.query.contains("type=") {
            page(
                &value(
                    "_0a1b.example.com.",
                    "CNAME",
                    &["_9F8E.acm-validations.aws."],
                ),
                true,
            )
        } else {
            page(&value("example.com.", "TXT", &["v=spf1"]), true)
        }
    });
    let validation = Config {
        name: "_0a1b.example.com".into(),
        kind: "CNAME".into(),
        target: Target::Value {
            value: "_9f8e.acm-validations.aws".into(),
            ttl: 300,
        },
        ..wanted("CNAME")
    };
    let hint = Hint {
        known_id: None,
        wanted: Some(validation.clone()),
    };
    let id = ResourceId::global("route53_record", "example.com/validation");
    let seen = Record::observe(&pass, &id, hint).await;
    let seen = seen.expect("it can be read").expect("it is there");
    assert_eq!(seen.config, validation);
    assert_eq!(seen.owner, Owner::Ours);
    assert_eq!(asks.lock().expect("no test panics with it").len(), 2);
}

#[tokio::test]
async fn a_batch_refused_without_the_usual_envelope_is_understood() {
    let refuse = |message: &str| {
        let message = message.to_owned();
        move |_: &Asked| {
            Answer::new(
                400,
                format!(
                    "<InvalidChangeBatch xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Messages><Message>\
                     {message}</Message></Messages><RequestId>1</RequestId></InvalidChangeBatch>"
                ),
            )
        }
    };
    for (message, expected) in [
        (
            "[Tried to create resource record set [name='x', type='A'] but it already exists]",
            FailureKind::Conflict,
        ),
        (
            "[RRSet with DNS name x. is not permitted in zone example.com.]",
            FailureKind::Invalid,
        ),
    ] {
        let (pass, _) = recording(true, refuse(message));
        let failure = Record::create(&pass, &id("A"), &wanted("A")).await;
        let failure = failure.expect_err("it is refused");
        assert_eq!(failure.kind, expected);
        assert_eq!(failure.code, "InvalidChangeBatch");
        assert!(failure.message.contains(message), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_zone_that_is_gone_has_no_records() {
    let (pass, _) = recording(true, |_: &Asked| {
        Answer::enveloped_error(
            404,
            "NoSuchHostedZone",
            "No hosted zone found with ID: Z0EXAMPLE",
        )
    });
    let hint = Hint {
        known_id: None,
        wanted: Some(wanted("A")),
    };
    let seen = Record::observe(&pass, &id("A"), hint).await;
    assert_eq!(seen, Ok(None));
}

#[tokio::test]
async fn a_change_is_followed_until_it_is_in_force() {
    let (pass, asks) = recording(true, |asked: &Asked| {
        let info = |status: &str| {
            format!(
                "<ChangeInfo><Id>/change/C1</Id><Status>{status}</Status><SubmittedAt>2026-01-01T00:00:00Z</SubmittedAt>\
                 </ChangeInfo>"
            )
        };
        match (asked.method.as_str(), asked.path.contains("/change/")) {
            ("POST", _) => Answer::new(
                200,
                format!(
                    "<ChangeResourceRecordSetsResponse>{}</ChangeResourceRecordSetsResponse>",
                    info("PENDING")
                ),
            ),
            (_, true) => Answer::new(
                200,
                format!("<GetChangeResponse>{}</GetChangeResponse>", info("INSYNC")),
            ),
            _ => page(
                &alias("A", "", "Z2FDTNDATAQYW2", "d111111abcdef8.cloudfront.net."),
                false,
            ),
        }
    });
    let made = Record::create(&pass, &id("A"), &wanted("A")).await;
    let made = made.expect("it is made");
    assert_eq!(made.phase, Phase::Deploying("INSYNC (PENDING)".into()));
    for expected in [3, 3] {
        let hint = Hint {
            known_id: None,
            wanted: Some(wanted("A")),
        };
        let seen = Record::observe(&pass, &id("A"), hint).await;
        let seen = seen.expect("it can be read").expect("it is there");
        assert_eq!(seen.phase, Phase::Ready);
        let calls = asks.lock().expect("no test panics with it").len();
        assert_eq!(calls, expected, "the change, the list, one question");
    }
}

/// A zone in two pages, whose second one begins at a set of several of a name.
fn zone(asked: &Asked) -> Answer {
    if asked.has("identifier") {
        return page(
            &alias("A", "", "Z2FDTNDATAQYW2", "d111111abcdef8.cloudfront.net."),
            false,
        );
    }
    Answer::new(
        200,
        format!(
            "<ListResourceRecordSetsResponse><ResourceRecordSets>{}</ResourceRecordSets><IsTruncated>true</IsTruncated>\
             <NextRecordName>example.com.</NextRecordName><NextRecordType>TXT</NextRecordType><NextRecordIdentifier>two\
             </NextRecordIdentifier><MaxItems>300</MaxItems></ListResourceRecordSetsResponse>",
            value("example.com.", "NS", &["ns-1.awsdns-00.com."])
        ),
    )
}

#[tokio::test]
async fn a_zone_is_listed_once_for_many_apps_and_not_at_all_for_few_if_it_is_long() {
    let (pass, asks) = recording(false, zone);
    let aws = pass.aws().clone();
    let calls = || asks.lock().expect("no test panics with it").len();
    let look = async |app: usize| {
        let mut owner = pass.owner().clone();
        owner.name = format!("app-{app}");
        let pass = crate::aws::Pass::new(aws.clone(), owner, false).believing();
        let hint = Hint {
            known_id: None,
            wanted: Some(wanted("A")),
        };
        let seen = Record::observe(&pass, &id("A"), hint).await;
        seen.expect("it is read").is_some()
    };
    // One page is what its own records cost it, and the zone has more.
    assert!(
        !look(0).await,
        "the canned page from the domain on has none"
    );
    assert_eq!(calls(), 3, "a page of the zone, and two of its own");
    for app in 0..9 {
        look(app).await;
    }
    let before = calls();
    assert!(look(9).await, "for ten, two pages are worth it");
    assert_eq!(calls(), before + 2);
    for app in 0..10 {
        assert!(look(app).await);
    }
    assert_eq!(calls(), before + 2, "it is read");
    // A pass that decides reads it itself.
    let (fresh, hint) = (
        crate::aws::Pass::new(aws.clone(), pass.owner().clone(), true),
        Hint {
            known_id: None,
            wanted: Some(wanted("A")),
        },
    );
    Record::observe(&fresh, &id("A"), hint)
        .await
        .expect("it is read");
    assert!(calls() > before + 2);
}
