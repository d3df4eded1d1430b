//! Tables and their replicas.

use std::time::Duration;

use aws_sdk_dynamodb::types;
use multiregion::model::{DataPolicy, Deleted, FailureKind, Observed, Owner, Phase, ResourceId};
use multiregion::resources::{dynamodb_table, dynamodb_table_replica};

use crate::support::{Account, DR, PRIMARY, Subject, differences, owner, tags, value};

fn table(account: &Account) -> Subject<'_> {
    let id = ResourceId::new("dynamodb_table", PRIMARY, "shop-visits");
    Subject::new(account, id)
}

fn replica(account: &Account) -> Subject<'_> {
    let id = ResourceId::new("dynamodb_table_replica", DR, "shop-visits");
    Subject::new(account, id)
}

/// What CreateTable gives by itself.
fn bare() -> dynamodb_table::Config {
    let attribute = |name: &str| dynamodb_table::KeyAttribute {
        name: name.into(),
        kind: "S".into(),
    };
    dynamodb_table::Config {
        partition_key: attribute("PK"),
        sort_key: Some(attribute("SK")),
        billing_mode: "PAY_PER_REQUEST".into(),
        stream_view_type: "NEW_AND_OLD_IMAGES".into(),
        time_to_live_attribute: None,
        point_in_time_recovery: false,
        deletion_protection: false,
        tags: tags(),
    }
}

fn bare_replica() -> dynamodb_table_replica::Config {
    dynamodb_table_replica::Config {
        source_region: PRIMARY.into(),
        point_in_time_recovery: false,
        deletion_protection: false,
        tags: tags(),
    }
}

#[tokio::test]
async fn a_table_comes_and_goes() {
    let account = Account::new().await;
    let subject = table(&account);
    let live = subject.create(&bare()).await;
    let arn = format!(
        "arn:aws:dynamodb:{PRIMARY}:{}:table/shop-visits",
        account.id
    );
    assert_eq!(live.outputs["arn"], arn);
    assert!(live.outputs["stream_arn"].starts_with(&format!("{arn}/stream/")));
    let again = subject.try_create(&bare()).await.expect_err("it is there");
    assert_eq!(again.kind, FailureKind::Conflict);
    subject.delete(&bare()).await;

    let mut simple = bare();
    simple.sort_key = None;
    simple.partition_key.kind = "N".into();
    subject.create(&simple).await;
    subject.delete(&simple).await;
}

#[tokio::test]
async fn each_field_of_a_table_comes_to_what_is_wanted() {
    let account = Account::new().await;
    let subject = table(&account);
    subject.create(&bare()).await;
    let changes: [fn(&mut dynamodb_table::Config); 6] = [
        |config| config.point_in_time_recovery = true,
        |config| config.deletion_protection = true,
        |config| config.time_to_live_attribute = Some("expires".into()),
        |config| drop(config.tags.insert("stage".into(), "test".into())),
        |config| config.point_in_time_recovery = false,
        |config| config.deletion_protection = false,
    ];
    let mut wanted = bare();
    for change in changes {
        change(&mut wanted);
        subject.update(&wanted).await;
    }
    wanted.point_in_time_recovery = true;
    wanted.deletion_protection = true;
    wanted.tags = owner("shop").tags();
    wanted.tags.insert("stage".into(), "production".into());
    let live = subject.update(&wanted).await;
    assert_eq!(live.config["tags"]["team"], "web", "others' tags stay");
}

#[tokio::test]
async fn time_to_live_goes_off_before_it_goes_to_another_attribute() {
    let account = Account::new().await;
    let subject = table(&account);
    let mut wanted = bare();
    subject.create(&wanted).await;
    wanted.time_to_live_attribute = Some("expires".into());
    subject.update(&wanted).await;
    wanted.time_to_live_attribute = Some("until".into());
    let live = subject.live(&wanted).await;
    let off = subject
        .try_update(&live, &wanted)
        .await
        .expect("it goes off");
    assert_eq!(off.config.get("time_to_live_attribute"), None);
    subject.update(&wanted).await;
    // Absent is unmanaged, never off.
    wanted.time_to_live_attribute = None;
    assert_eq!(differences(&wanted, &subject.live(&wanted).await), []);
}

