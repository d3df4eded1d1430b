use serde_json::{Value, json};

use super::*;
use crate::model::Owner;
use crate::resources::testing::{Answer, Asked, Asks, owner, pass_answering, recording};

const ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/shop-visits";

fn id() -> ResourceId {
    ResourceId::new("dynamodb_table", "us-east-1", "shop-visits")
}

fn config() -> Config {
    let attribute = |name: &str, kind: &str| KeyAttribute {
        name: name.into(),
        kind: kind.into(),
    };
    Config {
        partition_key: attribute("PK", "S"),
        sort_key: Some(attribute("SK", "N")),
        billing_mode: "PAY_PER_REQUEST".into(),
        stream_view_type: "NEW_AND_OLD_IMAGES".into(),
        time_to_live_attribute: Some("expires".into()),
        point_in_time_recovery: true,
        deletion_protection: true,
        tags: owner().tags(),
    }
}

/// A description as AWS gives it, lists in an order of its own.
fn description(status: &str) -> Value {
    json!({
        "TableName": "shop-visits", "TableArn": ARN, "TableId": "t", "TableStatus": status,
        "AttributeDefinitions": [
            {"AttributeName": "SK", "AttributeType": "N"},
            {"AttributeName": "GSI1", "AttributeType": "S"},
            {"AttributeName": "PK", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "SK", "KeyType": "RANGE"},
            {"AttributeName": "PK", "KeyType": "HASH"},
        ],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": 1.7e9},
        "ProvisionedThroughput": {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        "LatestStreamArn": format!("{ARN}/stream/2026-01-01"), "LatestStreamLabel": "2026-01-01",
        "GlobalSecondaryIndexes": [{"IndexName": "GSI1", "IndexStatus": "ACTIVE"}],
        "DeletionProtectionEnabled": true, "ItemCount": 3, "TableSizeBytes": 9,
        "GlobalTableVersion": "2019.11.21",
        "Replicas": [{"RegionName": "us-west-2", "ReplicaStatus": "ACTIVE"}],
        "WarmThroughput": {"Status": "ACTIVE"},
    })
}

fn answer(asked: &Asked, table: Value, time_to_live: Value) -> Answer {
    let body = match asked.target() {
        "DescribeTable" => json!({"Table": table}),
        "UpdateTable" | "CreateTable" | "DeleteTable" => json!({"TableDescription": table}),
        "DescribeContinuousBackups" => json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": {
                "PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": 35,
                "EarliestRestorableDateTime": 1.7e9,
            },
        }}),
        "DescribeTimeToLive" => json!({"TimeToLiveDescription": time_to_live}),
        "ListTagsOfResource" => {
            let tags: Vec<Value> = owner()
                .tags()
                .into_iter()
                .map(|(key, value)| json!({"Key": key, "Value": value}))
                .collect();
            if asked.body.contains("NextToken") {
                json!({"Tags": tags[2..]})
            } else {
                json!({"Tags": tags[..2], "NextToken": "more"})
            }
        }
        _ => json!({}),
    };
    Answer::new(200, body.to_string())
}

fn enabled() -> Value {
    json!({"AttributeName": "expires", "TimeToLiveStatus": "ENABLED"})
}

async fn observe(pass: &Pass, wanted: Option<Config>) -> Seen<Config> {
    let hint = Hint {
        known_id: None,
        wanted,
    };
    let seen = Table::observe(pass, &id(), hint).await;
    seen.expect("it answers").expect("a table")
}

fn targets(asks: &Asks) -> Vec<String> {
    let asks = asks.lock().expect("no test panics with it");
    asks.iter().map(|asked| asked.target().to_owned()).collect()
}

#[tokio::test]
async fn what_aws_adds_and_reorders_is_no_difference() {
    let pass = pass_answering(|asked| answer(asked, description("ACTIVE"), enabled()));
    let seen = observe(&pass, Some(config())).await;
    assert_eq!(seen.config, config());
    assert_eq!((seen.owner, seen.phase), (Owner::Ours, Phase::Ready));
    assert_eq!(seen.outputs["arn"], ARN);
    assert_eq!(
        seen.outputs["stream_arn"],
        format!("{ARN}/stream/2026-01-01")
    );
}

