//! A whole deployment that another tool made under the names the app will have, distribution and domain included.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::Config;

use crate::world::{World, condition};

const TIMEOUT: Duration = Duration::from_secs(180);
const DOMAIN: &str = "shop.example.com";
const HOME: &str = "us-east-1";
const AWAY: &str = "us-west-2";
/// What others than the operator call their statement.
const FOREIGN_SID: &str = "AllowCloudFront";
const TAGS: [&str; 8] = [
    "multiregion.dev/cluster",
    "multiregion.dev/namespace",
    "multiregion.dev/name",
    "multiregion.dev/code-version",
    "multiregion.dev/code-sha256",
    "multiregion.dev/rollout",
    "multiregion.dev/rollout-failure",
    "multiregion.dev/invalidated",
];

/// As `docs/adopting-terraform.md` tells it: looked at, taken over but for what leads to the domain, and that once the
/// distribution names the app in its Comment. The distribution stays the same one, and so do its address and records.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_another_tool_is_taken_over_with_its_distribution_and_domain() -> Result<()>
{
    let world = World::new("handover", quick()).await?;
    let zone = world.create_zone("example.com").await?;
    let distribution = made_by_another(&world, &zone).await?;

    let mut spec = spec();
    spec["managementPolicy"] = json!("Observe");
    world.proxy.clear_calls();
    world.apply("shop", &spec).await?;
    world
        .until("the difference", "shop", TIMEOUT, |app| {
            condition(app, "Synced").1 == "Observed" && condition(app, "Synced").0 == "False"
        })
        .await?;
    let writes = world.proxy.writes();
    ensure!(writes.is_empty(), "it wrote while it observed: {writes:#?}");

    spec["managementPolicy"] = json!("Full");
    world.apply("shop", &spec).await?;
    let app = world
        .until("the domain found taken", "shop", TIMEOUT, |app| {
            condition(app, "Stalled").1 == "OwnedByAnother"
                && condition(app, "Stalled").2.contains(DOMAIN)
        })
        .await?;
    ensure!(app["status"]["distribution"].is_null(), "{}", app["status"]);
    ensure!(aliases(&world, &distribution).await? == json!([DOMAIN]));

    comment(&world, &distribution, &owner_key(&world).await?).await?;
    world.look("shop").await?;
    let app = world.until_ready("shop", TIMEOUT).await?;
    ensure!(
        app.pointer("/status/distribution/id") == Some(&json!(distribution)),
        "{}",
        app["status"]["distribution"]
    );
    ensure!(app["status"]["url"] == format!("https://{DOMAIN}"));
    ensure!(aliases(&world, &distribution).await? == json!([DOMAIN]));
    world
        .until("both regions healthy", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    let listed = call(&world, "cloudfront", "ListDistributions", HOME, &json!({})).await?;
    let count = listed
        .pointer("/DistributionList/Items")
        .and_then(Value::as_array);
    ensure!(count.map(Vec::len) == Some(1), "{listed}");

    // What was the other tool's own is left for a person to take away.
    for (region, function) in [(HOME, "shop-primary"), (AWAY, "shop-dr")] {
        let asked = json!({"FunctionName": function});
        let policy = call(&world, "lambda", "GetPolicy", region, &asked).await?;
        let policy = policy["Policy"].as_str().unwrap_or_default().to_owned();
        ensure!(policy.contains(FOREIGN_SID), "{function}: {policy}");
        ensure!(policy.contains("MultiRegionInvoke"), "{function}: {policy}");
    }
    let asked = json!({"RoleName": "shop-lambda-role"});
    let policies = call(&world, "iam", "ListRolePolicies", HOME, &asked).await?;
    ensure!(
        policies["PolicyNames"] == json!(["dynamodb", "multiregion-dr", "multiregion-primary"]),
        "{policies}"
    );
    world.assert_quiet("shop").await
}

/// AWS's order of things, with its seconds cut short.
fn quick() -> Config {
    let mut config = Config::strict();
    let second = Duration::from_secs(1);
    config.delays.distribution_in_progress = Duration::from_secs(3);
    config.delays.function_pending = second;
    config.delays.role_not_assumable = second;
    config.delays.table_creating = second;
    config.delays.replica_changing = second;
    config.delays.certificate_record = second;
    config.delays.certificate_issuing = second;
    config.delays.record_change_pending = second;
    config.delays.stale_reads = second;
    config
}

fn spec() -> Value {
    json!({
        "regions": {"primary": HOME, "dr": AWAY},
        "domain": {"name": DOMAIN, "hostedZone": "example.com"},
        "function": {"runtime": "nodejs20.x"},
        "staticAssets": {"originAccess": "OriginAccessIdentity"},
        "tables": [{"name": "visits"}],
        "failover": {"probe": {"intervalSeconds": 5}},
        "adoptionPolicy": "IfUnowned",
    })
}

async fn call(
    world: &World,
    service: &str,
    operation: &str,
    region: &str,
    parameters: &Value,
) -> Result<Value> {
    world
        .aws_itself()
        .call(service, operation, region, parameters)
        .await
}

/// What the Comment of the app's distribution has to be.
async fn owner_key(world: &World) -> Result<String> {
    let cluster = [
        "get",
        "namespace",
        "kube-system",
        "-o",
        "jsonpath={.metadata.uid}",
    ];
    let cluster = world.control_plane.kubectl_ok(&cluster, None).await?;
    Ok(format!(
        "multiregion.dev/{}/{}/shop",
        cluster.trim(),
        world.namespace
    ))
}

/// A running deployment without any mark of the operator; the distribution's id.
///
/// Another app of the same prefix makes it and leaves it all behind; then every trace is rubbed out, and what the other
/// tool does otherwise is put there.
async fn made_by_another(world: &World, zone: &str) -> Result<String> {
    let mut spec = spec();
    spec["resourcePrefix"] = json!("shop");
    spec["deletionPolicy"] = json!("Retain");
    spec["tables"][0]["deletionProtection"] = json!("Disabled");
    spec["tables"][0]["pointInTimeRecovery"] = json!("Disabled");
    world.apply("maker", &spec).await?;
    let app = world.until_ready("maker", TIMEOUT).await?;
    let distribution = &app["status"]["distribution"];
    let (id, arn) = (distribution["id"].as_str(), distribution["arn"].as_str());
    let (id, arn) = (id.context("an id")?.to_owned(), arn.context("an ARN")?);
    world.delete("maker").await?;
    world.until_gone("maker", TIMEOUT).await?;

    untag(world, arn).await?;
    edge_of_another(world, zone, &id).await?;
    rights_of_another(world).await?;
    // Its rule is of the form without a filter, and has to be taken away before.
    let bucket = json!({"Bucket": format!("shop-static-{}", world.account)});
    call(world, "s3", "DeleteBucketReplication", HOME, &bucket).await?;
    Ok(id)
}

async fn untag(world: &World, distribution: &str) -> Result<()> {
    let account = &world.account;
    for role in ["shop-lambda-role", "shop-s3-replication-role"] {
        let role = json!({"RoleName": role, "TagKeys": TAGS});
        call(world, "iam", "UntagRole", HOME, &role).await?;
    }
    for (region, function, suffix) in [(HOME, "shop-primary", ""), (AWAY, "shop-dr", "-dr")] {
        for bucket in [
            format!("shop-static-{account}{suffix}"),
            format!("shop-lambda-deployments-{account}-{region}"),
        ] {
            let bucket = json!({"Bucket": bucket});
            call(world, "s3", "DeleteBucketTagging", region, &bucket).await?;
        }
        let arn = |rest: &str| {
            format!(
                "arn:aws:{}",
                rest.replace("HERE", &format!("{region}:{account}"))
            )
        };
        let lambda =
            json!({"Resource": arn(&format!("lambda:HERE:function:{function}")), "TagKeys": TAGS});
        call(world, "lambda", "UntagResource", region, &lambda).await?;
        let table = json!({"ResourceArn": arn("dynamodb:HERE:table/shop-visits"), "TagKeys": TAGS});
        call(world, "dynamodb", "UntagResource", region, &table).await?;
        let group = arn(&format!("logs:HERE:log-group:/aws/lambda/{function}"));
        let group = json!({"resourceArn": group, "tagKeys": TAGS});
        call(world, "logs", "UntagResource", region, &group).await?;
    }
    let keys = json!({"Resource": distribution, "TagKeys": {"Items": TAGS}});
    call(world, "cloudfront", "UntagResource", HOME, &keys).await?;
    let listed = call(world, "acm", "ListCertificates", HOME, &json!({})).await?;
    for certificate in listed["CertificateSummaryList"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let tags: Vec<Value> = TAGS.iter().map(|key| json!({"Key": key})).collect();
        let tags = json!({"CertificateArn": certificate["CertificateArn"], "Tags": tags});
        call(world, "acm", "RemoveTagsFromCertificate", HOME, &tags).await?;
    }
    Ok(())
}

/// The distribution as it is without a function at the edge, under a Comment of another's; no IPv6 record.
async fn edge_of_another(world: &World, zone: &str, distribution: &str) -> Result<()> {
    comment(world, distribution, "shop").await?;
    let aws = world.aws();
    let identities = aws
        .call(
            "cloudfront",
            "ListCloudFrontOriginAccessIdentities",
            HOME,
            &json!({}),
        )
        .await?;
    let identities = identities.pointer("/CloudFrontOriginAccessIdentityList/Items");
    for identity in identities.and_then(Value::as_array).into_iter().flatten() {
        let id = json!({"Id": identity["Id"]});
        let operation = "GetCloudFrontOriginAccessIdentityConfig";
        let mut found = aws.call("cloudfront", operation, HOME, &id).await?;
        let mut config = found["CloudFrontOriginAccessIdentityConfig"].take();
        config["Comment"] = json!("shop");
        let change = json!({
            "Id": identity["Id"], "IfMatch": found["ETag"], "CloudFrontOriginAccessIdentityConfig": config,
        });
        let operation = "UpdateCloudFrontOriginAccessIdentity";
        aws.call("cloudfront", operation, HOME, &change).await?;
    }
    let asked = json!({"HostedZoneId": zone});
    let records = call(world, "route53", "ListResourceRecordSets", HOME, &asked).await?;
    let mut records = records["ResourceRecordSets"]
        .as_array()
        .into_iter()
        .flatten();
    let record = records.find(|record| record["Type"] == "AAAA");
    let change = json!({"HostedZoneId": zone, "ChangeBatch": {"Changes": [
        {"Action": "DELETE", "ResourceRecordSet": record.context("an AAAA record")?},
    ]}});
    call(world, "route53", "ChangeResourceRecordSets", HOME, &change).await?;
    Ok(())
}

/// Other names for the roles' policies and the functions' statements.
async fn rights_of_another(world: &World) -> Result<()> {
    let role = "shop-lambda-role";
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"},
    ]});
    let policy = json!({
        "RoleName": role, "PolicyName": "dynamodb", "PolicyDocument": document.to_string(),
    });
    call(world, "iam", "PutRolePolicy", HOME, &policy).await?;
    for (role, policy) in [
        (role, "multiregion-primary"),
        (role, "multiregion-dr"),
        ("shop-s3-replication-role", "multiregion-replication"),
    ] {
        let policy = json!({"RoleName": role, "PolicyName": policy});
        call(world, "iam", "DeleteRolePolicy", HOME, &policy).await?;
    }
    for (region, function) in [(HOME, "shop-primary"), (AWAY, "shop-dr")] {
        for sid in ["MultiRegionInvokeFunctionUrl", "MultiRegionInvokeFunction"] {
            let statement = json!({"FunctionName": function, "StatementId": sid});
            call(world, "lambda", "RemovePermission", region, &statement).await?;
        }
        let statement = json!({
            "FunctionName": function, "StatementId": FOREIGN_SID, "Action": "lambda:InvokeFunctionUrl",
            "Principal": "cloudfront.amazonaws.com", "SourceAccount": world.account, "FunctionUrlAuthType": "AWS_IAM",
        });
        call(world, "lambda", "AddPermission", region, &statement).await?;
    }
    Ok(())
}

/// Writes a distribution's Comment by hand, and takes functions off its behaviours.
async fn comment(world: &World, distribution: &str, comment: &str) -> Result<()> {
    let id = json!({"Id": distribution});
    let mut found = call(world, "cloudfront", "GetDistributionConfig", HOME, &id).await?;
    let mut config = found["DistributionConfig"].take();
    config["Comment"] = json!(comment);
    let behaviors = config.pointer_mut("/CacheBehaviors/Items");
    for behavior in behaviors
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        behavior["FunctionAssociations"] = json!({"Quantity": 0});
    }
    let change =
        json!({"Id": distribution, "IfMatch": found["ETag"], "DistributionConfig": config});
    call(world, "cloudfront", "UpdateDistribution", HOME, &change)
        .await
        .map(drop)
}

async fn aliases(world: &World, distribution: &str) -> Result<Value> {
    let id = json!({"Id": distribution});
    let found = call(world, "cloudfront", "GetDistributionConfig", HOME, &id).await?;
    let aliases = found.pointer("/DistributionConfig/Aliases/Items");
    Ok(aliases.cloned().unwrap_or_default())
}
