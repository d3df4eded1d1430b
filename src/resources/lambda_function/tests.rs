use serde_json::{Value, json};

use super::*;
use crate::model::Phase;
use crate::resources::testing::{Answer, Asks, recording};

const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:shop-primary";

fn id() -> ResourceId {
    ResourceId::new("lambda_function", "us-east-1", "shop-primary")
}

fn wanted(version: &str) -> Config {
    Config {
        role_arn: "arn:aws:iam::123456789012:role/shop-lambda-role".into(),
        runtime: "nodejs24.x".into(),
        handler: "index.handler".into(),
        architecture: "x86_64".into(),
        memory_size: 512,
        timeout: 10,
        environment: BTreeMap::from([("TOKEN".into(), "hunter2".into())]),
        code: Code {
            bucket: "shop-lambda-deployments-123456789012-us-east-1".into(),
            key: "lambda/function.zip".into(),
            version: version.into(),
        },
        tags: crate::resources::testing::owner().tags(),
    }
}

/// A function's configuration as AWS gives it, much more than was ever said included.
fn configuration(changes: Value) -> Value {
    let mut configuration = json!({
        "FunctionName": "shop-primary", "FunctionArn": ARN, "Runtime": "nodejs24.x",
        "Role": "arn:aws:iam::123456789012:role/shop-lambda-role", "Handler": "index.handler", "CodeSize": 1234,
        "Description": "", "Timeout": 10, "MemorySize": 512, "LastModified": "2026-01-01T00:00:00.000+0000",
        "CodeSha256": "sha-one=", "Version": "$LATEST", "Environment": {"Variables": {"TOKEN": "hunter2"}},
        "TracingConfig": {"Mode": "PassThrough"}, "RevisionId": "r1", "State": "Active",
        "LastUpdateStatus": "Successful", "PackageType": "Zip", "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512}, "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/shop-primary"}
    });
    merge(&mut configuration, changes);
    configuration
}

fn merge(into: &mut Value, changes: Value) {
    if let (Value::Object(into), Value::Object(changes)) = (into, changes) {
        into.extend(changes);
    }
}

fn function(changes: Value, code_tags: &[(&str, &str)]) -> Value {
    let mut tags = json!(crate::resources::testing::owner().tags());
    merge(
        &mut tags,
        json!(BTreeMap::from_iter(code_tags.iter().copied())),
    );
    json!({
        "Configuration": configuration(changes),
        "Code": {"RepositoryType": "S3", "Location": "https://awslambda-us-east-1-tasks.s3.amazonaws.com/x"},
        "Tags": tags,
    })
}

const RECORDED: &[(&str, &str)] = &[
    ("multiregion.dev/code-version", "v1"),
    ("multiregion.dev/code-sha256", "sha-one="),
];

async fn observed(function: Value) -> Result<Seen<Config>, Failure> {
    let (pass, asks) = recording(false, move |_| (200, function.to_string()));
    let hint = Hint {
        known_id: None,
        wanted: Some(wanted("v1")),
    };
    let seen = Function::observe(&pass, &id(), hint).await;
    assert_eq!(
        asks.lock().expect("no panic").len(),
        1,
        "one call tells all"
    );
    seen.map(|seen| seen.expect("it is there"))
}

fn as_seen(version: &str) -> Seen<Config> {
    let mut config = wanted(version);
    config.code.version = version.into();
    Seen::ours(config, ARN)
        .output("arn", ARN)
        .output("code_sha256", "sha-one=")
}

#[tokio::test]
async fn what_aws_adds_makes_no_difference() {
    let seen = observed(function(json!({}), RECORDED)).await.expect("read");
    let without_code_tags = |mut seen: Seen<Config>| {
        seen.config
            .tags
            .retain(|key, _| !key.starts_with("multiregion.dev/code"));
        // At rest it tells what it is.
        assert_eq!(
            seen.outputs.remove("running_sha256"),
            Some("sha-one=".into())
        );
        assert!(seen.outputs.remove("release").is_some());
        seen
    };
    assert_eq!(without_code_tags(seen), as_seen("v1"));
}

