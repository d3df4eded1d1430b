//! DynamoDB's rules.

use std::time::Duration;

use serde_json::{Value, json};
use strict_aws::{Config, Strict};

use crate::support::{Aws, Reply};

async fn call(aws: &Aws, region: &str, operation: &str, body: Value) -> Reply {
    aws.json(
        "dynamodb",
        region,
        &format!("DynamoDB_20120810.{operation}"),
        body,
    )
    .await
}

fn table(stream: bool) -> Value {
    let mut table = json!({
        "TableName": "visits",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
    });
    if stream {
        table["StreamSpecification"] =
            json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"});
    }
    table
}

fn update(change: Value) -> Value {
    let mut body = change;
    body["TableName"] = "visits".into();
    body
}

async fn describe(aws: &Aws, region: &str) -> Value {
    let described = call(aws, region, "DescribeTable", json!({"TableName": "visits"}))
        .await
        .ok();
    described.json()["Table"].clone()
}

/// States without an end, until [`settle`].
async fn slow() -> Aws {
    let mut config = Config {
        strict: Strict::none(),
        ..Config::strict()
    };
    config.strict.dynamodb_states = true;
    let aws = Aws::with(config).await;
    hold(&aws);
    aws
}

fn delays(aws: &Aws, delay: Duration) {
    aws.proxy.configure(|config| {
        config.delays.table_creating = delay;
        config.delays.table_updating = delay;
        config.delays.table_deleting = delay;
        config.delays.replica_changing = delay;
    });
}

fn hold(aws: &Aws) {
    delays(aws, Duration::from_secs(600));
}

fn settle(aws: &Aws) {
    delays(aws, Duration::ZERO);
}

