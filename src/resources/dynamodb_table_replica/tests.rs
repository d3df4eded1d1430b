use serde_json::{Value, json};

use super::*;
use crate::model::FailureKind;
use crate::resources::testing::{Answer, Asked, Asks, owner, recording};

const ARN: &str = "arn:aws:dynamodb:us-west-2:123456789012:table/shop-visits";

fn id() -> ResourceId {
    ResourceId::new("dynamodb_table_replica", "us-west-2", "shop-visits")
}

fn config() -> Config {
    Config {
        source_region: "us-east-1".into(),
        point_in_time_recovery: true,
        deletion_protection: true,
        tags: owner().tags(),
    }
}

/// The table of one region, as DescribeTable there tells of it and of the others.
fn table(region: &str, status: &str, replicas: Value) -> Value {
    json!({
        "TableName": "shop-visits", "TableStatus": status,
        "TableArn": format!("arn:aws:dynamodb:{region}:123456789012:table/shop-visits"),
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
        "DeletionProtectionEnabled": true, "GlobalTableVersion": "2019.11.21", "Replicas": replicas,
    })
}

fn replica(region: &str, status: &str) -> Value {
    json!({"RegionName": region, "ReplicaStatus": status, "ReplicaStatusDescription": "because"})
}

fn our_tags() -> Value {
    owner()
        .tags()
        .into_iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect()
}

/// Two regions: their tables and tags, `Null` where there is none; `own` is us-west-2's, `source` us-east-1's.
#[derive(Clone)]
struct World {
    own: Value,
    source: Value,
    own_tags: Value,
    source_tags: Value,
    source_is_down: bool,
}

impl Default for World {
    fn default() -> Self {
        Self {
            own: table(
                "us-west-2",
                "ACTIVE",
                json!([replica("us-east-1", "ACTIVE")]),
            ),
            source: table(
                "us-east-1",
                "ACTIVE",
                json!([replica("us-west-2", "ACTIVE")]),
            ),
            own_tags: our_tags(),
            source_tags: our_tags(),
            source_is_down: false,
        }
    }
}

impl World {
    fn answer(&self, asked: &Asked) -> Answer {
        let (table, tags) = if asked.host.contains("us-west-2") {
            (&self.own, &self.own_tags)
        } else if self.source_is_down {
            return Answer::new(503, "");
        } else {
            (&self.source, &self.source_tags)
        };
        let body = match asked.target() {
            _ if table.is_null() => return Answer::json_error("ResourceNotFoundException", "none"),
            "DescribeTable" => json!({"Table": table}),
            "UpdateTable" => json!({"TableDescription": table}),
            "ListTagsOfResource" => json!({"Tags": tags}),
            "DescribeContinuousBackups" => json!({"ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "ENABLED",
                "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "ENABLED"},
            }}),
            _ => json!({}),
        };
        Answer::new(200, body.to_string())
    }

    fn pass(self, every_facet: bool) -> (Pass, Asks) {
        recording(every_facet, move |asked| self.answer(asked))
    }

    async fn observe(self, wanted: Option<Config>) -> Result<Option<Seen<Config>>, Failure> {
        observe(&self.pass(true).0, wanted).await
    }

    async fn seen(self) -> Seen<Config> {
        let seen = self.observe(Some(config())).await;
        seen.expect("it answers").expect("a replica")
    }
}

async fn observe(pass: &Pass, wanted: Option<Config>) -> Result<Option<Seen<Config>>, Failure> {
    let hint = Hint {
        known_id: None,
        wanted,
    };
    TableReplica::observe(pass, &id(), hint).await
}

#[tokio::test]
async fn a_replica_at_rest_is_as_wanted() {
    let seen = World::default().seen().await;
    assert_eq!(seen.config, config());
    assert_eq!((seen.owner, seen.phase), (Owner::Ours, Phase::Ready));
    assert_eq!(seen.outputs["arn"], ARN);
    assert_eq!(seen.physical_id, ARN);
}

