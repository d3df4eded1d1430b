//! Route 53's rules. (Its rate is in `framework`.)

use std::time::Duration;

use strict_aws::{Config, Strict};

use crate::support::{Aws, Reply};

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

pub async fn zone(aws: &Aws, name: &str) -> String {
    let reference: u64 = rand::random();
    let body = format!(
        "<CreateHostedZoneRequest xmlns=\"{NAMESPACE}\"><Name>{name}</Name><CallerReference>{reference}</CallerReference>\
         </CreateHostedZoneRequest>"
    );
    let made = aws.route53("POST", "hostedzone", &body).await.ok();
    made.text("Id").replace("/hostedzone/", "")
}

pub fn record(action: &str, name: &str, kind: &str, value: &str) -> String {
    format!(
        "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type><TTL>60</TTL>\
         <ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords>\
         </ResourceRecordSet></Change>"
    )
}

fn alias(name: &str, zone: &str, target: &str) -> String {
    format!(
        "<Change><Action>CREATE</Action><ResourceRecordSet><Name>{name}</Name><Type>A</Type><AliasTarget>\
         <HostedZoneId>{zone}</HostedZoneId><DNSName>{target}</DNSName><EvaluateTargetHealth>false</EvaluateTargetHealth>\
         </AliasTarget></ResourceRecordSet></Change>"
    )
}

pub async fn change(aws: &Aws, zone: &str, changes: &[String]) -> Reply {
    let body = format!(
        "<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch><Changes>{}</Changes></ChangeBatch>\
         </ChangeResourceRecordSetsRequest>",
        changes.concat()
    );
    aws.route53("POST", &format!("hostedzone/{zone}/rrset"), &body)
        .await
}

#[tokio::test]
async fn batches_that_contradict_the_zone_are_refused() {
    let aws = Aws::only(|strict| strict.route53_validation = true).await;
    let zone = zone(&aws, "example.com").await;
    change(
        &aws,
        &zone,
        &[record("CREATE", "a.example.com", "A", "192.0.2.1")],
    )
    .await
    .ok();
    change(
        &aws,
        &zone,
        &[record(
            "CREATE",
            "c.example.com.",
            "CNAME",
            "other.example.org",
        )],
    )
    .await
    .ok();
    let refused = [
        (
            record("CREATE", "a.example.org", "A", "192.0.2.1"),
            "is not permitted in zone example.com.",
        ),
        (
            record("CREATE", "A.example.com", "A", "192.0.2.1"),
            "but it already exists",
        ),
        (
            record("DELETE", "b.example.com", "A", "192.0.2.1"),
            "but it was not found",
        ),
        (
            record("DELETE", "a.example.com", "A", "192.0.2.2"),
            "do not match the current values",
        ),
        (
            record("UPSERT", "a.example.com", "CNAME", "x.example.org"),
            "as it conflicts with other records",
        ),
        (
            record("CREATE", "c.example.com", "A", "192.0.2.1"),
            "a conflicting RRSet of type  CNAME",
        ),
        (
            record("CREATE", "example.com", "CNAME", "x.example.org"),
            "is not permitted at apex",
        ),
        (
            alias("d.example.com", "Z0000000000000", "d1.cloudfront.net"),
            "does not lie within the target zone",
        ),
    ];
    for (refused, message) in refused {
        change(&aws, &zone, &[refused])
            .await
            .refused(400, "InvalidChangeBatch")
            .says(message);
    }
    // Nothing of a refused batch is done, and what a batch itself makes room for is free.
    let both = [
        record("CREATE", "e.example.com", "A", "192.0.2.1"),
        record("CREATE", "e.example.com", "CNAME", "x"),
    ];
    change(&aws, &zone, &both)
        .await
        .refused(400, "InvalidChangeBatch");
    let swap = [
        record("DELETE", "c.example.com", "CNAME", "other.example.org"),
        alias("c.example.com", "Z2FDTNDATAQYW2", "d1.cloudfront.net"),
    ];
    change(&aws, &zone, &swap).await.ok();
    let listed = aws
        .route53("GET", &format!("hostedzone/{zone}/rrset"), "")
        .await
        .ok();
    assert!(
        !listed.body.contains("<Name>e.example.com.") && listed.body.contains("d1.cloudfront.net")
    );
}

