//! Hosted zones, which are only read, and records.

use std::time::Duration;

use aws_sdk_route53::types;
use multiregion::model::{
    DataPolicy, Deleted, FailureKind, Input, Observed, Owner, Phase, Reference, ResourceId,
};
use multiregion::resources::route53_record::{Config, Target};
use multiregion::resources::{
    AnyKind, Hint, REGISTRY, acm_certificate, route53_hosted_zone as hosted_zone,
};

use crate::support::{Account, PRIMARY, Subject, owner, tags, value};

const DOMAIN: &str = "shop.example.com";
const DISTRIBUTION: &str = "d111111abcdef8.cloudfront.net";

/// Makes a public zone by hand; its id.
pub async fn make_zone(account: &Account, name: &str) -> String {
    zone(account, name, false).await
}

async fn zone(account: &Account, name: &str, private: bool) -> String {
    let clients = account.clients(PRIMARY);
    let mut create = clients
        .route53
        .create_hosted_zone()
        .name(name)
        .caller_reference(rand::random::<u64>().to_string());
    if private {
        let vpc = types::Vpc::builder()
            .vpc_id("vpc-0123456789abcdef0")
            .vpc_region(types::VpcRegion::UsEast1);
        let config = types::HostedZoneConfig::builder().private_zone(true);
        create = create.vpc(vpc.build()).hosted_zone_config(config.build());
    }
    let answer = create.send().await.expect("a zone can be made");
    let id = answer.hosted_zone().expect("it has a zone").id();
    id.trim_start_matches("/hostedzone/").to_owned()
}

fn zone_id(name: &str) -> ResourceId {
    ResourceId::global("route53_hosted_zone", name)
}

async fn refusal(account: &Account, name: &str) -> (FailureKind, String) {
    let subject = Subject::new(account, zone_id(name));
    match subject.observe(&hosted_zone::Config {}).await {
        Observed::Unknown(failure) => (failure.kind, failure.message),
        other => panic!("{name} is refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_zone_is_found_by_name_or_id_and_remembered() {
    let (account, proxy) = Account::strict(|_| ()).await;
    for name in ["example.org", "a.example.com", "example.net"] {
        make_zone(&account, name).await;
    }
    zone(&account, "example.com", true).await;
    let id = make_zone(&account, "example.com").await;
    for named in ["example.com", "Example.com.", &id] {
        let subject = Subject::new(&account, zone_id(named));
        proxy.clear_calls();
        let live = subject.live(&hosted_zone::Config {}).await;
        assert_eq!(live.outputs["zone_id"], id);
        assert_eq!(live.outputs["name"], "example.com");
        subject.live(&hosted_zone::Config {}).await;
        assert!(proxy.calls().len() <= 2, "{:?}", proxy.calls());
    }
    let subject = Subject::new(&account, zone_id("example.com"));
    let written = subject.try_create(&hosted_zone::Config {}).await;
    assert_eq!(
        written.map_err(|failure| failure.kind),
        Err(FailureKind::Invalid)
    );
}

#[tokio::test]
async fn a_zone_that_is_missing_private_or_ambiguous_is_refused_with_what_to_do() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let private = zone(&account, "private.example", true).await;
    let (one, two) = (
        make_zone(&account, "example.com").await,
        make_zone(&account, "example.com").await,
    );
    for (name, expected) in [
        ("example.org", "hosted zone example.org not found"),
        (
            "Z0123456789ABCDEFGHIJ",
            "hosted zone Z0123456789ABCDEFGHIJ not found",
        ),
        (
            "private.example",
            "not found among the account's public ones",
        ),
        (&private, "is private"),
        ("example.com", "hosted zone example.com is ambiguous: ids Z"),
        ("example.com", &one),
        ("example.com", &two),
    ] {
        let (kind, message) = refusal(&account, name).await;
        assert_eq!(kind, FailureKind::Invalid);
        assert!(message.contains(expected), "{message}");
    }
}

fn record_id(purpose: &str) -> ResourceId {
    ResourceId::global("route53_record", format!("{DOMAIN}/{purpose}"))
}

fn alias(zone_id: &str, kind: &str) -> Config {
    Config {
        zone_id: zone_id.into(),
        name: DOMAIN.into(),
        kind: kind.into(),
        target: Target::Distribution(DISTRIBUTION.into()),
    }
}

fn validation(zone_id: &str) -> Config {
    Config {
        zone_id: zone_id.into(),
        name: format!("_0a1b.{DOMAIN}").into(),
        kind: "CNAME".into(),
        target: Target::Value {
            value: "_9f8e.acm-validations.aws".into(),
            ttl: 300,
        },
    }
}

/// Puts a record by hand.
async fn put(account: &Account, zone_id: &str, name: &str, kind: &str, value: &str) {
    let record = types::ResourceRecord::builder().value(value).build();
    let set = types::ResourceRecordSet::builder()
        .name(name)
        .r#type(kind.into())
        .ttl(60)
        .resource_records(record.expect("complete"))
        .build();
    let change = types::Change::builder()
        .action(types::ChangeAction::Upsert)
        .resource_record_set(set.expect("complete"))
        .build();
    let batch = types::ChangeBatch::builder()
        .changes(change.expect("complete"))
        .build();
    account
        .clients(PRIMARY)
        .route53
        .change_resource_record_sets()
        .hosted_zone_id(zone_id)
        .change_batch(batch.expect("complete"))
        .send()
        .await
        .expect("a record can be put");
}

fn kind() -> &'static dyn AnyKind {
    REGISTRY.get("route53_record").expect("registered").as_ref()
}