#[tokio::test]
async fn a_table_never_told_has_defaults() {
    let pass = pass_answering(|asked| {
        let mut table = description("ACTIVE");
        for key in [
            "BillingModeSummary",
            "DeletionProtectionEnabled",
            "StreamSpecification",
        ] {
            table.as_object_mut().expect("an object").remove(key);
        }
        answer(asked, table, json!({"TimeToLiveStatus": "DISABLED"}))
    });
    let seen = observe(&pass, Some(config())).await;
    assert_eq!(seen.config.billing_mode, "PROVISIONED");
    assert_eq!(seen.config.stream_view_type, "");
    assert_eq!(seen.config.time_to_live_attribute, None);
    assert!(!seen.config.deletion_protection);
    // The last stream's ARN stays after the stream.
    assert!(!seen.outputs.contains_key("stream_arn"));
}

#[tokio::test]
async fn each_status_is_a_phase_and_what_cannot_be_read_yet_is_not_asked() {
    for (status, expected, calls) in [
        ("ACTIVE", Phase::Ready, 5),
        ("CREATING", Phase::Pending("Active (Creating)".into()), 3),
        ("UPDATING", Phase::Pending("Active (Updating)".into()), 5),
        ("DELETING", Phase::Deleting, 3),
    ] {
        let (pass, asks) = recording(true, move |asked| {
            answer(asked, description(status), enabled())
        });
        assert_eq!(observe(&pass, Some(config())).await.phase, expected);
        assert_eq!(
            targets(&asks).len(),
            calls,
            "{status}: {:?}",
            targets(&asks)
        );
    }
    let pass = pass_answering(|asked| {
        answer(
            asked,
            description("INACCESSIBLE_ENCRYPTION_CREDENTIALS"),
            enabled(),
        )
    });
    let phase = observe(&pass, Some(config())).await.phase;
    assert!(matches!(phase, Phase::WaitingForPerson(_)));
}

#[tokio::test]
async fn only_what_matters_is_read() {
    let pass = |every_facet| {
        recording(every_facet, |asked| {
            answer(asked, description("ACTIVE"), enabled())
        })
    };
    let (quick, asks) = pass(false);
    let seen = observe(&quick, Some(config())).await;
    assert_eq!(targets(&asks), ["DescribeTable"]);
    assert_eq!(seen.unread, BTreeSet::from(SLOW));
    let (complete, asks) = pass(true);
    let mut wanted = config();
    wanted.time_to_live_attribute = None;
    assert!(observe(&complete, Some(wanted)).await.unread.is_empty());
    assert!(!targets(&asks).contains(&"DescribeTimeToLive".to_owned()));
    // Without a wish nothing is left out.
    let (complete, asks) = pass(true);
    observe(&complete, None).await;
    assert!(targets(&asks).contains(&"DescribeTimeToLive".to_owned()));
}

#[tokio::test]
async fn a_new_table_has_neither_recovery_nor_expiry_yet() {
    let (pass, asks) = recording(true, |asked| {
        answer(asked, description("CREATING"), enabled())
    });
    let seen = Table::create(&pass, &id(), &config()).await;
    let seen = seen.expect("it is made");
    let expected = Config {
        time_to_live_attribute: None,
        point_in_time_recovery: false,
        ..config()
    };
    assert_eq!(seen.config, expected);
    assert_eq!(seen.phase, Phase::Pending("Active (Creating)".into()));
    assert_eq!(targets(&asks), ["CreateTable"]);
}

async fn update(
    pass: &Pass,
    live: Config,
    desired: &Config,
    changed: &[&str],
) -> Result<Seen<Config>, Failure> {
    let live = Seen::ours(live, ARN);
    let changed = changed.iter().map(|&field| field.to_owned()).collect();
    Table::update(pass, &id(), live, desired, &changed).await
}

