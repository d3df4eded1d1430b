//! Lambda's rules.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use strict_aws::{Config, Strict};

use crate::support::{Aws, Reply, encode, trust};

const FUNCTIONS: &str = "/2015-03-31/functions";

fn function(aws: &Aws, name: &str) -> Value {
    json!({
        "FunctionName": name,
        "Runtime": "nodejs24.x",
        "Handler": "index.handler",
        "Role": format!("arn:aws:iam::{}:role/r", aws.account),
        "Code": {"ZipFile": encode_base64(&zip())},
    })
}

/// A zip archive with one empty file, stored.
fn zip() -> Vec<u8> {
    let name = b"index.js";
    let mut archive = Vec::new();
    let header = [
        20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0,
    ];
    archive.write_all(b"PK\x03\x04").unwrap();
    archive.write_all(&header).unwrap();
    archive.write_all(name).unwrap();
    let directory = archive.len() as u32;
    archive.write_all(b"PK\x01\x02\x14\x00").unwrap();
    archive.write_all(&header).unwrap();
    archive.write_all(&[0; 14]).unwrap();
    archive.write_all(name).unwrap();
    let size = archive.len() as u32 - directory;
    archive
        .write_all(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00")
        .unwrap();
    archive.write_all(&size.to_le_bytes()).unwrap();
    archive.write_all(&directory.to_le_bytes()).unwrap();
    archive.write_all(&[0, 0]).unwrap();
    archive
}

fn encode_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        let letters =
            (0..4).map(|index| char::from(ALPHABET[(word >> (18 - 6 * index)) as usize & 63]));
        letters
            .enumerate()
            .map(|(index, letter)| if index > chunk.len() { '=' } else { letter })
            .collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

async fn create(aws: &Aws, body: Value) -> Reply {
    aws.lambda("us-east-1", "POST", FUNCTIONS, body).await
}

async fn role(aws: &Aws, service: &str) -> Reply {
    aws.iam(&format!(
        "CreateRole&RoleName=r&AssumeRolePolicyDocument={}",
        encode(&trust(service))
    ))
    .await
    .ok()
}

#[tokio::test]
async fn a_function_is_pending_and_every_update_takes_a_while() {
    let mut config = Config {
        strict: Strict::none(),
        ..Config::strict()
    };
    config.strict.lambda_states = true;
    config.delays.function_pending = Duration::from_secs(600);
    config.delays.function_updating = Duration::from_secs(600);
    let aws = Aws::with(config).await;
    let settle = || {
        aws.proxy.configure(|config| {
            config.delays.function_pending = Duration::ZERO;
            config.delays.function_updating = Duration::ZERO;
        });
    };
    let made = create(&aws, function(&aws, "f")).await.ok().json();
    assert_eq!(
        (&made["State"], &made["LastUpdateStatus"]),
        (&json!("Pending"), &json!("InProgress"))
    );
    let path = format!("{FUNCTIONS}/f");
    let read = aws
        .lambda("us-east-1", "GET", &path, Value::Null)
        .await
        .ok()
        .json();
    assert_eq!(read["Configuration"]["State"], "Pending");

    let configure = async |memory: u32| {
        let body = json!({"MemorySize": memory});
        aws.lambda("us-east-1", "PUT", &format!("{path}/configuration"), body)
            .await
    };
    let url = "/2021-10-31/functions/f/url";
    configure(256)
        .await
        .refused(409, "ResourceConflictException")
        .says("state: Pending");
    let early = aws
        .lambda("us-east-1", "POST", url, json!({"AuthType": "AWS_IAM"}))
        .await;
    early.refused(409, "ResourceConflictException");
    let invoked = aws
        .lambda(
            "us-east-1",
            "POST",
            &format!("{path}/invocations"),
            json!({}),
        )
        .await;
    invoked.refused(409, "ResourceConflictException");
    settle();
    let updated = configure(256).await.ok().json();
    aws.proxy
        .configure(|config| config.delays.function_updating = Duration::from_secs(600));
    assert_eq!(updated["MemorySize"], 256);
    let read = aws
        .lambda(
            "us-east-1",
            "GET",
            &format!("{path}/configuration"),
            Value::Null,
        )
        .await
        .ok()
        .json();
    assert_eq!(read["LastUpdateStatus"], "InProgress");
    configure(512)
        .await
        .refused(409, "ResourceConflictException")
        .says("An update is in progress for resource");
    // Elsewhere, a function of the same name is another one.
    aws.lambda(
        "us-west-2",
        "PUT",
        &format!("{path}/configuration"),
        json!({"MemorySize": 512}),
    )
    .await
    .refused(404, "ResourceNotFoundException");
    settle();
    configure(512).await.ok();
}

#[tokio::test]
async fn a_role_must_exist_trust_lambda_and_not_be_new() {
    let mut config = Config {
        strict: Strict::none(),
        ..Config::strict()
    };
    config.strict.lambda_roles = true;
    config.delays.role_not_assumable = Duration::from_secs(600);
    let aws = Aws::with(config).await;
    let refused = async || {
        let answer = create(&aws, function(&aws, "f")).await;
        let answer = answer.refused(400, "InvalidParameterValueException");
        answer.says("The role defined for the function cannot be assumed by Lambda.");
    };
    refused().await;
    role(&aws, "ec2.amazonaws.com").await;
    refused().await;
    let trust = encode(&trust("lambda.amazonaws.com"));
    aws.iam(&format!(
        "UpdateAssumeRolePolicy&RoleName=r&PolicyDocument={trust}"
    ))
    .await
    .ok();
    refused().await;
    aws.proxy
        .configure(|config| config.delays.role_not_assumable = Duration::ZERO);
    create(&aws, function(&aws, "f")).await.ok();
}

#[tokio::test]
async fn code_is_an_object_in_a_bucket_of_the_region() {
    let aws = Aws::only(|strict| strict.lambda_code = true).await;
    let here = aws.bucket("us-east-1", "code").await;
    let there = aws.bucket("us-west-2", "code-west").await;
    aws.s3("us-west-2", "PUT", &format!("/{there}/function.zip"), "zip")
        .await
        .ok();
    let from = |bucket: &str, key: &str| {
        let mut body = function(&aws, "f");
        body["Code"] = json!({"S3Bucket": bucket, "S3Key": key});
        body
    };
    let refused = async |bucket: &str, key: &str, code: &str| {
        let answer = create(&aws, from(bucket, key)).await;
        answer
            .refused(400, "InvalidParameterValueException")
            .says(code);
    };
    refused("no-such-bucket-anywhere", "function.zip", "NoSuchBucket").await;
    refused(&here, "function.zip", "NoSuchKey").await;
    refused(&there, "function.zip", "PermanentRedirect").await;
    create(&aws, function(&aws, "f")).await.ok();
    let path = format!("{FUNCTIONS}/f/code");
    let update = aws
        .lambda(
            "us-east-1",
            "PUT",
            &path,
            json!({"S3Bucket": here, "S3Key": "a b/none.zip"}),
        )
        .await;
    update
        .refused(400, "InvalidParameterValueException")
        .says("NoSuchKey");
}

#[tokio::test]
async fn runtimes_are_ones_that_lambda_has() {
    let aws = Aws::only(|strict| strict.lambda_code = true).await;
    for (runtime, message) in [
        ("nodejs99.x", "enum value set"),
        ("nodejs14.x", "no longer supported"),
    ] {
        let mut body = function(&aws, "f");
        body["Runtime"] = runtime.into();
        create(&aws, body)
            .await
            .refused(400, "InvalidParameterValueException")
            .says(message);
    }
    create(&aws, function(&aws, "f")).await.ok();
}

#[tokio::test]
async fn a_policy_without_statements_is_none() {
    let aws = Aws::only(|strict| strict.lambda_policies = true).await;
    create(&aws, function(&aws, "f")).await.ok();
    let path = format!("{FUNCTIONS}/f/policy");
    aws.lambda("us-east-1", "GET", &path, Value::Null)
        .await
        .refused(404, "ResourceNotFoundException");
    let permission = json!({"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "cloudfront.amazonaws.com"});
    aws.lambda("us-east-1", "POST", &path, permission)
        .await
        .ok();
    aws.lambda("us-east-1", "GET", &path, Value::Null)
        .await
        .ok();
    aws.lambda("us-east-1", "DELETE", &format!("{path}/s"), Value::Null)
        .await
        .ok();
    aws.lambda("us-east-1", "GET", &path, Value::Null)
        .await
        .refused(404, "ResourceNotFoundException");
}

#[tokio::test]
async fn a_url_goes_with_its_function_and_the_next_has_another_host() {
    let aws = Aws::only(|strict| strict.lambda_urls = true).await;
    let url = "/2021-10-31/functions/f/url";
    let mut hosts = Vec::new();
    for _ in 0..2 {
        create(&aws, function(&aws, "f")).await.ok();
        aws.lambda("us-east-1", "GET", url, Value::Null)
            .await
            .refused(404, "ResourceNotFoundException");
        let made = aws
            .lambda("us-east-1", "POST", url, json!({"AuthType": "AWS_IAM"}))
            .await
            .ok()
            .json();
        hosts.push(made["FunctionUrl"].clone());
        aws.lambda(
            "us-east-1",
            "DELETE",
            &format!("{FUNCTIONS}/f"),
            Value::Null,
        )
        .await
        .ok();
    }
    assert_ne!(hosts[0], hosts[1]);
}

#[tokio::test]
async fn functions_are_listed_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    for name in ["a", "b", "c"] {
        create(&aws, function(&aws, name)).await.ok();
    }
    let names = |list: &Value| -> Vec<String> {
        let functions = list["Functions"].as_array().unwrap().iter();
        functions
            .map(|function| function["FunctionName"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = aws
        .lambda("us-east-1", "GET", FUNCTIONS, Value::Null)
        .await
        .ok()
        .json();
    assert_eq!(names(&first), ["a", "b"]);
    let marker = first["NextMarker"].as_str().unwrap();
    let second = aws
        .lambda(
            "us-east-1",
            "GET",
            &format!("{FUNCTIONS}?Marker={marker}"),
            Value::Null,
        )
        .await
        .ok()
        .json();
    assert_eq!(names(&second), ["c"]);
    assert!(second["NextMarker"].is_null() || second["NextMarker"] == "");
}