#[tokio::test]
async fn records_come_change_and_go() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let zone = make_zone(&account, "example.com").await;
    // More than a page on either side.
    for name in ["a", "b", "c", "1.shop", "2.shop", "x", "y", "z"] {
        put(
            &account,
            &zone,
            &format!("{name}.example.com"),
            "TXT",
            "\"t\"",
        )
        .await;
    }
    for wanted in [alias(&zone, "A"), alias(&zone, "AAAA")] {
        let subject = Subject::new(&account, record_id(&wanted.kind));
        assert_eq!(subject.observe(&wanted).await, Observed::Absent);
        subject.create(&wanted).await;
    }
    let subject = Subject::new(&account, record_id("validation"));
    let mut wanted = validation(&zone);
    subject.create(&wanted).await;
    if let Target::Value { ttl, .. } = &mut wanted.target {
        *ttl = 60;
    }
    subject.update(&wanted).await;
    subject.delete(&wanted).await;
    for wanted in [alias(&zone, "A"), alias(&zone, "AAAA")] {
        Subject::new(&account, record_id(&wanted.kind))
            .delete(&wanted)
            .await;
    }
}

#[tokio::test]
async fn what_is_changed_at_one_time_goes_in_one_batch() {
    let (account, proxy) = Account::strict(|config| {
        config.delays.record_change_in_flight = Duration::from_millis(300);
        config.delays.record_change_pending = Duration::from_secs(1);
        config.strict.pages = false;
    })
    .await;
    let zone = make_zone(&account, "example.com").await;
    let pass = account.pass();
    let (a, aaaa) = (value(&alias(&zone, "A")), value(&alias(&zone, "AAAA")));
    let (a_id, aaaa_id) = (record_id("A"), record_id("AAAA"));
    proxy.clear_calls();
    let made = futures::future::join(
        kind().create(&pass, &a_id, &a),
        kind().create(&pass, &aaaa_id, &aaaa),
    )
    .await;
    let pending = Phase::Deploying("INSYNC (PENDING)".into());
    assert_eq!(made.0.map(|live| live.phase), Ok(pending.clone()));
    assert_eq!(made.1.map(|live| live.phase), Ok(pending.clone()));
    assert_eq!(proxy.calls().len(), 1);

    // One list and one question for both, until the change is in force; then the list alone.
    let observe = async |pending: bool| {
        proxy.clear_calls();
        let pass = account.pass();
        for (id, wanted) in [(&a_id, &a), (&aaaa_id, &aaaa)] {
            let hint = Hint {
                known_id: None,
                wanted: Some(wanted.clone()),
            };
            let observed = kind().observe(&pass, id, hint).await;
            let live = observed.live().expect("it is there");
            assert_eq!(live.phase != Phase::Ready, pending);
        }
        proxy.calls().len()
    };
    assert_eq!(observe(true).await, 2);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(observe(false).await, 2);
    assert_eq!(observe(false).await, 1);
}