#[tokio::test]
async fn a_table_is_being_created_then_updated_then_deleted() {
    let aws = slow().await;
    let region = "us-east-1";
    let made = call(&aws, region, "CreateTable", table(true))
        .await
        .ok()
        .json();
    assert_eq!(made["TableDescription"]["TableStatus"], "CREATING");
    assert_eq!(describe(&aws, region).await["TableStatus"], "CREATING");
    let protect = |on: bool| update(json!({"DeletionProtectionEnabled": on}));
    call(&aws, region, "UpdateTable", protect(true))
        .await
        .refused(400, "ResourceInUseException");
    call(&aws, region, "DeleteTable", update(json!({})))
        .await
        .refused(400, "ResourceInUseException");
    let recovery =
        update(json!({"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}}));
    let early = call(&aws, region, "UpdateContinuousBackups", recovery.clone()).await;
    early.refused(400, "ContinuousBackupsUnavailableException");
    let item = update(json!({"Item": {"PK": {"S": "a"}}}));
    call(&aws, region, "PutItem", item.clone())
        .await
        .refused(400, "ResourceNotFoundException");

    settle(&aws);
    assert_eq!(describe(&aws, region).await["TableStatus"], "ACTIVE");
    call(&aws, region, "PutItem", item).await.ok();
    call(&aws, region, "UpdateContinuousBackups", recovery)
        .await
        .ok();
    call(&aws, region, "UpdateTable", protect(false)).await.ok();
    aws.proxy
        .configure(|config| config.delays.table_updating = Duration::from_secs(600));
    assert_eq!(describe(&aws, region).await["TableStatus"], "UPDATING");
    call(&aws, region, "UpdateTable", protect(false))
        .await
        .refused(400, "ResourceInUseException");

    settle(&aws);
    call(&aws, region, "DeleteTable", update(json!({})))
        .await
        .ok();
    hold(&aws);
    assert_eq!(describe(&aws, region).await["TableStatus"], "DELETING");
    call(&aws, region, "CreateTable", table(true))
        .await
        .refused(400, "ResourceInUseException");
    settle(&aws);
    call(&aws, region, "DescribeTable", update(json!({})))
        .await
        .refused(400, "ResourceNotFoundException");
    call(&aws, region, "CreateTable", table(true)).await.ok();
}

#[tokio::test]
async fn a_replica_is_being_created_and_deleted_one_at_a_time() {
    let aws = slow().await;
    call(&aws, "us-east-1", "CreateTable", table(true))
        .await
        .ok();
    settle(&aws);
    let replica = |action: &str, region: &str| {
        let mut change = json!({"ReplicaUpdates": [{}]});
        change["ReplicaUpdates"][0][action] = json!({"RegionName": region});
        update(change)
    };
    call(
        &aws,
        "us-east-1",
        "UpdateTable",
        replica("Create", "us-west-2"),
    )
    .await
    .ok();
    hold(&aws);
    aws.proxy
        .configure(|config| config.delays.table_creating = Duration::ZERO);
    let source = describe(&aws, "us-east-1").await;
    assert_eq!(source["TableStatus"], "UPDATING");
    assert_eq!(
        source["Replicas"],
        json!([{"RegionName": "us-west-2", "ReplicaStatus": "CREATING"}])
    );
    assert_eq!(describe(&aws, "us-west-2").await["TableStatus"], "CREATING");
    for region in ["us-east-1", "us-west-2"] {
        let body = update(json!({"DeletionProtectionEnabled": true}));
        call(&aws, region, "UpdateTable", body)
            .await
            .refused(400, "ResourceInUseException");
    }
    let second = call(
        &aws,
        "us-east-1",
        "UpdateTable",
        replica("Create", "eu-west-1"),
    )
    .await;
    second.refused(400, "ResourceInUseException");
    settle(&aws);
    assert_eq!(
        describe(&aws, "us-east-1").await["Replicas"][0]["ReplicaStatus"],
        "ACTIVE"
    );
    assert_eq!(describe(&aws, "us-west-2").await["TableStatus"], "ACTIVE");

    // While the replica itself is being updated, it is not taken away: told by a new proxy, which has not seen the
    // source change.
    let aws = aws.restarted().await;
    call(
        &aws,
        "us-west-2",
        "UpdateTable",
        update(json!({"DeletionProtectionEnabled": false})),
    )
    .await
    .ok();
    hold(&aws);
    let busy = call(
        &aws,
        "us-east-1",
        "UpdateTable",
        replica("Delete", "us-west-2"),
    )
    .await;
    busy.refused(400, "ResourceInUseException")
        .says("us-west-2");
    settle(&aws);
    call(
        &aws,
        "us-east-1",
        "UpdateTable",
        replica("Delete", "us-west-2"),
    )
    .await
    .ok();
    hold(&aws);
    aws.proxy
        .configure(|config| config.delays.table_creating = Duration::ZERO);
    let source = describe(&aws, "us-east-1").await;
    assert_eq!(
        source["Replicas"],
        json!([{"RegionName": "us-west-2", "ReplicaStatus": "DELETING"}])
    );
    settle(&aws);
    assert!(
        describe(&aws, "us-east-1").await["Replicas"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
}

#[tokio::test]
async fn settings_are_checked() {
    let aws = Aws::only(|strict| strict.dynamodb_validation = true).await;
    let region = "us-east-1";
    call(&aws, region, "CreateTable", table(false)).await.ok();
    let create = update(json!({"ReplicaUpdates": [{"Create": {"RegionName": "us-west-2"}}]}));
    let streamless = call(&aws, region, "UpdateTable", create.clone()).await;
    streamless
        .refused(400, "ValidationException")
        .says("NEW_AND_OLD_IMAGES");
    let stream = |on: bool| {
        let specification = match on {
            true => json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"}),
            false => json!({"StreamEnabled": false}),
        };
        update(json!({"StreamSpecification": specification}))
    };
    call(&aws, region, "UpdateTable", stream(false))
        .await
        .refused(400, "ValidationException");
    call(&aws, region, "UpdateTable", stream(true)).await.ok();
    call(&aws, region, "UpdateTable", stream(true))
        .await
        .refused(400, "ValidationException");
    let two =
        json!([{"Create": {"RegionName": "us-west-2"}}, {"Create": {"RegionName": "eu-west-1"}}]);
    call(
        &aws,
        region,
        "UpdateTable",
        update(json!({"ReplicaUpdates": two})),
    )
    .await
    .refused(400, "ValidationException");
    call(&aws, region, "UpdateTable", create).await.ok();
    call(&aws, region, "UpdateTable", stream(false))
        .await
        .refused(400, "ValidationException");

    // Each region's table is protected by itself.
    call(
        &aws,
        "us-west-2",
        "UpdateTable",
        update(json!({"DeletionProtectionEnabled": true})),
    )
    .await
    .ok();
    let delete = update(json!({"ReplicaUpdates": [{"Delete": {"RegionName": "us-west-2"}}]}));
    let protected = call(&aws, region, "UpdateTable", delete.clone()).await;
    protected
        .refused(400, "ValidationException")
        .says("protected against deletion");
    call(&aws, "us-west-2", "DeleteTable", update(json!({})))
        .await
        .refused(400, "ValidationException");
    call(
        &aws,
        "us-west-2",
        "UpdateTable",
        update(json!({"DeletionProtectionEnabled": false})),
    )
    .await
    .ok();
    call(&aws, region, "UpdateTable", delete).await.ok();
}

#[tokio::test]
async fn time_to_live_is_not_set_again() {
    let aws = Aws::only(|strict| strict.dynamodb_validation = true).await;
    call(&aws, "us-east-1", "CreateTable", table(false))
        .await
        .ok();
    let set = async |enabled: bool, attribute: &str| {
        let specification = json!({"Enabled": enabled, "AttributeName": attribute});
        call(
            &aws,
            "us-east-1",
            "UpdateTimeToLive",
            update(json!({"TimeToLiveSpecification": specification})),
        )
        .await
    };
    set(false, "expires")
        .await
        .refused(400, "ValidationException")
        .says("already disabled");
    set(true, "expires").await.ok();
    set(true, "expires")
        .await
        .refused(400, "ValidationException")
        .says("already enabled");
    set(true, "other")
        .await
        .refused(400, "ValidationException")
        .says("different AttributeName");
    set(false, "expires").await.ok();
}

#[tokio::test]
async fn a_source_of_replicas_stays_for_a_day() {
    let aws = Aws::only(|strict| strict.dynamodb_validation = true).await;
    call(&aws, "us-east-1", "CreateTable", table(true))
        .await
        .ok();
    let replica = |action: &str| {
        let mut change = json!({"ReplicaUpdates": [{}]});
        change["ReplicaUpdates"][0][action] = json!({"RegionName": "us-west-2"});
        update(change)
    };
    call(&aws, "us-east-1", "UpdateTable", replica("Create"))
        .await
        .ok();
    call(&aws, "us-east-1", "UpdateTable", replica("Delete"))
        .await
        .ok();
    aws.proxy
        .configure(|config| config.delays.replica_seeded = Duration::from_secs(86_400));
    let early = call(&aws, "us-east-1", "DeleteTable", update(json!({}))).await;
    early
        .refused(400, "ValidationException")
        .says("in the last 24 hours");
    aws.proxy
        .configure(|config| config.delays.replica_seeded = Duration::ZERO);
    call(&aws, "us-east-1", "DeleteTable", update(json!({})))
        .await
        .ok();
}

#[tokio::test]
async fn tables_are_listed_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    for name in ["a-table", "b-table", "c-table"] {
        let mut body = table(false);
        body["TableName"] = name.into();
        call(&aws, "us-east-1", "CreateTable", body).await.ok();
    }
    let first = call(&aws, "us-east-1", "ListTables", json!({}))
        .await
        .ok()
        .json();
    assert_eq!(
        first,
        json!({"TableNames": ["a-table", "b-table"], "LastEvaluatedTableName": "b-table"})
    );
    let second = call(
        &aws,
        "us-east-1",
        "ListTables",
        json!({"ExclusiveStartTableName": "b-table"}),
    )
    .await
    .ok()
    .json();
    assert_eq!(second, json!({"TableNames": ["c-table"]}));
}

#[tokio::test]
async fn tags_are_listed_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    let mut body = table(false);
    body["Tags"] =
        json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}, {"Key": "c", "Value": "3"}]);
    let made = call(&aws, "us-east-1", "CreateTable", body)
        .await
        .ok()
        .json();
    let arn = &made["TableDescription"]["TableArn"];
    let first = call(
        &aws,
        "us-east-1",
        "ListTagsOfResource",
        json!({"ResourceArn": arn}),
    )
    .await
    .ok()
    .json();
    assert_eq!(
        first["Tags"],
        json!([{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    );
    let next = json!({"ResourceArn": arn, "NextToken": first["NextToken"]});
    let second = call(&aws, "us-east-1", "ListTagsOfResource", next)
        .await
        .ok()
        .json();
    assert_eq!(second, json!({"Tags": [{"Key": "c", "Value": "3"}]}));
}

#[tokio::test]
async fn an_item_is_shown_in_another_region_only_after_the_delay() {
    let aws = Aws::with(Config::transparent()).await;
    call(&aws, "us-east-1", "CreateTable", table(true))
        .await
        .ok();
    let replica = update(json!({"ReplicaUpdates": [{"Create": {"RegionName": "us-west-2"}}]}));
    call(&aws, "us-east-1", "UpdateTable", replica).await.ok();
    let put = |value: &str| json!({"TableName": "visits", "Item": {"PK": {"S": "a"}, "value": {"S": value}}});
    let shown = async |region: &str| {
        let get = json!({"TableName": "visits", "Key": {"PK": {"S": "a"}}});
        let answer = call(&aws, region, "GetItem", get).await.ok();
        answer.json()["Item"]["value"]["S"].clone()
    };
    call(&aws, "us-east-1", "PutItem", put("first")).await.ok();
    assert_eq!(shown("us-west-2").await, "first");
    let delay = |delay| {
        aws.proxy
            .configure(|config| config.delays.replication = delay);
    };
    delay(Duration::from_secs(600));
    assert_eq!(shown("us-west-2").await, Value::Null);
    delay(Duration::ZERO);
    assert_eq!(shown("us-west-2").await, "first");
    delay(Duration::from_millis(1));
    assert_eq!(shown("us-west-2").await, "first");
    call(&aws, "us-east-1", "PutItem", put("second")).await.ok();
    assert_eq!(shown("us-east-1").await, "second");
}