#[tokio::test]
async fn while_aws_is_busy_with_one_change_the_next_waits() {
    let (pass, asks) = recording(true, |asked| {
        answer(asked, description("UPDATING"), enabled())
    });
    let live = Config {
        deletion_protection: false,
        point_in_time_recovery: false,
        billing_mode: "PROVISIONED".into(),
        ..config()
    };
    let changed = [
        "deletion_protection",
        "point_in_time_recovery",
        "billing_mode",
    ];
    let seen = update(&pass, live.clone(), &config(), &changed).await;
    let seen = seen.expect("the first is taken");
    let expected = Config {
        deletion_protection: true,
        ..live
    };
    assert_eq!(seen.config, expected);
    assert_eq!(seen.phase, Phase::Pending("Active (Updating)".into()));
    assert_eq!(targets(&asks), ["UpdateTable"]);
}

#[tokio::test]
async fn expiry_is_set_only_where_it_is_not_and_goes_step_by_step() {
    let case = async |status: &str, attribute: &str| {
        let expiry = json!({"AttributeName": attribute, "TimeToLiveStatus": status});
        let (pass, asks) = recording(true, move |asked| {
            answer(asked, description("ACTIVE"), expiry.clone())
        });
        let result = update(&pass, config(), &config(), &["time_to_live_attribute"]).await;
        let writes: Vec<String> = asks
            .lock()
            .expect("no test panics with it")
            .iter()
            .filter(|asked| asked.target() == "UpdateTimeToLive")
            .map(|asked| asked.body.clone())
            .collect();
        (
            result.map(|seen| seen.config.time_to_live_attribute),
            writes,
        )
    };
    let expires = || Ok(Some("expires".to_owned()));
    assert_eq!(case("ENABLED", "expires").await, (expires(), vec![]));
    assert_eq!(case("ENABLING", "expires").await, (expires(), vec![]));
    let (set, writes) = case("DISABLED", "").await;
    assert_eq!(set, expires());
    assert!(
        writes[0].contains(r#""Enabled":true,"AttributeName":"expires""#),
        "{writes:?}"
    );
    let (off, writes) = case("ENABLED", "until").await;
    assert_eq!(off, Ok(None));
    assert!(
        writes[0].contains(r#""Enabled":false,"AttributeName":"until""#),
        "{writes:?}"
    );
    for status in ["DISABLING", "ENABLING"] {
        let (refused, writes) = case(status, "until").await;
        assert_eq!(refused.expect_err("not now").kind, FailureKind::NotYet);
        assert!(writes.is_empty());
    }
}

#[tokio::test]
async fn what_would_cost_the_user_something_is_left_to_them() {
    let (pass, asks) = recording(true, |asked| {
        answer(asked, description("ACTIVE"), enabled())
    });
    let keys_only = Config {
        stream_view_type: "KEYS_ONLY".into(),
        ..config()
    };
    for field in ["stream_view_type", "partition_key", "sort_key"] {
        let failure = update(&pass, keys_only.clone(), &config(), &[field]).await;
        let failure = failure.expect_err("it is not done");
        assert_eq!(failure.kind, FailureKind::Invalid, "{field}");
        assert!(failure.message.contains("shop-visits"));
    }
    let protected = Seen::ours(config(), ARN);
    let failure = Table::delete(&pass, &id(), protected, DataPolicy::Delete).await;
    assert_eq!(
        failure.expect_err("it is protected").kind,
        FailureKind::DeletionProtected
    );
    let kept = Table::delete(&pass, &id(), Seen::ours(config(), ARN), DataPolicy::Keep).await;
    assert!(matches!(kept, Ok(Deleted::Retained(_))));
    assert!(targets(&asks).is_empty());
}

#[tokio::test]
async fn a_source_of_a_fresh_replica_goes_later() {
    const WORDS: &str = "Replica cannot be deleted because it has acted as a source region for new replica(s) being added \
        to the table in the last 24 hours.";
    let pass = pass_answering(|_| Answer::json_error("ValidationException", WORDS));
    let live = Config {
        deletion_protection: false,
        ..config()
    };
    let failure = Table::delete(&pass, &id(), Seen::ours(live, ARN), DataPolicy::Delete).await;
    let failure = failure.expect_err("not today");
    assert_eq!(failure.kind, FailureKind::NotYet);
    assert_eq!(failure.message, WORDS);
}