#[tokio::test]
async fn anothers_record_is_named_and_never_written_over() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let zone = make_zone(&account, "example.com").await;
    put(&account, &zone, DOMAIN, "A", "192.0.2.1").await;
    let wanted = alias(&zone, "A");
    let subject = Subject::new(&account, record_id("A"));
    let live = subject.live(&wanted).await;
    assert_eq!(
        live.owner,
        Owner::Other("the record shop.example.com A → 192.0.2.1".into())
    );
    let refused = subject.try_create(&wanted).await;
    let refused = refused.expect_err("it is there already");
    assert_eq!(refused.kind, FailureKind::Conflict);
    assert_eq!(subject.live(&wanted).await, live);
    // Nor beside a CNAME.
    put(&account, &zone, "www.example.com", "CNAME", "example.org").await;
    let beside = Config {
        name: "www.example.com".into(),
        ..alias(&zone, "A")
    };
    let id = ResourceId::global("route53_record", "www.example.com/A");
    let refused = Subject::new(&account, id).try_create(&beside).await;
    let refused = refused.expect_err("there is a CNAME");
    assert_eq!(refused.kind, FailureKind::Invalid);
}

#[tokio::test]
async fn a_record_of_ours_is_known_again_when_the_distribution_was_made_anew() {
    let (account, _proxy) = Account::strict(|_| ()).await;
    let zone = make_zone(&account, "example.com").await;
    let before = Subject::new(&account, record_id("A"))
        .create(&alias(&zone, "A"))
        .await;
    let owner_seen = async |target: Input, known_id: Option<&String>| {
        let wanted = Config {
            target: Target::Distribution(target),
            ..alias(&zone, "A")
        };
        let hint = Hint {
            known_id: known_id.cloned(),
            wanted: Some(value(&wanted)),
        };
        let observed = kind().observe(&account.pass(), &record_id("A"), hint).await;
        observed.live().expect("it is there").owner.clone()
    };
    let anew = || Input::from("d222222abcdef8.cloudfront.net");
    let unknown = || {
        Input::Output(Reference {
            from: ResourceId::global("cloudfront_distribution", "shop"),
            output: "domain_name".into(),
            template: "{}".into(),
        })
    };
    let known = Some(&before.physical_id);
    assert_eq!(owner_seen(anew(), known).await, Owner::Ours);
    assert_eq!(owner_seen(unknown(), known).await, Owner::Ours);
    assert!(matches!(owner_seen(anew(), None).await, Owner::Other(_)));
    put(&account, &zone, "other.example.com", "A", "192.0.2.1").await;
}

#[tokio::test]
async fn removal_finds_a_record_by_its_id_or_without() {
    let (account, _proxy) = Account::strict(|config| config.strict.acm_validation = false).await;
    make_zone(&account, "com.example").await;
    let zone = make_zone(&account, "example.com").await;
    let subject = Subject::new(&account, record_id("A"));
    let live = subject.create(&alias(&zone, "A")).await;
    let observe = async |purpose: &str, known_id: Option<String>| {
        let hint = Hint {
            known_id,
            wanted: None,
        };
        kind()
            .observe(&account.pass(), &record_id(purpose), hint)
            .await
    };
    let known = Some(live.physical_id.clone());
    assert_eq!(observe("A", known).await, Observed::Present(Box::new(live)));
    // Without the id it has to point to a distribution of ours.
    assert_eq!(observe("A", None).await, Observed::Absent);
    // The validation record is found by our certificate.
    let certificate = acm_certificate::Config {
        domain_name: DOMAIN.into(),
        tags: Some(tags()),
    };
    let certificate_id = ResourceId::new("acm_certificate", PRIMARY, DOMAIN);
    let certificate = Subject::new(&account, certificate_id)
        .create(&certificate)
        .await;
    let wanted = Config {
        zone_id: zone.as_str().into(),
        name: certificate.outputs["validation_name"].as_str().into(),
        kind: "CNAME".into(),
        target: Target::Value {
            value: certificate.outputs["validation_value"].as_str().into(),
            ttl: 300,
        },
    };
    let live = Subject::new(&account, record_id("validation"))
        .create(&wanted)
        .await;
    assert_eq!(
        observe("validation", None).await,
        Observed::Present(Box::new(live))
    );
}

