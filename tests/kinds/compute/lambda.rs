use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use multiregion::model::{
    DataPolicy, Deleted, FailureKind, Live, Observed, Owner, Phase, ResourceId,
};
use multiregion::resources::{iam_role, lambda_function, lambda_function_url, lambda_permission};
use serde::Serialize;
use serde_json::{Value, json};
use strict_aws::{Proxy, Service};
use testbed::Emulator;

use crate::support::{Account, PRIMARY, Subject, differences, owner, tags};

const NAME: &str = "shop-primary";
const KEY: &str = "lambda/function.zip";

fn function(account: &Account) -> Subject<'_> {
    Subject::new(account, ResourceId::new("lambda_function", PRIMARY, NAME))
}

/// A deployment bucket with two versions of the zip: the placeholder, and one that is not it.
async fn deployment_bucket(account: &Account) -> (String, [String; 2]) {
    let bucket = format!("shop-lambda-deployments-{}-{PRIMARY}", account.id);
    let s3 = &account.clients(PRIMARY).s3;
    s3.create_bucket()
        .bucket(&bucket)
        .send()
        .await
        .expect("it is made");
    let versioned = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    s3.put_bucket_versioning()
        .bucket(&bucket)
        .versioning_configuration(versioned)
        .send()
        .await
        .expect("it is versioned");
    let placeholder = multiregion::placeholder::zip();
    // What follows a zip's end is not part of it, and changes its hash.
    let other = [placeholder.clone(), b"\0".to_vec()].concat();
    let mut versions = Vec::new();
    for zip in [placeholder, other] {
        let put = s3.put_object().bucket(&bucket).key(KEY).body(zip.into());
        versions.extend(put.send().await.expect("it is put").version_id);
    }
    (bucket, versions.try_into().expect("two versions"))
}

async fn config(account: &Account) -> (lambda_function::Config, [String; 2]) {
    let (bucket, versions) = deployment_bucket(account).await;
    let config = lambda_function::Config {
        role_arn: format!("arn:aws:iam::{}:role/shop-lambda-role", account.id).into(),
        runtime: "nodejs20.x".into(),
        handler: "index.handler".into(),
        architecture: "x86_64".into(),
        memory_size: 512,
        timeout: 10,
        environment: BTreeMap::from([
            ("DYNAMODB_TABLE".into(), "shop-visits".into()),
            ("PRIMARY_REGION".into(), PRIMARY.into()),
            ("PROJECT_NAME".into(), "shop".into()),
        ]),
        code: lambda_function::Code {
            bucket,
            key: KEY.into(),
            version: versions[0].as_str().into(),
        },
        tags: tags(),
    };
    (config, versions)
}