#[tokio::test]
async fn it_is_asked_about_in_its_own_region_and_its_source_once() {
    let (pass, asks) = World::default().pass(false);
    let seen = observe(&pass, Some(config())).await;
    let seen = seen.expect("it answers").expect("a replica");
    assert_eq!(
        seen.unread,
        BTreeSet::from(["point_in_time_recovery", "tags"])
    );
    let asks = asks.lock().expect("no test panics with it").clone();
    let calls: Vec<(&str, bool)> = asks
        .iter()
        .map(|asked| (asked.target(), asked.host.contains("us-west-2")))
        .collect();
    assert_eq!(calls, [("DescribeTable", true), ("DescribeTable", false)]);
}

#[tokio::test]
async fn a_replica_in_the_making_is_seen_before_its_region_knows_it() {
    let world = World {
        own: Value::Null,
        source: table(
            "us-east-1",
            "UPDATING",
            json!([replica("us-west-2", "CREATING")]),
        ),
        ..World::default()
    };
    let seen = world.seen().await;
    assert_eq!(seen.phase, Phase::Pending("Active (Creating)".into()));
    assert_eq!(seen.owner, Owner::Ours);
    assert!(!seen.config.point_in_time_recovery);
    assert_eq!(seen.outputs["arn"], ARN);
    let gone = World {
        own: Value::Null,
        source: table("us-east-1", "ACTIVE", json!([])),
        ..World::default()
    };
    assert_eq!(gone.clone().observe(Some(config())).await, Ok(None));
    assert_eq!(gone.observe(None).await, Ok(None));
    let nothing = World {
        own: Value::Null,
        source: Value::Null,
        ..World::default()
    };
    assert_eq!(nothing.observe(Some(config())).await, Ok(None));
}

#[tokio::test]
async fn each_status_of_the_replica_is_a_phase() {
    let with = |own: &str, status: &str| World {
        own: table("us-west-2", own, json!([replica("us-east-1", "ACTIVE")])),
        source: table("us-east-1", "ACTIVE", json!([replica("us-west-2", status)])),
        ..World::default()
    };
    for (own, status, expected) in [
        (
            "CREATING",
            "CREATING",
            Phase::Pending("Active (Creating)".into()),
        ),
        (
            "ACTIVE",
            "CREATING",
            Phase::Pending("Active (Creating)".into()),
        ),
        (
            "UPDATING",
            "ACTIVE",
            Phase::Pending("Active (Updating)".into()),
        ),
        ("DELETING", "DELETING", Phase::Deleting),
        ("ACTIVE", "DELETING", Phase::Deleting),
    ] {
        assert_eq!(
            with(own, status).seen().await.phase,
            expected,
            "{own} {status}"
        );
    }
    let failed = with("ACTIVE", "CREATION_FAILED").seen().await.phase;
    assert!(
        matches!(&failed, Phase::Failed(why) if why.contains("because")),
        "{failed:?}"
    );
    let disabled = with("ACTIVE", "REGION_DISABLED").seen().await.phase;
    assert!(matches!(disabled, Phase::WaitingForPerson(_)));
}

#[tokio::test]
async fn a_sick_source_does_not_hide_a_healthy_replica() {
    let world = World {
        source_is_down: true,
        ..World::default()
    };
    let seen = world.clone().seen().await;
    assert_eq!((seen.owner, seen.phase), (Owner::Ours, Phase::Ready));
    // Whether one is being made, or whose an untagged one is, only the source knows.
    let unknown = World {
        own: Value::Null,
        ..world.clone()
    };
    assert!(unknown.observe(Some(config())).await.is_err());
    let untagged = World {
        own_tags: json!([]),
        ..world
    };
    assert!(untagged.observe(Some(config())).await.is_err());
}

#[tokio::test]
async fn whose_a_replica_is() {
    let tags = |app: &str| {
        let mut key = owner();
        key.name = app.into();
        key.tags()
            .into_iter()
            .map(|(key, value)| json!({"Key": key, "Value": value}))
            .collect::<Value>()
    };
    let owner_of = async |own_tags: Value, source_tags: Value| {
        let world = World {
            own_tags,
            source_tags,
            ..World::default()
        };
        world.seen().await.owner
    };
    assert_eq!(owner_of(json!([]), our_tags()).await, Owner::Ours);
    assert_eq!(owner_of(json!([]), json!([])).await, Owner::Nobody);
    assert!(matches!(
        owner_of(json!([]), tags("blog")).await,
        Owner::Other(_)
    ));
    assert!(matches!(
        owner_of(tags("blog"), our_tags()).await,
        Owner::Other(_)
    ));
}