#[tokio::test]
async fn a_validation_record_goes_only_with_all_data_and_if_nobody_else_needs_it() {
    let (account, _proxy) = Account::strict(|config| config.strict.acm_validation = false).await;
    let zone = make_zone(&account, "example.com").await;
    let subject = Subject::new(&account, record_id("validation"));
    let wanted = validation(&zone);
    subject.create(&wanted).await;
    let kept = subject.try_delete(&wanted, DataPolicy::Keep).await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))), "{kept:?}");
    let id = ResourceId::new("acm_certificate", PRIMARY, DOMAIN);
    let certificate = acm_certificate::Config {
        domain_name: DOMAIN.into(),
        tags: Some(owner("blog").tags()),
    };
    let certificate_subject = Subject::new(&account, id.clone());
    let live = certificate_subject
        .try_create(&certificate)
        .await
        .expect("it can be made");
    let kept = subject.try_delete(&wanted, DataPolicy::Delete).await;
    assert_eq!(
        kept,
        Ok(Deleted::Retained(format!("{} needs it", live.physical_id)))
    );
    let certificates = REGISTRY.get("acm_certificate").expect("registered");
    certificates
        .delete(&account.pass(), &id, &live, DataPolicy::Keep)
        .await
        .expect("it can be deleted");
    subject.delete(&wanted).await;
}

/// Makes both records of each app, and looks at them in a settled pass of each; how many calls that took.
async fn calls_of_settled(apps: usize) -> usize {
    let (account, proxy) = Account::strict(|config| config.page_size = 100).await;
    let zone = make_zone(&account, "example.com").await;
    let record = |app: usize, kind: &str| {
        let domain = format!("app-{app}.example.com");
        let mut wanted = alias(&zone, kind);
        wanted.name = domain.as_str().into();
        (
            ResourceId::global("route53_record", format!("{domain}/{kind}")),
            value(&wanted),
        )
    };
    for app in 0..apps {
        for purpose in ["A", "AAAA"] {
            let (id, wanted) = record(app, purpose);
            let made = kind().create(&account.pass(), &id, &wanted).await;
            made.expect("it can be made");
        }
    }
    proxy.clear_calls();
    for app in 0..apps {
        let pass = account.believing_pass_of(&format!("app-{app}"));
        for purpose in ["A", "AAAA"] {
            let (id, wanted) = record(app, purpose);
            let hint = Hint {
                known_id: None,
                wanted: Some(wanted),
            };
            let seen = kind().observe(&pass, &id, hint).await;
            assert!(matches!(seen, Observed::Present(_)), "{id}: {seen:?}");
        }
    }
    let lists = proxy.calls();
    lists
        .iter()
        .filter(|call| call.operation == "ListResourceRecordSets")
        .count()
}

#[tokio::test]
async fn settled_apps_of_a_zone_cost_as_many_calls_as_one() {
    assert_eq!(calls_of_settled(1).await, 1);
    assert_eq!(calls_of_settled(12).await, 1);
}

#[tokio::test]
async fn a_write_of_ours_is_seen_at_once_and_anothers_by_whoever_decides() {
    let (account, _proxy) = Account::strict(|config| config.page_size = 100).await;
    let zone = make_zone(&account, "example.com").await;
    let (id, wanted) = (record_id("A"), value(&alias(&zone, "A")));
    let hint = || Hint {
        known_id: None,
        wanted: Some(wanted.clone()),
    };
    let believing = account.believing_pass_of("blog");
    assert_eq!(
        kind().observe(&believing, &id, hint()).await,
        Observed::Absent
    );
    let made = kind().create(&account.pass(), &id, &wanted).await;
    made.expect("it can be made");
    let believing = account.believing_pass_of("blog");
    let seen = kind().observe(&believing, &id, hint()).await;
    assert!(matches!(seen, Observed::Present(_)), "{seen:?}");
    put(&account, &zone, DOMAIN, "A", "192.0.2.1").await;
    let seen = kind().observe(&account.pass(), &id, hint()).await;
    match seen {
        Observed::Present(live) => assert!(matches!(live.owner, Owner::Other(_))),
        other => panic!("it is there: {other:?}"),
    }
}