/// Does as the engine does: looks, changes what differs unless AWS is busy, comes again. Returns the number of changes.
async fn converged(subject: &Subject<'_>, wanted: &impl Serialize) -> (Live, usize) {
    let mut changes = 0;
    for _ in 0..50 {
        let mut live = subject.live(wanted).await;
        while live.phase == Phase::Ready {
            if differences(wanted, &live).is_empty() {
                return (live, changes);
            }
            changes += 1;
            live = subject.try_update(&live, wanted).await.expect("changed");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} never converges", subject.id);
}

#[tokio::test]
async fn a_function_is_made_changed_and_taken_away() {
    let account = Account::new().await;
    let function = function(&account);
    let (mut wanted, [_, second]) = config(&account).await;
    let made = function.try_create(&wanted).await.expect("it is made");
    let unlike: Vec<String> = differences(&wanted, &made)
        .into_iter()
        .map(|change| change.path)
        .collect();
    assert_eq!(unlike, ["code.version"], "recorded once AWS is at rest");
    let (live, changes) = converged(&function, &wanted).await;
    assert_eq!(changes, 1);
    assert_eq!(live.owner, Owner::Ours);
    for (name, value) in &made.outputs {
        assert_eq!(live.outputs.get(name), Some(value), "{name}");
    }
    assert_eq!(live.outputs["arn"], live.physical_id);
    for output in ["running_sha256", "release"] {
        assert!(live.outputs.contains_key(output), "{output}, once at rest");
    }

    let fields: [fn(&mut lambda_function::Config); 7] = [
        |wanted| wanted.role_arn = "arn:aws:iam::1:role/other".into(),
        |wanted| wanted.runtime = "nodejs22.x".into(),
        |wanted| wanted.handler = "server.handler".into(),
        |wanted| wanted.architecture = "arm64".into(),
        |wanted| wanted.memory_size = 1024,
        |wanted| wanted.timeout = 20,
        |wanted| drop(wanted.environment.remove("PRIMARY_REGION")),
    ];
    for change in fields {
        change(&mut wanted);
        converged(&function, &wanted).await;
    }
    wanted.environment.clear();
    wanted.tags.insert("team".into(), "platform".into());
    wanted.code.version = second.as_str().into();
    let (changed, changes) = converged(&function, &wanted).await;
    assert!(
        changes <= 3,
        "configuration, code and its record: {changes}"
    );
    assert_ne!(changed.outputs["code_sha256"], live.outputs["code_sha256"]);

    function.delete(&wanted).await;
}

/// AWS refuses a role that is new, and whatever else is asked of a function that it is busy with.
#[tokio::test]
async fn nothing_is_asked_of_a_function_that_aws_is_busy_with() {
    let emulator = Emulator::shared().await.expect("the emulator starts");
    let mut strict = strict_aws::Config::strict();
    let short = Duration::from_millis(700);
    strict.delays.role_not_assumable = short;
    strict.delays.function_pending = short;
    strict.delays.function_updating = short;
    let proxy = Proxy::start(&emulator.url(), strict).await;
    let proxy = proxy.expect("the proxy starts");
    let account = Account::at(&proxy.url());
    let role = ResourceId::global("iam_role", "shop-lambda-role");
    let of_role = iam_role::Config {
        trusted_services: ["lambda.amazonaws.com".into()].into(),
        inline_policies: BTreeMap::new(),
        permissions_boundary: None,
        tags: tags(),
    };
    let role = Subject::new(&account, role).try_create(&of_role).await;
    assert_eq!(role.expect("made").phase, Phase::Ready);

    let function = function(&account);
    let (mut wanted, [first, second]) = config(&account).await;
    let refused = function.try_create(&wanted).await.expect_err("too early");
    assert_eq!(refused.kind, FailureKind::Denied);
    tokio::time::sleep(short).await;
    function.try_create(&wanted).await.expect("it is made");
    converged(&function, &wanted).await;

    let id = ResourceId::new("lambda_function_url", PRIMARY, NAME);
    let url = lambda_function_url::Config {
        auth_type: "AWS_IAM".into(),
        invoke_mode: "BUFFERED".into(),
    };
    Subject::new(&account, id).create(&url).await;

    wanted.timeout = 20;
    wanted.code.version = second.as_str().into();
    wanted.tags.insert("team".into(), "platform".into());
    converged(&function, &wanted).await;
    wanted.code.version = first.as_str().into();
    converged(&function, &wanted).await;
    function.delete(&wanted).await;

    let count = |operation: &str| {
        let calls = proxy.calls();
        let of_lambda = calls.iter().filter(|call| call.service == Service::Lambda);
        of_lambda.filter(|call| call.operation == operation).count()
    };
    assert_eq!(count("CreateFunction"), 2);
    assert_eq!(count("UpdateFunctionConfiguration"), 1);
    assert_eq!(count("UpdateFunctionCode"), 2);
    // One each for the first code, for the user's tags, and for the two other codes.
    assert_eq!(count("TagResource"), 4);
}

#[tokio::test]
async fn code_changed_by_hand_is_put_right() {
    let account = Account::new().await;
    let function = function(&account);
    let (wanted, [_, second]) = config(&account).await;
    function.try_create(&wanted).await.expect("it is made");
    let (before, _) = converged(&function, &wanted).await;
    let by_hand = account.clients(PRIMARY).lambda.update_function_code();
    by_hand
        .function_name(NAME)
        .s3_bucket(&wanted.code.bucket)
        .s3_key(KEY)
        .s3_object_version(second)
        .send()
        .await
        .expect("it is changed");
    let live = function.live(&wanted).await;
    assert_eq!(live.config["code"]["version"], "unrecorded");
    let (after, _) = converged(&function, &wanted).await;
    assert_eq!(after.outputs, before.outputs);
}

#[tokio::test]
async fn a_function_of_another_app_is_seen_as_such() {
    let account = Account::new().await;
    let function = function(&account);
    let (mut theirs, _) = config(&account).await;
    theirs.tags = owner("blog").tags();
    function.try_create(&theirs).await.expect("it is made");
    assert_eq!(
        function.live(&theirs).await.owner,
        Owner::Other("MultiRegionApp web/blog of cluster c1".into())
    );
}

#[tokio::test]
async fn a_url_is_made_changed_and_taken_away() {
    let account = Account::new().await;
    let (of_function, _) = config(&account).await;
    function(&account)
        .try_create(&of_function)
        .await
        .expect("it is made");
    let id = ResourceId::new("lambda_function_url", PRIMARY, NAME);
    let url = Subject::new(&account, id);
    let mut wanted = lambda_function_url::Config {
        auth_type: "AWS_IAM".into(),
        invoke_mode: "BUFFERED".into(),
    };
    let live = url.create(&wanted).await;
    let host = &live.outputs["host"];
    assert!(host.ends_with(".lambda-url.us-east-1.on.aws"), "{host}");
    wanted.invoke_mode = "RESPONSE_STREAM".into();
    let live = url.update(&wanted).await;
    assert_eq!(&live.outputs["host"], host);
    wanted.auth_type = "NONE".into();
    url.update(&wanted).await;
    url.delete(&wanted).await;
}

#[tokio::test]
async fn permissions_are_made_replaced_and_taken_away_each_by_itself() {
    let account = Account::new().await;
    let (of_function, _) = config(&account).await;
    function(&account)
        .try_create(&of_function)
        .await
        .expect("it is made");
    let permission = |sid: &str| {
        let id = ResourceId::new("lambda_permission", PRIMARY, format!("{NAME}/{sid}"));
        Subject::new(&account, id)
    };
    let by_url = lambda_permission::Config {
        action: "lambda:InvokeFunctionUrl".into(),
        principal: "cloudfront.amazonaws.com".into(),
        source_arn: "arn:aws:cloudfront::1:distribution/E1".into(),
        function_url_auth_type: Some("AWS_IAM".into()),
        invoked_via_function_url: None,
    };
    let mut by_function = lambda_permission::Config {
        action: "lambda:InvokeFunction".into(),
        function_url_auth_type: None,
        invoked_via_function_url: Some(true),
        ..by_url.clone()
    };
    permission("ByUrl").create(&by_url).await;
    permission("ByFunction").create(&by_function).await;
    let again = permission("ByUrl").try_create(&by_url).await;
    assert_eq!(
        again.expect_err("the Sid is taken").kind,
        FailureKind::Conflict
    );
    by_function.source_arn = "arn:aws:cloudfront::1:distribution/E2".into();
    permission("ByFunction").update(&by_function).await;
    assert_eq!(
        differences(&by_url, &permission("ByUrl").live(&by_url).await),
        []
    );
    permission("ByUrl").delete(&by_url).await;
    permission("ByFunction").delete(&by_function).await;
}

#[tokio::test]
async fn the_placeholder_runs_and_counts() {
    let account = Account::new().await;
    let (wanted, _) = config(&account).await;
    let clients = account.clients(PRIMARY);
    create_table(&clients.dynamodb).await;
    // The emulator ends the processes of all accounts' functions of one name together.
    let name = "shop-visited";
    let function = Subject::new(&account, ResourceId::new("lambda_function", PRIMARY, name));
    function.try_create(&wanted).await.expect("it is made");
    converged(&function, &wanted).await;
    let visit = async |headers: Value| {
        let event = json!({"headers": headers, "requestContext": {"http": {"method": "GET"}}});
        let answer = clients
            .lambda
            .invoke()
            .function_name(name)
            .payload(event.to_string().into_bytes().into())
            .send()
            .await
            .expect("it is called");
        let payload = answer.payload.expect("an answer").into_inner();
        let answer: Value = serde_json::from_slice(&payload).expect("JSON");
        let body = answer["body"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_str::<Value>(body).expect("JSON")
    };
    let first = visit(json!({})).await;
    let expected = json!({"app": "shop", "region": PRIMARY, "role": "primary", "visits": 1});
    assert_eq!(first, expected);
    visit(json!({"user-agent": "multiregion-probe"})).await;
    assert_eq!(visit(json!({})).await["visits"], 2);
    assert_eq!(
        function.try_delete(&wanted, DataPolicy::Keep).await,
        Ok(Deleted::Gone)
    );
    assert_eq!(function.observe(&wanted).await, Observed::Absent);
}

async fn create_table(dynamodb: &aws_sdk_dynamodb::Client) {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    };
    let mut create = dynamodb
        .create_table()
        .table_name("shop-visits")
        .billing_mode(BillingMode::PayPerRequest);
    for (name, key_type) in [("PK", KeyType::Hash), ("SK", KeyType::Range)] {
        let attribute = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build();
        let key = KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(key_type)
            .build();
        create = create
            .attribute_definitions(attribute.expect("complete"))
            .key_schema(key.expect("complete"));
    }
    create.send().await.expect("it is made");
}