#[tokio::test]
async fn what_cannot_be_changed_is_said() {
    let account = Account::new().await;
    let subject = table(&account);
    subject.create(&bare()).await;
    let mut wanted = bare();
    wanted.sort_key = None;
    let live = subject.live(&wanted).await;
    let failure = subject.try_update(&live, &wanted).await;
    let failure = failure.expect_err("a key is for life");
    assert_eq!(failure.kind, FailureKind::Invalid);
    assert!(failure.message.contains("PK (S), SK (S)"), "{failure}");
}

#[tokio::test]
async fn a_plain_table_of_the_users_is_brought_to_what_a_global_one_needs() {
    let account = Account::new().await;
    let subject = table(&account);
    let wanted = bare();
    let attribute = |name: &str, key_type| {
        (
            types::AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(types::ScalarAttributeType::S)
                .build()
                .expect("complete"),
            types::KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(key_type)
                .build()
                .expect("complete"),
        )
    };
    // The definitions in another order than the key.
    let sort = attribute("SK", types::KeyType::Range);
    let partition = attribute("PK", types::KeyType::Hash);
    let throughput = types::ProvisionedThroughput::builder()
        .read_capacity_units(1)
        .write_capacity_units(1)
        .build()
        .expect("complete");
    account
        .clients(PRIMARY)
        .dynamodb
        .create_table()
        .table_name("shop-visits")
        .set_attribute_definitions(Some(vec![sort.0, partition.0]))
        .set_key_schema(Some(vec![partition.1, sort.1]))
        .provisioned_throughput(throughput)
        .send()
        .await
        .expect("a table can be made");
    let live = subject.live(&wanted).await;
    assert_eq!(live.owner, Owner::Nobody);
    assert!(!live.outputs.contains_key("stream_arn"));
    subject.update(&wanted).await;
}

#[tokio::test]
async fn a_protected_table_stays_and_so_does_one_that_is_to_be_kept() {
    let account = Account::new().await;
    let subject = table(&account);
    let mut wanted = bare();
    wanted.deletion_protection = true;
    subject.create(&wanted).await;
    let kept = subject.try_delete(&wanted, DataPolicy::Keep).await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))), "{kept:?}");
    let refused = subject.try_delete(&wanted, DataPolicy::Delete).await;
    assert_eq!(
        refused.expect_err("it is protected").kind,
        FailureKind::DeletionProtected
    );
    subject.live(&wanted).await;
}

#[tokio::test]
async fn another_apps_table_is_seen_as_such() {
    let account = Account::new().await;
    let subject = table(&account);
    subject.create(&bare()).await;
    let pass = account.pass_of("blog");
    match subject.observe_in(&pass, Some(value(&bare()))).await {
        Observed::Present(live) => assert!(matches!(live.owner, Owner::Other(_))),
        other => panic!("it is there: {other:?}"),
    }
    let pass = account.quick_pass();
    match subject.observe_in(&pass, Some(value(&bare()))).await {
        Observed::Present(live) => assert!(live.unread.contains("tags")),
        other => panic!("it is there: {other:?}"),
    }
}

#[tokio::test]
async fn a_replica_comes_changes_and_goes() {
    let account = Account::new().await;
    let source = table(&account);
    source.create(&bare()).await;
    let subject = replica(&account);
    let mut wanted = bare_replica();
    assert_eq!(subject.observe(&wanted).await, Observed::Absent);
    let created = subject.try_create(&wanted).await.expect("it can be made");
    assert_eq!(created.phase, Phase::Ready);
    let arn = format!("arn:aws:dynamodb:{DR}:{}:table/shop-visits", account.id);
    assert_eq!(created.outputs["arn"], arn);
    // Its tags come after it; until then it belongs to whom its source does.
    let untagged = subject.live(&wanted).await;
    assert_eq!(untagged.owner, Owner::Ours);
    assert_eq!(untagged.config, created.config);
    assert_eq!(untagged.outputs, created.outputs);
    subject.update(&wanted).await;
    wanted.point_in_time_recovery = true;
    wanted.deletion_protection = true;
    subject.update(&wanted).await;
    let refused = subject.try_delete(&wanted, DataPolicy::Delete).await;
    assert_eq!(
        refused.expect_err("it is protected").kind,
        FailureKind::DeletionProtected
    );
    // What its source has is the source's own.
    assert_eq!(differences(&bare(), &source.live(&bare()).await), []);
    wanted.point_in_time_recovery = false;
    wanted.deletion_protection = false;
    subject.update(&wanted).await;
    let kept = subject.try_delete(&wanted, DataPolicy::Keep).await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))), "{kept:?}");
    subject.delete(&wanted).await;
    source.delete(&bare()).await;
}

