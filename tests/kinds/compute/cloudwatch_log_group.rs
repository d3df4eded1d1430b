use multiregion::model::{DataPolicy, Deleted, FailureKind, Owner, ResourceId};
use multiregion::resources::cloudwatch_log_group::Config;

use crate::support::{Account, PRIMARY, Subject, owner, tags};

fn id() -> ResourceId {
    ResourceId::new("cloudwatch_log_group", PRIMARY, "/aws/lambda/shop-primary")
}

fn config() -> Config {
    Config {
        retention_days: 30,
        tags: tags(),
    }
}

#[tokio::test]
async fn a_group_is_made_changed_and_taken_away() {
    let account = Account::new().await;
    let group = Subject::new(&account, id());
    // One whose name goes on is another.
    let longer = ResourceId::new(
        "cloudwatch_log_group",
        PRIMARY,
        "/aws/lambda/shop-primary-2",
    );
    let longer = Subject::new(&account, longer);
    longer.create(&config()).await;
    let mut wanted = config();
    group.create(&wanted).await;
    for days in [7, 0, 14] {
        wanted.retention_days = days;
        group.update(&wanted).await;
    }
    wanted.tags.insert("team".into(), "platform".into());
    group.update(&wanted).await;

    let kept = group.try_delete(&wanted, DataPolicy::Keep).await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))), "{kept:?}");
    group.delete(&wanted).await;
    longer.live(&config()).await;
}

#[tokio::test]
async fn a_group_of_another_app_is_seen_as_such_and_not_made_again() {
    let account = Account::new().await;
    let group = Subject::new(&account, id());
    let mut theirs = config();
    theirs.tags = owner("blog").tags();
    group.try_create(&theirs).await.expect("it is made");
    assert_eq!(
        group.live(&config()).await.owner,
        Owner::Other("MultiRegionApp web/blog of cluster c1".into())
    );
    let again = group.try_create(&config()).await;
    assert_eq!(again.expect_err("it is there").kind, FailureKind::Conflict);
}
