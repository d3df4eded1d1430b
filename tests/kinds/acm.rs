//! Certificates: ours, and those that are only read.

use std::collections::BTreeMap;

use multiregion::model::{FailureKind, Live, Observed, Owner, Phase, ResourceId};
use multiregion::resources::acm_certificate::Config;
use multiregion::resources::route53_record::{self, Target};
use strict_aws::{Fault, FaultKind, Proxy, Service};

use crate::support::{Account, DR, PRIMARY, Subject, owner, tags};

const DOMAIN: &str = "shop.example.com";

fn id(name: &str) -> ResourceId {
    ResourceId::new("acm_certificate", PRIMARY, name)
}

fn wanted() -> Config {
    Config {
        domain_name: DOMAIN.into(),
        tags: Some(tags()),
    }
}

/// An account whose certificates are issued at once.
async fn hasty() -> (Account, Proxy) {
    Account::strict(|config| config.strict.acm_validation = false).await
}

/// Requests a certificate by hand.
async fn request(account: &Account, region: &str, domain: &str) -> String {
    let answer = account
        .clients(region)
        .acm
        .request_certificate()
        .domain_name(domain)
        .send()
        .await;
    answer
        .expect("it can be requested")
        .certificate_arn
        .expect("it has an ARN")
}

#[tokio::test]
async fn a_certificate_comes_and_goes() {
    let (account, _proxy) = hasty().await;
    let subject = Subject::new(&account, id(DOMAIN));
    let mut wanted = wanted();
    let live = subject.create(&wanted).await;
    assert_eq!(live.outputs["arn"], live.physical_id);
    assert_eq!(live.outputs["pending_arn"], live.physical_id);
    wanted
        .tags
        .get_or_insert_default()
        .insert("team".into(), "shop".into());
    subject.update(&wanted).await;
    subject.delete(&wanted).await;
}

#[tokio::test]
async fn it_waits_for_its_record_and_is_no_output_before_it_is_issued() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let subject = Subject::new(&account, id(DOMAIN));
    subject.try_create(&wanted()).await.expect("it can be made");
    let live = subject.live(&wanted()).await;
    assert_eq!(live.phase, Phase::Pending("DNS validation".into()));
    assert!(!live.outputs.contains_key("arn"));
    assert_eq!(live.outputs["pending_arn"], live.physical_id);
    let name = &live.outputs["validation_name"];
    assert!(name.ends_with(DOMAIN), "{name}");
    assert!(!live.outputs["validation_value"].ends_with('.'));
    assert_eq!(live.outputs["validation_type"], "CNAME");

    let zone_id = super::route53::make_zone(&account, "example.com").await;
    let record = route53_record::Config {
        zone_id: zone_id.into(),
        name: name.as_str().into(),
        kind: "CNAME".into(),
        target: Target::Value {
            value: live.outputs["validation_value"].as_str().into(),
            ttl: 300,
        },
    };
    let record_id = ResourceId::global("route53_record", format!("{DOMAIN}/validation"));
    Subject::new(&account, record_id).create(&record).await;
    let live = subject.live(&wanted()).await;
    assert_eq!(live.phase, Phase::Ready);
    assert_eq!(live.outputs["arn"], live.physical_id);
}

#[tokio::test]
async fn others_certificates_of_the_domain_are_not_ours() {
    let (account, _proxy) = hasty().await;
    let subject = Subject::new(&account, id(DOMAIN));
    for _ in 0..3 {
        request(&account, PRIMARY, DOMAIN).await;
    }
    assert_eq!(subject.observe(&wanted()).await, Observed::Absent);
    let ours = subject.create(&wanted()).await;
    let other = Config {
        tags: Some(owner("blog").tags()),
        ..wanted()
    };
    Subject::new(&account, id(DOMAIN))
        .try_create(&other)
        .await
        .expect("it can be made");
    assert_eq!(subject.live(&wanted()).await.physical_id, ours.physical_id);
}

#[tokio::test]
async fn a_lost_reply_makes_no_second_certificate() {
    let (account, proxy) = hasty().await;
    let lost = Fault::new(FaultKind::ResetAfter)
        .service(Service::Acm)
        .operation("RequestCertificate");
    proxy.configure(|config| config.faults.push(lost));
    let subject = Subject::new(&account, id(DOMAIN));
    let lost = subject.try_create(&wanted()).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(subject.live(&wanted()).await.owner, Owner::Ours);
}

async fn given(account: &Account, arn: &str) -> Result<Live, (FailureKind, String)> {
    let wanted = Config {
        domain_name: DOMAIN.into(),
        tags: None,
    };
    let observed = Subject::new(account, id(arn)).observe(&wanted).await;
    match observed {
        Observed::Present(live) => Ok(*live),
        Observed::Unknown(failure) => Err((failure.kind, failure.message)),
        Observed::Absent => panic!("{arn} is refused or there"),
    }
}

#[tokio::test]
async fn a_given_certificate_is_used_only_where_it_fits() {
    let (account, proxy) = hasty().await;
    for domain in [DOMAIN, "*.example.com"] {
        let arn = request(&account, PRIMARY, domain).await;
        let live = given(&account, &arn).await.expect("it fits");
        let outputs = BTreeMap::from_iter(live.outputs);
        assert_eq!(outputs["arn"], arn);
        assert_eq!(live.owner, Owner::Ours);
    }
    let refusal = async |arn: &str, expected: &str| {
        let (kind, message) = given(&account, arn).await.expect_err("it does not fit");
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains(expected), "{message}");
    };
    let elsewhere = request(&account, DR, DOMAIN).await;
    refusal(&elsewhere, "is in us-west-2; CloudFront reads").await;
    let uncovering = request(&account, PRIMARY, "www.example.com").await;
    refusal(&uncovering, "is for www.example.com, which does not cover").await;
    let (before, _) = uncovering.rsplit_once('/').expect("an ARN has a slash");
    let missing = format!("{before}/00000000-0000-0000-0000-000000000000");
    refusal(&missing, "does not exist").await;
    proxy.configure(|config| config.strict.acm_validation = true);
    let pending = request(&account, PRIMARY, DOMAIN).await;
    refusal(&pending, "is PENDING_VALIDATION, not ISSUED").await;
}