#[tokio::test]
async fn a_replica_that_is_no_longer_wanted_is_found_all_the_same() {
    let account = Account::new().await;
    table(&account).create(&bare()).await;
    let subject = replica(&account);
    let wanted = bare_replica();
    subject.try_create(&wanted).await.expect("it can be made");
    subject.update(&wanted).await;
    let seen = subject.observe_in(&account.pass(), None).await;
    let Observed::Present(live) = seen else {
        panic!("it is there: {seen:?}");
    };
    assert_eq!(live.config["source_region"], PRIMARY);
    assert_eq!(live.owner, Owner::Ours);
}

#[tokio::test]
async fn a_table_in_the_replicas_place_is_never_taken_for_it() {
    let account = Account::new().await;
    table(&account).create(&bare()).await;
    // One with our tags at that, as an app with its regions the other way round left it.
    let mut standalone = table(&account);
    standalone.id.region = DR.into();
    standalone.create(&bare()).await;
    let subject = replica(&account);
    let wanted = bare_replica();
    for wanted in [Some(value(&wanted)), None] {
        match subject.observe_in(&account.pass(), wanted).await {
            Observed::Present(live) => match live.owner {
                Owner::Other(what) => assert!(what.contains("no replica"), "{what}"),
                owner => panic!("{owner:?}"),
            },
            other => panic!("it is there: {other:?}"),
        }
    }
    let failure = subject.try_create(&wanted).await.expect_err("it is there");
    assert_eq!(failure.kind, FailureKind::Conflict);
}

#[tokio::test]
async fn a_replica_of_another_apps_table_is_not_ours() {
    let account = Account::new().await;
    let mut theirs = bare();
    theirs.tags = owner("blog").tags();
    let source = table(&account);
    source.try_create(&theirs).await.expect("it can be made");
    let subject = replica(&account);
    subject
        .try_create(&bare_replica())
        .await
        .expect("it can be made");
    let live = subject.live(&bare_replica()).await;
    assert!(matches!(live.owner, Owner::Other(_)), "{:?}", live.owner);
}

#[tokio::test]
async fn a_global_table_lives_through_all_that_aws_is_strict_and_slow_with() {
    let (account, proxy) = Account::strict(|config| {
        let short = Duration::from_millis(150);
        config.delays.table_creating = short;
        config.delays.table_updating = short;
        config.delays.table_deleting = short;
        config.delays.replica_changing = short;
    })
    .await;
    let source = table(&account);
    let mut wanted = bare();
    wanted.point_in_time_recovery = true;
    wanted.deletion_protection = true;
    wanted.time_to_live_attribute = Some("expires".into());
    let made = source.try_create(&wanted).await.expect("it is made");
    assert_eq!(made.phase, Phase::Pending("Active (Creating)".into()));
    source.converge(&wanted).await;

    let copy = replica(&account);
    let mut replica_wanted = bare_replica();
    replica_wanted.point_in_time_recovery = true;
    replica_wanted.deletion_protection = true;
    let made = copy.try_create(&replica_wanted).await.expect("it is made");
    assert_eq!(made.phase, Phase::Pending("Active (Creating)".into()));
    let seen = copy.live(&replica_wanted).await;
    assert_eq!(seen.phase, made.phase, "seen while it is made");
    assert_eq!(seen.outputs, made.outputs);
    copy.converge(&replica_wanted).await;

    for subject in [&source, &copy] {
        let live = match subject.observe_in(&account.pass(), None).await {
            Observed::Present(live) => live,
            other => panic!("it is there: {other:?}"),
        };
        assert_eq!(live.config["deletion_protection"], true);
    }
    wanted.deletion_protection = false;
    replica_wanted.deletion_protection = false;
    source.converge(&wanted).await;
    copy.converge(&replica_wanted).await;
    proxy.configure(|config| config.delays.replica_seeded = Duration::from_secs(3600));
    let early = source.try_delete(&wanted, DataPolicy::Delete).await;
    assert_eq!(early.expect_err("not today").kind, FailureKind::NotYet);
    proxy.configure(|config| config.delays.replica_seeded = Duration::ZERO);
    copy.vanish(&replica_wanted).await;
    source.vanish(&wanted).await;
}