#[tokio::test]
async fn what_aws_leaves_out_is_its_default() {
    let changes = json!({"Architectures": null, "Environment": null});
    let seen = observed(function(changes, RECORDED)).await.expect("read");
    assert_eq!(seen.config.architecture, "x86_64");
    assert_eq!(seen.config.environment, BTreeMap::new());
}

#[tokio::test]
async fn code_changed_by_hand_is_of_no_known_version() {
    for (changes, tags) in [
        (json!({"CodeSha256": "sha-of-a-hand="}), RECORDED),
        (json!({}), &[][..]),
        (json!({}), &RECORDED[1..]),
    ] {
        let seen = observed(function(changes, tags)).await.expect("read");
        assert_eq!(seen.config.code.version, "unrecorded".into());
    }
}

#[tokio::test]
async fn what_makes_a_difference_makes_another_release_and_nothing_else_does() {
    let release = async |changes| {
        let seen = observed(function(changes, RECORDED)).await.expect("read");
        seen.outputs.get("release").cloned()
    };
    let before = release(json!({})).await;
    assert!(before.is_some());
    assert_eq!(release(json!({"FunctionName": "shop-dr"})).await, before);
    for change in [
        json!({"MemorySize": 1024}),
        json!({"CodeSha256": "sha-two="}),
        json!({"Environment": {"Variables": {"TOKEN": "other"}}}),
    ] {
        assert_ne!(release(change).await, before);
    }
    assert_eq!(
        release(json!({"LastUpdateStatus": "InProgress"})).await,
        None
    );
}

#[tokio::test]
async fn phases_are_as_aws_tells() {
    for (changes, phase) in [
        (
            json!({"State": "Pending", "StateReasonCode": "Creating", "LastUpdateStatus": "InProgress"}),
            Phase::Pending("Active (Creating)".into()),
        ),
        (
            json!({"LastUpdateStatus": "InProgress"}),
            Phase::Pending("Updated (InProgress)".into()),
        ),
        (
            json!({"State": "Failed", "StateReasonCode": "InvalidZipFileException", "StateReason": "no zip"}),
            Phase::Failed("InvalidZipFileException: no zip".into()),
        ),
        (
            json!({"State": "Inactive", "StateReasonCode": "Idle"}),
            Phase::Ready,
        ),
        (
            json!({"State": null, "LastUpdateStatus": null}),
            Phase::Ready,
        ),
    ] {
        let text = changes.to_string();
        let seen = observed(function(changes, RECORDED)).await.expect("read");
        assert_eq!(seen.phase, phase, "{text}");
    }
}

