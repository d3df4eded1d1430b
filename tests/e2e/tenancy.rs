//! Several tenants: which account a namespace acts in, what it may not do, and that none gets at what is another's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind, Service};
use testbed::{Emulator, EmulatorOptions};

use crate::world::{World, condition, minimal};

const TIMEOUT: Duration = Duration::from_secs(120);
/// The account of the role, in which no other test acts.
const TENANT: &str = "310000000001";
const EXTERNAL_ID: &str = "web-7f3a";

/// On an emulator that enforces trust policies. The STS of us-east-1 is away all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_acts_in_the_account_of_its_role_also_with_the_first_sts_away() -> Result<()> {
    let emulator = Emulator::start(EmulatorOptions {
        auth: true,
        ..EmulatorOptions::default()
    })
    .await?;
    let mut world = World::at(&emulator, "tenant", Config::transparent()).await?;
    let role = tenant_role(&world).await?;
    let away = Fault::new(FaultKind::RefuseRegion)
        .service(Service::Sts)
        .region("us-east-1");
    world.proxy.configure(|config| config.faults.push(away));
    world.configure_own(&json!({"roleARN": role, "externalID": "of-another"}))?;
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    let app = world
        .until("NoCredentials", "shop", TIMEOUT, |app| {
            condition(app, "Synced").1 == "NoCredentials"
        })
        .await?;
    let message = condition(&app, "Synced").2;
    ensure!(
        message.contains(&role) && message.contains("sts:AssumeRole"),
        "{message}"
    );

    world.configure_own(&json!({"roleARN": role, "externalID": EXTERNAL_ID}))?;
    world.proxy.clear_calls();
    world.restart().await?;
    world.until_ready("shop", TIMEOUT).await?;
    // The probes are signed by the role, too.
    world
        .until("probes of both regions", "shop", TIMEOUT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
        })
        .await?;
    let get = json!({"RoleName": "shop-lambda-role"});
    let of_tenant = world.account_of(TENANT);
    of_tenant.call("iam", "GetRole", "us-east-1", &get).await?;
    let own = world.aws().call("iam", "GetRole", "us-east-1", &get).await;
    ensure!(own.is_err(), "something was made in the operator's account");
    let assumed: Vec<_> = world
        .proxy
        .calls()
        .into_iter()
        .filter(|call| call.operation == "AssumeRole" && call.status == Some(200))
        .collect();
    ensure!(assumed.len() == 1, "assumed more than once: {assumed:#?}");
    world.assert_quiet("shop").await?;
    world.delete("shop").await?;
    world.until_gone("shop", TIMEOUT).await
}

