//! An app's life: made, kept, changed, taken away.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strict_aws::Config;

use crate::world::{World, condition, minimal};

/// Under the strict proxy nothing is at once: AWS's minutes are seconds there.
const STRICT: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn the_smallest_app_becomes_ready_and_stays_quiet() -> Result<()> {
    let world = World::new("smallest", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", Duration::from_secs(60)).await?;
    world.assert_quiet("shop").await?;
    world.delete("shop").await?;
    world.until_gone("shop", Duration::from_secs(60)).await
}

/// The reference deployment, from nothing to nothing, under all of the proxy's rules at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_reference_deployment_lives_and_dies_under_strict_aws() -> Result<()> {
    let world = World::new("reference", Config::strict()).await?;
    world.create_zone("example.com").await?;
    world.apply_sample("reference.yaml").await?;
    let app = world.until_ready("reference", STRICT).await?;
    ensure!(condition(&app, "CertificateIssued").0 == "True");
    world
        .until("DR to be ready", "reference", STRICT, |app| {
            condition(app, "FailoverHealthy").1 == "DRReady"
                && condition(app, "ReplicationHealthy").1 == "WithinObjective"
        })
        .await?;
    ensure!(condition(&app, "RuntimeSupported").1 == "EndOfSupport");
    ensure!(app["status"]["url"] == "https://shop.example.com");
    world.assert_quiet("reference").await?;

    let function = json!({"FunctionName": "reference-primary", "MemorySize": 256});
    world
        .aws()
        .call(
            "lambda",
            "UpdateFunctionConfiguration",
            "us-east-1",
            &function,
        )
        .await?;
    world.pass("reference").await?;
    world.until_ready("reference", STRICT).await?;
    let seen = world
        .aws()
        .call(
            "lambda",
            "GetFunctionConfiguration",
            "us-east-1",
            &json!({"FunctionName": "reference-primary"}),
        )
        .await?;
    ensure!(seen["MemorySize"] == 512, "drift was not corrected: {seen}");
    world.assert_quiet("reference").await?;

    let everything = json!({"spec": {
        "deletionPolicy": "Delete",
        "tables": [{"name": "visits", "deletionProtection": "Disabled",
            "key": {"partition": {"name": "PK", "type": "String"}, "sort": {"name": "SK", "type": "String"}}}],
    }});
    world.patch("reference", &everything).await?;
    world.until_ready("reference", STRICT).await?;
    world.delete("reference").await?;
    world.until_gone("reference", STRICT).await?;
    for (service, operation, region, list) in [
        ("lambda", "ListFunctions", "us-east-1", "Functions"),
        ("lambda", "ListFunctions", "us-west-2", "Functions"),
        ("dynamodb", "ListTables", "us-east-1", "TableNames"),
        ("dynamodb", "ListTables", "us-west-2", "TableNames"),
        ("s3", "ListBuckets", "us-east-1", "Buckets"),
        ("iam", "ListRoles", "us-east-1", "Roles"),
        ("logs", "DescribeLogGroups", "us-east-1", "logGroups"),
        (
            "acm",
            "ListCertificates",
            "us-east-1",
            "CertificateSummaryList",
        ),
    ] {
        let left = world
            .aws()
            .call(service, operation, region, &json!({}))
            .await?;
        let empty = left[list].as_array().is_none_or(Vec::is_empty);
        ensure!(
            empty,
            "{service} {operation} in {region} still lists {}",
            left[list]
        );
    }
    Ok(())
}

