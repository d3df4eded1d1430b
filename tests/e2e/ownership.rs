//! What is there before the app, under the names it will have.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strict_aws::Config;

use crate::world::{World, condition, minimal};

const TIMEOUT: Duration = Duration::from_secs(60);
const ROLE: &str = "shop-lambda-role";
const TABLE: &str = "shop-visits";
const LOG_GROUP: &str = "/aws/lambda/shop-primary";
const FUNCTION: &str = "shop-primary";

/// Nothing of it is touched until the app says that it may be; then all of it is the app's, with what is in it.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_owns_is_left_alone_until_the_app_may_adopt_it() -> Result<()> {
    let world = World::new("adopt", Config::transparent()).await?;
    make_by_hand(&world, &[]).await?;
    let before = as_it_is(&world).await?;

    world.apply("shop", &minimal()).await?;
    let app = stalled(&world, "NotOwned").await?;
    ensure!(
        condition(&app, "Ready")
            .2
            .contains("adoptionPolicy: IfUnowned"),
        "{}",
        condition(&app, "Ready").2
    );
    // Every pass comes to the same, also those that do not read tags.
    for number in 0..3 {
        let app = nudge(&world, number).await?;
        ensure!(
            condition(&app, "Ready").1 == "NotOwned",
            "{:?}",
            condition(&app, "Ready")
        );
    }
    ensure!(as_it_is(&world).await? == before);

    let mut spec = minimal();
    spec["adoptionPolicy"] = json!("IfUnowned");
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    for (what, tags) in tags(&world).await? {
        let owner = json!(world.namespace);
        ensure!(
            tags["multiregion.dev/namespace"] == owner && tags["multiregion.dev/name"] == "shop",
            "{what}: {tags}"
        );
        ensure!(
            tags["team"] == "before",
            "{what} lost another's tag: {tags}"
        );
    }
    let item = json!({"TableName": TABLE, "Key": key()});
    for region in ["us-east-1", "us-west-2"] {
        let found = world
            .aws_itself()
            .call("dynamodb", "GetItem", region, &item)
            .await?;
        ensure!(
            found["Item"]["count"] == json!({"N": "41"}),
            "{region}: {found}"
        );
    }
    let object = json!({"Bucket": bucket(&world), "Key": "_nuxt/app.js"});
    let object = world
        .aws_itself()
        .call("s3", "GetObject", "us-east-1", &object)
        .await?;
    ensure!(object["Body"] == "export {}", "{object}");
    world.assert_nothing_twice().await?;
    world.assert_quiet("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_owns_is_never_adopted() -> Result<()> {
    let world = World::new("others", Config::transparent()).await?;
    let other = [
        ("multiregion.dev/cluster", "another-cluster"),
        ("multiregion.dev/namespace", "elsewhere"),
        ("multiregion.dev/name", "shop"),
    ];
    make_by_hand(&world, &other).await?;
    let before = as_it_is(&world).await?;
    let mut spec = minimal();
    spec["adoptionPolicy"] = json!("IfUnowned");
    world.apply("shop", &spec).await?;
    let app = stalled(&world, "OwnedByAnother").await?;
    ensure!(
        condition(&app, "Ready").2.contains("elsewhere/shop"),
        "{}",
        condition(&app, "Ready").2
    );
    for number in 0..3 {
        let app = nudge(&world, number).await?;
        ensure!(
            condition(&app, "Ready").1 == "OwnedByAnother",
            "{:?}",
            condition(&app, "Ready")
        );
    }
    ensure!(as_it_is(&world).await? == before);
    world.assert_quiet("shop").await?;

    // Nor does a deletion take it away, whatever it may take of the app's own.
    spec["deletionPolicy"] = json!("Delete");
    spec["tables"][0]["deletionProtection"] = json!("Disabled");
    world.apply("shop", &spec).await?;
    world.delete("shop").await?;
    world.until_gone("shop", TIMEOUT).await?;
    ensure!(as_it_is(&world).await? == before);
    Ok(())
}

async fn stalled(world: &World, reason: &str) -> Result<Value> {
    world
        .until(reason, "shop", TIMEOUT, |app| {
            condition(app, "Stalled").0 == "True" && condition(app, "Ready").1 == reason
        })
        .await
}

/// Causes a pass that is not asked to read everything; some time after it, the app.
async fn nudge(world: &World, number: u32) -> Result<Value> {
    world
        .annotate_and_pass("shop", &format!("example.com/nudge={number}"))
        .await?;
    world.get("shop").await
}

fn bucket(world: &World) -> String {
    format!("shop-static-{}", world.account)
}

fn key() -> Value {
    json!({"PK": {"S": "GLOBAL"}, "SK": {"S": "COUNTER"}})
}