/// A role of the tenant's account that the operator's account may assume with the external id; its ARN.
async fn tenant_role(world: &World) -> Result<String> {
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": format!("arn:aws:iam::{}:root", world.account)},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
    }]});
    let all = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
    ]});
    let aws = world.account_of(TENANT);
    let role = json!({"RoleName": "multiregion", "AssumeRolePolicyDocument": trust.to_string()});
    aws.call("iam", "CreateRole", "us-east-1", &role).await?;
    let policy =
        json!({"RoleName": "multiregion", "PolicyName": "all", "PolicyDocument": all.to_string()});
    aws.call("iam", "PutRolePolicy", "us-east-1", &policy)
        .await?;
    Ok(format!("arn:aws:iam::{TENANT}:role/multiregion"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_namespace_may_not_do_is_refused_and_nothing_is_touched() -> Result<()> {
    let mut world = World::without_operator("bounds", Config::transparent()).await?;
    let file = world.configure(&json!({"accounts": {"default": "Refuse"}}))?;
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    let app = not_allowed(&world).await?;
    ensure!(
        condition(&app, "Ready").2.contains(&world.namespace),
        "{:?}",
        condition(&app, "Ready")
    );
    let manifest = world.manifest("shop.json", "shop", &minimal())?;
    for command in ["plan", "graph"] {
        let output = world
            .multiregion(&[command, "--config", &file, "-f", &manifest], &[])
            .await?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{command}: {error}");
        ensure!(error.contains("has no AWS account"), "{command}: {error}");
    }
    // What was never made waits for nothing.
    world.delete("shop").await?;
    world.until_gone("shop", TIMEOUT).await?;
    ensure!(world.proxy.calls().is_empty(), "{:#?}", world.proxy.calls());

    world.configure_own(
        &json!({"allowedPrefixes": ["shop"], "allowedDomains": ["*.example.com"]}),
    )?;
    world.restart().await?;
    world.apply("blog", &minimal()).await?;
    world
        .until("the refusal of a prefix", "blog", TIMEOUT, |app| {
            condition(app, "Ready").1 == "NotAllowed"
                && condition(app, "Ready").2.contains("prefix blog")
        })
        .await?;
    world.delete("blog").await?;
    world.until_gone("blog", TIMEOUT).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;

    let mut spec = minimal();
    spec["domain"] = json!({"name": "shop.example.net"});
    spec["function"] = json!({"memorySizeMiB": 256});
    world.apply("shop", &spec).await?;
    not_allowed(&world).await?;
    untouched(&world).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    no_longer_allowed(&mut world).await
}

/// An app that was allowed, and is not any more: it stays as it is, and so does its deletion, unless all is to stay.
async fn no_longer_allowed(world: &mut World) -> Result<()> {
    world.configure(&json!({"accounts": {"default": "Refuse"}}))?;
    world.restart().await?;
    not_allowed(world).await?;
    world
        .until("no probes", "shop", TIMEOUT, |app| {
            let (status, reason, message) = condition(app, "FailoverHealthy");
            (status, reason) == ("Unknown", "NotProbed") && message.contains("has no AWS account")
        })
        .await?;
    untouched(world).await?;
    world.delete("shop").await?;
    world
        .until("a deletion that waits", "shop", TIMEOUT, |app| {
            condition(app, "Stalled").1 == "NotAllowed"
                && condition(app, "Stalled").2.contains("the deletion waits")
        })
        .await?;
    world.proxy.clear_calls();
    world
        .patch("shop", &json!({"spec": {"deletionPolicy": "Retain"}}))
        .await?;
    world.until_gone("shop", TIMEOUT).await?;
    ensure!(world.proxy.calls().is_empty(), "{:#?}", world.proxy.calls());
    let get = json!({"RoleName": "shop-lambda-role"});
    let aws = world.aws_itself();
    aws.call("iam", "GetRole", "us-east-1", &get)
        .await
        .map(drop)
}

async fn not_allowed(world: &World) -> Result<Value> {
    world
        .until("NotAllowed", "shop", TIMEOUT, |app| {
            let (status, reason, _) = condition(app, "Ready");
            (status, reason) == ("False", "NotAllowed")
                && condition(app, "Stalled").1 == "NotAllowed"
                && condition(app, "Synced").1 == "NotAllowed"
        })
        .await
}

/// A pass over the refused app asks AWS for nothing, nor does anything beside the passes.
async fn untouched(world: &World) -> Result<()> {
    // A probe may have been under way.
    world.pass("shop").await?;
    world.proxy.clear_calls();
    world.pass("shop").await?;
    let calls = world.proxy.calls();
    ensure!(calls.is_empty(), "{calls:#?}");
    Ok(())
}

/// Two namespaces of one account, and no bounds that would tell their prefixes apart.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_not_use_what_is_another_namespaces() -> Result<()> {
    let mut first = World::without_operator("first", Config::transparent()).await?;
    first.start().await?;
    first.create_zone("example.com").await?;
    let mut theirs = minimal();
    theirs["resourcePrefix"] = json!("shop-primary");
    theirs["domain"] = json!({"name": "a.example.com", "hostedZone": "example.com"});
    first.apply("theirs", &theirs).await?;
    first.until_ready("theirs", TIMEOUT).await?;
    first.assert_quiet("theirs").await?;
    let before = as_it_is(&first).await?;

    let mut second = first.beside("second", Config::transparent()).await?;
    second.configure_own(&json!({"allowedDomains": ["*.example.net", "a.example.com"]}))?;
    second.start().await?;
    // The same prefix: all of its buckets, tables, functions and roles.
    let mut spec = minimal();
    spec["adoptionPolicy"] = json!("IfUnowned");
    spec["resourcePrefix"] = json!("shop-primary");
    second.apply("same", &spec).await?;
    let app = owned_by_another(&second, "same").await?;
    ensure!(!app["status"]["pending"].is_null(), "{app}");

    // A table of theirs by another prefix; the rest of the app is its own, and has no right to that table.
    spec["resourcePrefix"] = json!("shop");
    spec["tables"] = json!([{"name": "visits"}, {"name": "primary-visits"}]);
    second.apply("table", &spec).await?;
    let app = owned_by_another(&second, "table").await?;
    let message = condition(&app, "Ready").2;
    ensure!(message.contains("shop-primary-visits"), "{message}");
    for region in ["primary", "dr"] {
        let rights =
            json!({"RoleName": "shop-lambda-role", "PolicyName": format!("multiregion-{region}")});
        let rights = second
            .aws_itself()
            .call("iam", "GetRolePolicy", "us-east-1", &rights)
            .await?
            .to_string();
        ensure!(
            rights.contains("table/shop-visits") && !rights.contains("shop-primary-visits"),
            "{region}: {rights}"
        );
    }

    // Their zone.
    let mut spec = minimal();
    spec["resourcePrefix"] = json!("zone");
    spec["domain"] = json!({"name": "b.example.com", "hostedZone": "example.com"});
    second.apply("zone", &spec).await?;
    second
        .until("the refusal of the domain", "zone", TIMEOUT, |app| {
            condition(app, "Ready").1 == "NotAllowed"
                && condition(app, "Ready").2.contains("b.example.com")
        })
        .await?;

    // Their certificate.
    let listed = second
        .aws_itself()
        .call("acm", "ListCertificates", "us-east-1", &json!({}))
        .await?;
    let certificate = listed
        .pointer("/CertificateSummaryList/0/CertificateArn")
        .context("they have one")?;
    let mut spec = minimal();
    spec["resourcePrefix"] = json!("lent");
    spec["domain"] = json!({"name": "a.example.com", "certificateARN": certificate});
    second.apply("lent", &spec).await?;
    let app = owned_by_another(&second, "lent").await?;
    let message = condition(&app, "Ready").2;
    ensure!(
        message.contains("was requested for") && message.contains(&first.namespace),
        "{message}"
    );

    for name in ["same", "table", "lent"] {
        second.pass(name).await?;
    }
    ensure!(
        as_it_is(&first).await? == before,
        "something of theirs was changed"
    );
    first.until_ready("theirs", TIMEOUT).await?;
    first.assert_quiet("theirs").await
}

async fn owned_by_another(world: &World, name: &str) -> Result<Value> {
    world
        .until("OwnedByAnother", name, TIMEOUT, |app| {
            condition(app, "Ready").1 == "OwnedByAnother"
                && condition(app, "Stalled").1 == "OwnedByAnother"
        })
        .await
}

/// What somebody else's app could have changed of `theirs`.
async fn as_it_is(world: &World) -> Result<Vec<String>> {
    let bucket = json!({"Bucket": format!("shop-primary-static-{}", world.account)});
    let table = json!({"TableName": "shop-primary-visits"});
    let function = json!({"FunctionName": "shop-primary-primary"});
    let role = json!({"RoleName": "shop-primary-lambda-role"});
    let mut seen = Vec::new();
    for (service, operation, parameters) in [
        ("s3", "GetBucketTagging", &bucket),
        ("s3", "GetBucketPolicy", &bucket),
        ("s3", "GetBucketReplication", &bucket),
        ("dynamodb", "DescribeTable", &table),
        ("lambda", "GetFunctionConfiguration", &function),
        ("lambda", "GetPolicy", &function),
        ("iam", "ListRoleTags", &role),
        ("iam", "ListRolePolicies", &role),
    ] {
        let answer = world
            .aws_itself()
            .call(service, operation, "us-east-1", parameters)
            .await?;
        // Heartbeats are written into the table all the time.
        let counts = ["ItemCount", "TableSizeBytes"];
        let mut answer = answer;
        if let Some(table) = answer["Table"].as_object_mut() {
            table.retain(|name, _| !counts.contains(&name.as_str()));
        }
        seen.push(format!("{operation}: {answer}"));
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_roles_of_an_app_have_the_boundary_that_is_configured() -> Result<()> {
    let mut world = World::without_operator("boundary", Config::transparent()).await?;
    let boundary = world.create_boundary().await?;
    let file = world.configure_own(&json!({"permissionsBoundaryARN": boundary}))?;
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    for role in ["shop-lambda-role", "shop-s3-replication-role"] {
        ensure!(boundary_of(&world, role).await? == boundary, "{role}");
    }
    world.assert_quiet("shop").await?;

    let role = json!({"RoleName": "shop-lambda-role"});
    let aws = world.aws_itself();
    aws.call("iam", "DeleteRolePermissionsBoundary", "us-east-1", &role)
        .await?;
    world.pass("shop").await?;
    world.until_ready("shop", TIMEOUT).await?;
    ensure!(boundary_of(&world, "shop-lambda-role").await? == boundary);

    // The same by hand; and to whom it is not configured, it is nothing.
    let manifest = world.manifest("shop.json", "shop", &minimal())?;
    for arguments in [
        vec!["plan", "--config", &file, "-f", &manifest],
        vec!["plan", "-f", &manifest],
    ] {
        let plan = world.multiregion(&arguments, &[]).await?;
        let text = String::from_utf8_lossy(&plan.stdout).into_owned();
        ensure!(plan.status.code() == Some(0), "{arguments:?}: {text}");
    }
    world.assert_quiet("shop").await
}

async fn boundary_of(world: &World, role: &str) -> Result<Value> {
    let role = json!({"RoleName": role});
    let answer = world
        .aws_itself()
        .call("iam", "GetRole", "us-east-1", &role)
        .await?;
    let boundary = answer.pointer("/Role/PermissionsBoundary/PermissionsBoundaryArn");
    Ok(boundary.cloned().unwrap_or_default())
}

/// However much is logged, and also where the role may not be assumed at first.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_told_nowhere() -> Result<()> {
    let mut world = World::without_operator("hush", Config::transparent()).await?;
    let role = format!("arn:aws:iam::{}:role/multiregion", world.account);
    world.configure_own(&json!({"roleARN": role, "externalID": EXTERNAL_ID}))?;
    world.set("RUST_LOG", "trace,aws_sigv4=trace,aws_smithy_runtime=trace");
    world.set("AWS_SECRET_ACCESS_KEY", "hush-secret-of-the-operator");
    let refused = Fault::new(FaultKind::AccessDenied).service(Service::Sts);
    world.proxy.configure(|config| config.faults.push(refused));
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    world
        .until("NoCredentials", "shop", TIMEOUT, |app| {
            condition(app, "Synced").1 == "NoCredentials"
        })
        .await?;
    world.proxy.configure(|config| config.faults.clear());
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;

    let mut told = world.log();
    ensure!(
        told.contains("AssumeRole") && told.contains("aws_sigv4") && told.contains("redacted"),
        "nothing was told at all"
    );
    told.push_str(&world.get("shop").await?.to_string());
    told.push_str(&world.events().await?);
    told.push_str(&world.ask("/metrics").await?.1);
    // The last two are how the emulator's session tokens begin, and what STS's answer has its secrets in.
    for secret in ["hush-secret", "FwoGZX", "SecretAccessKey>"] {
        let leaks: Vec<&str> = told.lines().filter(|line| line.contains(secret)).collect();
        ensure!(leaks.is_empty(), "{} lines: {:.600}", leaks.len(), leaks[0]);
    }
    Ok(())
}