#[tokio::test]
async fn one_change_at_a_time_each_pending_for_a_while() {
    let mut config = Config {
        strict: Strict::none(),
        ..Config::strict()
    };
    config.strict.route53_in_flight = true;
    config.delays.record_change_in_flight = Duration::from_secs(600);
    config.delays.record_change_pending = Duration::from_secs(600);
    let aws = Aws::with(config).await;
    let zones = [
        zone(&aws, "example.com").await,
        zone(&aws, "example.org").await,
    ];
    let first = change(
        &aws,
        &zones[0],
        &[record("CREATE", "a.example.com", "A", "192.0.2.1")],
    )
    .await
    .ok();
    assert_eq!(first.text("Status"), "PENDING");
    let second = [record("CREATE", "b.example.com", "A", "192.0.2.1")];
    change(&aws, &zones[0], &second)
        .await
        .refused(400, "PriorRequestNotComplete");
    change(
        &aws,
        &zones[1],
        &[record("CREATE", "a.example.org", "A", "192.0.2.1")],
    )
    .await
    .ok();
    let id = first.text("Id").replace("/change/", "");
    for _ in 0..3 {
        let change = aws.route53("GET", &format!("change/{id}"), "").await.ok();
        assert_eq!(change.text("Status"), "PENDING");
    }
    aws.proxy.configure(|config| {
        config.delays.record_change_in_flight = Duration::ZERO;
        config.delays.record_change_pending = Duration::ZERO;
    });
    assert_eq!(
        aws.route53("GET", &format!("change/{id}"), "")
            .await
            .ok()
            .text("Status"),
        "INSYNC"
    );
    change(&aws, &zones[0], &second).await.ok();
}

#[tokio::test]
async fn zones_and_records_are_listed_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    let mut zones = Vec::new();
    // The same name twice: a page may end between the two.
    for name in [
        "b.example",
        "a.example",
        "c.example",
        "d.example",
        "e.example",
    ] {
        zones.push((format!("{name}."), zone(&aws, name).await));
    }
    zones.sort();
    let ids = |reply: &Reply| -> Vec<String> {
        reply
            .body
            .split("<Id>/hostedzone/")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap().to_owned())
            .collect()
    };
    let (mut seen, mut query) = (Vec::new(), String::new());
    for page in [2, 2, 1] {
        let list = aws
            .route53("GET", &format!("hostedzonesbyname?{query}"), "")
            .await
            .ok();
        assert_eq!(ids(&list).len(), page);
        seen.extend(ids(&list));
        if list.text("IsTruncated") == "true" {
            query = format!(
                "dnsname={}&hostedzoneid={}",
                list.text("NextDNSName"),
                list.text("NextHostedZoneId")
            );
        }
    }
    assert_eq!(
        seen,
        zones.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>()
    );

    let (mut seen, mut query) = (Vec::new(), String::new());
    for page in [2, 2, 1] {
        let list = aws
            .route53("GET", &format!("hostedzone?{query}"), "")
            .await
            .ok();
        assert_eq!(ids(&list).len(), page);
        seen.extend(ids(&list));
        if list.text("IsTruncated") == "true" {
            query = format!("marker={}", list.text("NextMarker"));
        }
    }
    seen.sort();
    let mut all: Vec<_> = zones.iter().map(|(_, id)| id.clone()).collect();
    all.sort();
    assert_eq!(seen, all);

    // NS and SOA are there from the start.
    let id = &zones[0].1;
    change(
        &aws,
        id,
        &[record("CREATE", "x.a.example", "A", "192.0.2.1")],
    )
    .await
    .ok();
    let first = aws
        .route53("GET", &format!("hostedzone/{id}/rrset"), "")
        .await
        .ok();
    assert_eq!(first.body.matches("<ResourceRecordSet>").count(), 2);
    let query = format!(
        "name={}&type={}",
        first.text("NextRecordName"),
        first.text("NextRecordType")
    );
    let second = aws
        .route53("GET", &format!("hostedzone/{id}/rrset?{query}"), "")
        .await
        .ok();
    assert_eq!(
        (
            second.text("Name").as_str(),
            second.text("IsTruncated").as_str()
        ),
        ("x.a.example.", "false")
    );
}