/// A role, a bucket with an object, a table with an item and without a stream, a log group, a function.
async fn make_by_hand(world: &World, owner: &[(&str, &str)]) -> Result<()> {
    let aws = world.aws_itself();
    let tags: Vec<(&str, &str)> = std::iter::once(("team", "before"))
        .chain(owner.iter().copied())
        .collect();
    let listed: Value = tags
        .iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    let map: Value = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole",
    }]});
    // The shortest zip there is: an empty one.
    let zip = format!("PK\u{5}\u{6}{}", "\0".repeat(18));
    let role = format!("arn:aws:iam::{}:role/{ROLE}", world.account);
    for (service, operation, parameters) in [
        (
            "iam",
            "CreateRole",
            json!({"RoleName": ROLE, "AssumeRolePolicyDocument": trust.to_string(), "Tags": listed}),
        ),
        ("s3", "CreateBucket", json!({"Bucket": bucket(world)})),
        (
            "s3",
            "PutBucketTagging",
            json!({"Bucket": bucket(world), "Tagging": {"TagSet": listed}}),
        ),
        (
            "s3",
            "PutObject",
            json!({"Bucket": bucket(world), "Key": "_nuxt/app.js", "Body": "export {}"}),
        ),
        (
            "dynamodb",
            "CreateTable",
            json!({
                "TableName": TABLE, "BillingMode": "PAY_PER_REQUEST", "Tags": listed,
                "AttributeDefinitions": [
                    {"AttributeName": "PK", "AttributeType": "S"}, {"AttributeName": "SK", "AttributeType": "S"},
                ],
                "KeySchema": [
                    {"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"},
                ],
            }),
        ),
        ("dynamodb", "PutItem", {
            let mut item = key();
            item["count"] = json!({"N": "41"});
            json!({"TableName": TABLE, "Item": item})
        }),
        (
            "logs",
            "CreateLogGroup",
            json!({"logGroupName": LOG_GROUP, "tags": map}),
        ),
        (
            "lambda",
            "CreateFunction",
            json!({
                "FunctionName": FUNCTION, "Runtime": "nodejs24.x", "Role": role, "Handler": "index.handler",
                "Code": {"ZipFile": zip}, "Tags": map,
            }),
        ),
    ] {
        aws.call(service, operation, "us-east-1", &parameters)
            .await?;
    }
    Ok(())
}

/// All that can be seen of what was made by hand, parts included that the app would add.
async fn as_it_is(world: &World) -> Result<Vec<String>> {
    let mut seen = Vec::new();
    for (service, operation, parameters) in [
        ("iam", "GetRole", json!({"RoleName": ROLE})),
        ("iam", "ListRolePolicies", json!({"RoleName": ROLE})),
        (
            "s3",
            "ListObjectVersions",
            json!({"Bucket": bucket(world), "Prefix": "_nuxt/"}),
        ),
        (
            "s3",
            "GetBucketVersioning",
            json!({"Bucket": bucket(world)}),
        ),
        ("s3", "GetBucketPolicy", json!({"Bucket": bucket(world)})),
        ("dynamodb", "DescribeTable", json!({"TableName": TABLE})),
        (
            "dynamodb",
            "GetItem",
            json!({"TableName": TABLE, "Key": key()}),
        ),
        (
            "dynamodb",
            "DescribeContinuousBackups",
            json!({"TableName": TABLE}),
        ),
        (
            "logs",
            "DescribeLogGroups",
            json!({"logGroupNamePrefix": LOG_GROUP}),
        ),
        (
            "lambda",
            "GetFunctionConfiguration",
            json!({"FunctionName": FUNCTION}),
        ),
        (
            "lambda",
            "GetFunctionUrlConfig",
            json!({"FunctionName": FUNCTION}),
        ),
        ("lambda", "GetPolicy", json!({"FunctionName": FUNCTION})),
    ] {
        let answer = world
            .aws_itself()
            .call(service, operation, "us-east-1", &parameters)
            .await;
        // That something is not there is a fact too.
        seen.push(match answer {
            Ok(answer) => format!("{operation}: {answer}"),
            Err(error) => format!("{operation}: {error:#}"),
        });
    }
    for (what, tags) in tags(world).await? {
        seen.push(format!("{what}: {tags}"));
    }
    Ok(seen)
}

/// The tags of each, as one object.
async fn tags(world: &World) -> Result<Vec<(&'static str, Value)>> {
    let aws = world.aws_itself();
    let arn =
        |service: &str, name: &str| format!("arn:aws:{service}:us-east-1:{}:{name}", world.account);
    let table = arn("dynamodb", &format!("table/{TABLE}"));
    let function = arn("lambda", &format!("function:{FUNCTION}"));
    let group = arn("logs", &format!("log-group:{LOG_GROUP}"));
    let mut all = Vec::new();
    for (what, service, operation, parameters, list) in [
        (
            "the role",
            "iam",
            "ListRoleTags",
            json!({"RoleName": ROLE}),
            "Tags",
        ),
        (
            "the bucket",
            "s3",
            "GetBucketTagging",
            json!({"Bucket": bucket(world)}),
            "TagSet",
        ),
        (
            "the table",
            "dynamodb",
            "ListTagsOfResource",
            json!({"ResourceArn": table}),
            "Tags",
        ),
        (
            "the function",
            "lambda",
            "ListTags",
            json!({"Resource": function}),
            "Tags",
        ),
        (
            "the log group",
            "logs",
            "ListTagsForResource",
            json!({"resourceArn": group}),
            "tags",
        ),
    ] {
        let answer = aws
            .call(service, operation, "us-east-1", &parameters)
            .await?;
        let tags = match &answer[list] {
            Value::Array(pairs) => pairs
                .iter()
                .filter_map(|pair| Some((pair["Key"].as_str()?.to_owned(), pair["Value"].clone())))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            map => map.clone(),
        };
        all.push((what, tags));
    }
    Ok(all)
}