#[tokio::test]
async fn a_failed_update_is_a_difference_that_tells_why() {
    let changes = json!({"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "no such key"});
    let seen = observed(function(changes, RECORDED)).await.expect("read");
    assert_eq!(seen.phase, Phase::Ready);
    assert_eq!(
        seen.config.runtime,
        "nodejs24.x (the last update failed: no such key)"
    );
}

#[tokio::test]
async fn tags_and_variables_that_may_not_be_read_are_not_taken_for_none() {
    let mut untold = function(json!({}), &[]);
    merge(
        &mut untold,
        json!({"Tags": null, "TagsError": {"ErrorCode": "AccessDeniedException", "Message": "lambda:ListTags"}}),
    );
    let failure = observed(untold).await.expect_err("not known");
    assert_eq!(failure.kind, FailureKind::Denied);
    assert_eq!(failure.operation, "lambda:ListTags");

    let sealed = json!({"Environment": {"Error": {"ErrorCode": "AccessDeniedException", "Message": "kms:Decrypt"}}});
    let failure = observed(function(sealed, RECORDED))
        .await
        .expect_err("not known");
    assert_eq!(failure.kind, FailureKind::Denied);
}

#[tokio::test]
async fn a_function_that_is_not_there_is_none() {
    let (pass, _) = recording(true, |_| {
        Answer::json_error("ResourceNotFoundException", "Function not found")
    });
    let hint = Hint {
        known_id: None,
        wanted: None,
    };
    assert_eq!(Function::observe(&pass, &id(), hint).await, Ok(None));
}

/// The calls of an update of `changed` to `desired`, answered with `answer`, and what it came to.
async fn updated(
    live: Seen<Config>,
    desired: &Config,
    changed: &[&str],
    answer: Value,
) -> (Seen<Config>, Vec<String>) {
    let (pass, asks) = recording(true, move |_| (200, answer.to_string()));
    let changed = changed.iter().map(|&name| name.to_owned()).collect();
    let seen = Function::update(&pass, &id(), live, desired, &changed).await;
    (seen.expect("updated"), calls(&asks))
}

fn calls(asks: &Asks) -> Vec<String> {
    let asks = asks.lock().expect("no panic");
    asks.iter()
        .map(|asked| {
            let path = asked.path.rsplit('/').next().unwrap_or_default();
            let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
            let fields: Vec<&String> = body
                .as_object()
                .into_iter()
                .flat_map(|o| o.keys())
                .collect();
            format!("{} {path} {fields:?}", asked.method)
        })
        .collect()
}

#[tokio::test]
async fn only_what_changed_is_written_and_the_code_waits_for_the_next_step() {
    let mut desired = wanted("v2");
    desired.memory_size = 1024;
    let answer = configuration(json!({"MemorySize": 1024, "LastUpdateStatus": "InProgress"}));
    let (seen, calls) = updated(as_seen("v1"), &desired, &["memory_size", "code"], answer).await;
    assert_eq!(calls, [r#"PUT configuration ["MemorySize"]"#]);
    assert_eq!(seen.config.memory_size, 1024);
    assert_eq!(seen.config.code.version, "v1".into(), "the next step's");
    assert_eq!(seen.phase, Phase::Pending("Updated (InProgress)".into()));
}

#[tokio::test]
async fn code_is_given_once_and_recorded_when_aws_is_at_rest() {
    let mut desired = wanted("v2");
    desired.code.bucket = "given-once".into();
    let busy = configuration(json!({"CodeSha256": "sha-two=", "LastUpdateStatus": "InProgress"}));
    let (seen, calls) = updated(as_seen("v1"), &desired, &["code"], busy).await;
    assert_eq!(
        calls,
        [r#"PUT code ["Architectures","S3Bucket","S3Key","S3ObjectVersion"]"#.replace(',', ", ")]
    );
    assert_eq!(seen.config.code.version, "unrecorded".into());
    assert_eq!(seen.outputs["code_sha256"], "sha-two=");

    let at_rest = Seen {
        phase: Phase::Ready,
        ..seen
    };
    let (seen, calls) = updated(at_rest, &desired, &["code"], json!({})).await;
    assert_eq!(calls.len(), 1);
    assert!(calls[0].starts_with("POST arn"), "{calls:?}");
    assert_eq!(seen.config.code.version, "v2".into());
    assert_eq!(seen.config.tags["multiregion.dev/code-version"], "v2");
    assert_eq!(seen.config.tags["multiregion.dev/code-sha256"], "sha-two=");
}

#[tokio::test]
async fn values_of_variables_never_come_back_in_a_failure() {
    let (pass, _) = recording(true, |_| {
        Answer::json_error(
            "InvalidParameterValueException",
            "Value '{TOKEN=hunter2}' at 'environment.variables' failed to satisfy constraint",
        )
    });
    let failure = Function::create(&pass, &id(), &wanted("v1"))
        .await
        .expect_err("refused");
    assert!(!failure.to_string().contains("hunter2"));
    assert!(failure.to_string().contains("TOKEN=(not shown)"));
}