/// DR comes and goes, the way to S3 changes, and no request finds a closed door.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_app_gains_and_loses_its_dr_region_and_changes_its_way_to_s3() -> Result<()> {
    let world = World::new("changes", Config::transparent()).await?;
    let timeout = Duration::from_secs(60);
    let mut spec = minimal();
    spec["regions"] = json!({"primary": "us-east-1"});
    world.apply("shop", &spec).await?;
    let app = world.until_ready("shop", timeout).await?;
    ensure!(condition(&app, "FailoverHealthy").1 == "NotConfigured");
    world.assert_quiet("shop").await?;

    world.apply("shop", &minimal()).await?;
    let app = world.until_ready("shop", timeout).await?;
    ensure!(condition(&app, "FailoverHealthy").1 == "NotProbed");
    world.assert_quiet("shop").await?;

    for access in ["OriginAccessIdentity", "OriginAccessControl"] {
        let mut spec = minimal();
        spec["staticAssets"] = json!({"originAccess": access});
        world.apply("shop", &spec).await?;
        world.until_ready("shop", timeout).await?;
        world.assert_quiet("shop").await?;
    }

    world.apply("shop", &spec).await?;
    world.until_ready("shop", timeout).await?;
    world.assert_quiet("shop").await?;
    let functions = world
        .aws()
        .call("lambda", "ListFunctions", "us-west-2", &json!({}))
        .await?;
    ensure!(
        functions["Functions"] == json!([]),
        "the DR function is still there"
    );
    let tables = world
        .aws()
        .call("dynamodb", "ListTables", "us-west-2", &json!({}))
        .await?;
    ensure!(
        tables["TableNames"] == json!(["shop-visits"]),
        "the replica has to stay: {tables}"
    );
    let app = world.get("shop").await?;
    let retained = |kind: &str| {
        let items = app["status"]["retained"].as_array();
        items.into_iter().flatten().any(|item| item["kind"] == kind)
    };
    ensure!(
        retained("dynamodb_table_replica") && retained("s3_bucket"),
        "{}",
        app["status"]["retained"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn observing_and_suspended_apps_are_never_written_to() -> Result<()> {
    let world = World::new("observe", Config::transparent()).await?;
    let timeout = Duration::from_secs(30);
    let mut spec = minimal();
    spec["managementPolicy"] = json!("Observe");
    world.apply("shop", &spec).await?;
    let app = world
        .until("Observed", "shop", timeout, |app| {
            condition(app, "Synced").1 == "Observed"
        })
        .await?;
    ensure!(
        condition(&app, "Synced")
            .2
            .contains("changes would be made")
    );
    ensure!(
        world.proxy.writes().is_empty(),
        "Observe wrote: {:?}",
        world.proxy.writes()
    );
    world.delete("shop").await?;
    world.until_gone("shop", timeout).await?;
    ensure!(
        world.proxy.writes().is_empty(),
        "deleting an observed app wrote: {:?}",
        world.proxy.writes()
    );

    let mut spec = minimal();
    spec["suspend"] = json!(true);
    world.apply("shop", &spec).await?;
    world
        .until("Suspended", "shop", timeout, |app| {
            condition(app, "Synced").1 == "Suspended"
        })
        .await?;
    world.delete("shop").await?;
    world
        .until("a deletion that waits", "shop", timeout, |app| {
            condition(app, "Synced").2.contains("deletion waits")
        })
        .await?;
    ensure!(
        world.proxy.writes().is_empty(),
        "a suspended app was written to"
    );
    world
        .patch("shop", &json!({"spec": {"suspend": false}}))
        .await?;
    world.until_gone("shop", timeout).await
}

/// `Retain` leaves all; the same manifest applied again takes it up without a write but the tags' own.
#[tokio::test(flavor = "multi_thread")]
async fn retained_resources_are_taken_up_again() -> Result<()> {
    let world = World::new("retain", Config::transparent()).await?;
    let timeout = Duration::from_secs(60);
    let mut spec = minimal();
    spec["deletionPolicy"] = json!("Retain");
    world.apply("shop", &spec).await?;
    let before = world.until_ready("shop", timeout).await?;
    world.assert_quiet("shop").await?;
    world.proxy.clear_calls();
    world.delete("shop").await?;
    world.until_gone("shop", timeout).await?;
    world.apply("shop", &spec).await?;
    let after = world.until_ready("shop", timeout).await?;
    ensure!(
        world.proxy.writes().is_empty(),
        "{:?}",
        world.proxy.writes()
    );
    let distribution = |app: &Value| app["status"]["distribution"]["id"].clone();
    ensure!(distribution(&before) == distribution(&after));
    world.assert_quiet("shop").await
}

/// DNS elsewhere: the records are in the status, and the app waits for a person, saying so.
#[tokio::test(flavor = "multi_thread")]
async fn with_dns_elsewhere_the_status_names_the_records_to_create() -> Result<()> {
    let world = World::new("elsewhere", Config::strict()).await?;
    let mut spec = minimal();
    spec["domain"] = json!({"name": "shop.example.org"});
    world.apply("shop", &spec).await?;
    let app = world
        .until(
            "the validation record in the status",
            "shop",
            STRICT,
            |app| {
                condition(app, "Ready").1 == "WaitingForDNS"
                    && app.pointer("/status/dns/records/0/purpose") == Some(&json!("Validation"))
            },
        )
        .await?;
    let record = &app["status"]["dns"]["records"][0];
    // The other provider: any zone that the proxy's ACM asks.
    let zone = world.create_zone("example.org").await?;
    world
        .aws()
        .call(
            "route53",
            "ChangeResourceRecordSets",
            "us-east-1",
            &json!({"HostedZoneId": zone, "ChangeBatch": {"Changes": [{"Action": "CREATE", "ResourceRecordSet": {
                "Name": record["name"], "Type": record["type"], "TTL": 300,
                "ResourceRecords": [{"Value": record["value"]}],
            }}]}}),
        )
        .await?;
    world.pass("shop").await?;
    let app = world.until_ready("shop", STRICT).await?;
    let purposes: Vec<&Value> = app["status"]["dns"]["records"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|record| &record["purpose"])
        .collect();
    ensure!(purposes == ["Validation", "Alias"], "{purposes:?}");
    world.assert_quiet("shop").await
}