#[tokio::test]
async fn a_table_that_is_no_replica_is_not_ours_whatever_its_tags() {
    let alone = World {
        own: table("us-west-2", "ACTIVE", json!([])),
        source: table("us-east-1", "ACTIVE", json!([])),
        ..World::default()
    };
    let of_another_group = World {
        own: table(
            "us-west-2",
            "ACTIVE",
            json!([replica("eu-west-1", "ACTIVE")]),
        ),
        ..alone.clone()
    };
    for world in [alone.clone(), of_another_group] {
        let owner = world.seen().await.owner;
        assert!(
            matches!(&owner, Owner::Other(what) if what.contains("us-east-1")),
            "{owner:?}"
        );
    }
    let seen = alone
        .observe(None)
        .await
        .expect("it answers")
        .expect("a table");
    assert!(matches!(seen.owner, Owner::Other(_)));
}

#[tokio::test]
async fn making_and_removing_one_goes_through_the_source() {
    let being_made = World {
        own: Value::Null,
        source: table(
            "us-east-1",
            "UPDATING",
            json!([replica("us-west-2", "CREATING")]),
        ),
        ..World::default()
    };
    let (pass, asks) = being_made.pass(true);
    let seen = TableReplica::create(&pass, &id(), &config()).await;
    let seen = seen.expect("it is taken");
    let bare = Config {
        point_in_time_recovery: false,
        deletion_protection: false,
        tags: Tags::new(),
        ..config()
    };
    assert_eq!(seen.config, bare);
    assert_eq!(seen.phase, Phase::Pending("Active (Creating)".into()));
    assert_eq!(seen.outputs["arn"], ARN);

    let protected = Seen::ours(config(), ARN);
    let refused = TableReplica::delete(&pass, &id(), protected, DataPolicy::Delete).await;
    assert_eq!(
        refused.expect_err("it is protected").kind,
        FailureKind::DeletionProtected
    );
    let kept = TableReplica::delete(
        &pass,
        &id(),
        Seen::ours(bare.clone(), ARN),
        DataPolicy::Keep,
    )
    .await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))));
    let going = TableReplica::delete(&pass, &id(), Seen::ours(bare, ARN), DataPolicy::Delete).await;
    assert!(matches!(going, Ok(Deleted::Pending(_))));

    let asks = asks.lock().expect("no test panics with it");
    assert_eq!(asks.len(), 2);
    assert!(asks.iter().all(|asked| asked.host.contains("us-east-1")));
    assert!(
        asks[0]
            .body
            .contains(r#"{"Create":{"RegionName":"us-west-2"}}"#)
    );
    assert!(
        asks[1]
            .body
            .contains(r#"{"Delete":{"RegionName":"us-west-2"}}"#)
    );
}

#[tokio::test]
async fn its_own_settings_are_told_to_its_own_region() {
    let (pass, asks) = World::default().pass(true);
    let live = Config {
        point_in_time_recovery: false,
        deletion_protection: false,
        tags: Tags::new(),
        ..config()
    };
    let changed = ["point_in_time_recovery", "deletion_protection", "tags"];
    let changed = changed.map(str::to_owned).into();
    let live = Seen::ours(live, ARN);
    let seen = TableReplica::update(&pass, &id(), live, &config(), &changed).await;
    let seen = seen.expect("it is done");
    assert_eq!(seen.config, config());
    assert_eq!(seen.phase, Phase::Ready);
    let asks = asks.lock().expect("no test panics with it");
    assert!(asks.iter().all(|asked| asked.host.contains("us-west-2")));
    let targets: Vec<&str> = asks.iter().map(Asked::target).collect();
    assert_eq!(
        targets,
        ["TagResource", "UpdateContinuousBackups", "UpdateTable"]
    );
}
