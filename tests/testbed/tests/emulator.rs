//! The local AWS can be emptied, made to hang, and taken down without losing what it holds.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Aws, Emulator, EmulatorOptions};

const ACCOUNT: &str = "111122223333";
const EAST: &str = "us-east-1";

async fn start() -> (Emulator, Aws) {
    let emulator = Emulator::start(EmulatorOptions::default())
        .await
        .expect("an emulator");
    let aws = Aws::emulated(&emulator.url(), ACCOUNT);
    (emulator, aws)
}

async fn bucket_names(aws: &Aws) -> Vec<Value> {
    let answer = aws
        .call("s3", "ListBuckets", EAST, &json!({}))
        .await
        .expect("ListBuckets");
    answer["Buckets"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|bucket| bucket["Name"].clone())
        .collect()
}

#[tokio::test]
async fn an_account_is_its_access_key_and_reset_empties_all() {
    let (emulator, aws) = start().await;
    let identity = aws
        .call("sts", "GetCallerIdentity", EAST, &json!({}))
        .await
        .expect("GetCallerIdentity");
    assert_eq!(identity["Account"], ACCOUNT);
    aws.call("s3", "CreateBucket", EAST, &json!({"Bucket": "pond"}))
        .await
        .expect("CreateBucket");
    assert_eq!(bucket_names(&aws).await, ["pond"]);
    assert!(
        bucket_names(&Aws::emulated(&emulator.url(), "444455556666"))
            .await
            .is_empty(),
        "another account"
    );

    emulator.reset().await.expect("reset");
    assert!(bucket_names(&aws).await.is_empty());
    let missing = aws
        .call("s3", "HeadBucket", EAST, &json!({"Bucket": "pond"}))
        .await
        .expect_err("it is gone");
    assert!(missing.to_string().contains("404"), "{missing}");
}

#[tokio::test]
async fn paused_it_hangs_and_resumed_it_answers() {
    let (emulator, aws) = start().await;
    emulator.pause().await.expect("pause");
    let nothing = json!({});
    let call = aws.call("s3", "ListBuckets", EAST, &nothing);
    tokio::time::timeout(Duration::from_secs(2), call)
        .await
        .expect_err("it hangs");
    emulator.resume().await.expect("resume");
    assert!(bucket_names(&aws).await.is_empty());
}

#[tokio::test]
async fn taken_down_it_keeps_what_it_holds() {
    let (emulator, aws) = start().await;
    let object = json!({"Bucket": "pond", "Key": "ducks", "Body": "three"});
    aws.call("s3", "CreateBucket", EAST, &json!({"Bucket": "pond"}))
        .await
        .expect("CreateBucket");
    aws.call("s3", "PutObject", EAST, &object)
        .await
        .expect("PutObject");
    let table = json!({
        "TableName": "visits", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
    });
    aws.call("dynamodb", "CreateTable", "us-west-2", &table)
        .await
        .expect("CreateTable");

    emulator.stop().await.expect("stop");
    let down = aws
        .call("s3", "ListBuckets", EAST, &json!({}))
        .await
        .expect_err("it is down");
    assert!(
        down.to_string().contains("EndpointConnectionError"),
        "{down}"
    );

    emulator.start_again().await.expect("start again");
    let read = aws
        .call(
            "s3",
            "GetObject",
            EAST,
            &json!({"Bucket": "pond", "Key": "ducks"}),
        )
        .await
        .expect("GetObject");
    assert_eq!(read["Body"], "three");
    let tables = aws
        .call("dynamodb", "ListTables", "us-west-2", &json!({}))
        .await
        .expect("ListTables");
    assert_eq!(tables["TableNames"], json!(["visits"]));
}

#[tokio::test]
async fn with_auth_a_wrong_secret_is_refused() {
    let options = EmulatorOptions {
        auth: true,
        ..EmulatorOptions::default()
    };
    let emulator = Emulator::start(options).await.expect("an emulator");
    let root = Aws::emulated(&emulator.url(), ACCOUNT);
    root.call("s3", "ListBuckets", EAST, &json!({}))
        .await
        .expect("the root user");
    let stranger = Aws::emulated(&emulator.url(), "AKIAIOSFODNN7EXAMPLE");
    stranger
        .call("s3", "ListBuckets", EAST, &json!({}))
        .await
        .expect_err("an unknown key");
}
