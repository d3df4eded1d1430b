//! Bad days: what goes wrong outside, and what the operator makes of it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind};

use crate::world::{World, condition, minimal};

const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn names_of_another_app_are_named_and_not_touched() -> Result<()> {
    let world = World::new("foreign", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    world.proxy.clear_calls();
    let mut spec = minimal();
    spec["resourcePrefix"] = json!("shop");
    world.apply("copy", &spec).await?;
    let app = world
        .until("Stalled", "copy", TIMEOUT, |app| {
            condition(app, "Stalled").0 == "True"
        })
        .await?;
    let (status, reason, message) = condition(&app, "Ready");
    ensure!(
        (status, reason) == ("False", "OwnedByAnother"),
        "{status} {reason}"
    );
    ensure!(
        message.contains(&format!("MultiRegionApp {}/shop", world.namespace)),
        "{message}"
    );
    let writes = world.proxy.writes();
    ensure!(
        writes.is_empty(),
        "something of another app was written: {writes:#?}"
    );
    world.delete("copy").await?;
    world.until_gone("copy", TIMEOUT).await?;
    world.assert_quiet("shop").await
}

/// S3's names are everybody's: the other account has it, and the condition says what AWS said.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_name_taken_by_another_account_stalls_the_app() -> Result<()> {
    let world = World::new("taken", Config::transparent()).await?;
    let bucket = format!("shop-static-{}", world.account);
    world
        .other_account()
        .call(
            "s3",
            "CreateBucket",
            "us-east-1",
            &json!({"Bucket": bucket}),
        )
        .await?;
    world.apply("shop", &minimal()).await?;
    let app = world
        .until("Stalled", "shop", TIMEOUT, |app| {
            condition(app, "Stalled").0 == "True"
        })
        .await?;
    ensure!(
        condition(&app, "Ready").1 == "OwnedByAnother",
        "{:?}",
        condition(&app, "Ready")
    );
    ensure!(
        condition(&app, "Ready").2.contains(&bucket),
        "{}",
        condition(&app, "Ready").2
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_the_app_says_so() -> Result<()> {
    let mut world = World::without_operator("nocreds", Config::transparent()).await?;
    world.without_credentials();
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    let app = world
        .until("NoCredentials", "shop", TIMEOUT, |app| {
            condition(app, "Synced").1 == "NoCredentials"
        })
        .await?;
    ensure!(condition(&app, "Ready").0 == "False");
    ensure!(condition(&app, "Synced").0 == "Unknown");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_action_is_named_with_its_resource_and_the_rest_goes_on() -> Result<()> {
    let world = World::new("denied", Config::transparent()).await?;
    world.proxy.configure(|config| {
        config
            .faults
            .push(Fault::new(FaultKind::AccessDenied).operation("CreateTable"));
    });
    world.apply("shop", &minimal()).await?;
    let app = world
        .until("AccessDenied", "shop", TIMEOUT, |app| {
            condition(app, "Synced").1 == "AccessDenied"
        })
        .await?;
    let message = condition(&app, "Synced").2;
    ensure!(
        message.contains("dynamodb:CreateTable")
            && message.contains("dynamodb_table/us-east-1/shop-visits"),
        "{message}"
    );
    world.proxy.configure(|config| config.faults.clear());
    world.pass("shop").await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hosted_zone_that_is_missing_or_ambiguous_is_said_to_be() -> Result<()> {
    let world = World::new("zones", Config::transparent()).await?;
    let first = world.create_zone("example.dev").await?;
    let second =
        json!({"Name": "example.dev", "CallerReference": format!("second-{}", world.namespace)});
    world
        .aws()
        .call("route53", "CreateHostedZone", "us-east-1", &second)
        .await?;
    let mut spec = minimal();
    spec["domain"] = json!({"name": "shop.example.net", "hostedZone": "example.net"});
    world.apply("shop", &spec).await?;
    let app = world
        .until("Stalled", "shop", TIMEOUT, |app| {
            condition(app, "Stalled").0 == "True"
        })
        .await?;
    ensure!(
        condition(&app, "Ready").2.contains("example.net"),
        "{:?}",
        condition(&app, "Ready")
    );
    spec["domain"] = json!({"name": "shop.example.dev", "hostedZone": "example.dev"});
    world.apply("shop", &spec).await?;
    world
        .until("ambiguous zones", "shop", TIMEOUT, |app| {
            condition(app, "Stalled").0 == "True" && condition(app, "Ready").2.contains(&first)
        })
        .await?;
    spec["domain"]["hostedZone"] = json!(first);
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await
}

/// `Delete` means everything, but protection is never lifted by us, and with it off a user's objects go too.
#[tokio::test(flavor = "multi_thread")]
async fn deletion_protection_stands_in_the_way_until_a_person_lifts_it() -> Result<()> {
    let world = World::new("protected", Config::transparent()).await?;
    let mut spec = minimal();
    spec["deletionPolicy"] = json!("Delete");
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.delete("shop").await?;
    let app = world
        .until("DeletionProtected", "shop", TIMEOUT, |app| {
            condition(app, "Ready").1 == "DeletionProtected"
        })
        .await?;
    ensure!(condition(&app, "Stalled").0 == "True");
    for region in ["us-west-2", "us-east-1"] {
        let lift = json!({"TableName": "shop-visits", "DeletionProtectionEnabled": false});
        world
            .aws()
            .call("dynamodb", "UpdateTable", region, &lift)
            .await?;
    }
    world
        .annotate("shop", "multiregion.dev/reconcile=lifted")
        .await?;
    world.until_gone("shop", TIMEOUT).await?;
    let tables = world
        .aws()
        .call("dynamodb", "ListTables", "us-east-1", &json!({}))
        .await?;
    ensure!(tables["TableNames"] == json!([]), "{tables}");
    Ok(())
}

/// `RetainData` takes a bucket that only holds the placeholder, and leaves one with a user's object.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_with_a_users_object_stays() -> Result<()> {
    let world = World::new("objects", Config::transparent()).await?;
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    let bucket = format!("shop-static-{}", world.account);
    let object = json!({"Bucket": bucket, "Key": "_nuxt/app.js", "Body": "export {}"});
    world
        .aws()
        .call("s3", "PutObject", "us-east-1", &object)
        .await?;
    world.delete("shop").await?;
    world.until_gone("shop", TIMEOUT).await?;
    let left = world
        .aws()
        .call("s3", "ListBuckets", "us-east-1", &json!({}))
        .await?;
    let left: Vec<&str> = left["Buckets"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|b| b["Name"].as_str())
        .collect();
    ensure!(
        left.contains(&bucket.as_str()),
        "the bucket with the user's object is gone: {left:?}"
    );
    ensure!(
        left.iter().all(|name| name.contains("-static-")),
        "a bucket without data stayed: {left:?}"
    );
    let events = world
        .kubectl(&["get", "events.events.k8s.io", "-o", "json"], None)
        .await?;
    ensure!(
        events.contains("Retained"),
        "no event tells what was retained"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dr_function_deleted_by_hand_comes_back_and_the_distribution_follows_its_new_host()
-> Result<()> {
    let world = World::new("newhost", Config::strict()).await?;
    world.proxy.configure(quick);
    world.apply("shop", &minimal()).await?;
    let app = world.until_ready("shop", Duration::from_secs(120)).await?;
    let url = |app: &Value| app.pointer("/status/regions/1/functionURL").cloned();
    let before = url(&app);
    world
        .proxy
        .configure(|config| config.delays.distribution_in_progress = Duration::from_secs(8));
    world
        .aws()
        .call(
            "lambda",
            "DeleteFunction",
            "us-west-2",
            &json!({"FunctionName": "shop-dr"}),
        )
        .await?;
    world
        .annotate("shop", "multiregion.dev/reconcile=deleted")
        .await?;
    let meanwhile = world
        .until(
            "the condition meanwhile",
            "shop",
            Duration::from_secs(120),
            |app| condition(app, "FailoverHealthy").0 == "False",
        )
        .await?;
    ensure!(
        condition(&meanwhile, "Ready").0 == "True",
        "a lost DR side is no reason for Ready to go"
    );
    let app = world
        .until(
            "the DR side again",
            "shop",
            Duration::from_secs(120),
            |app| {
                ["NotProbed", "DRReady"].contains(&condition(app, "FailoverHealthy").1)
                    && condition(app, "Synced").0 == "True"
            },
        )
        .await?;
    ensure!(url(&app) != before, "the URL kept its host");
    let id = app.pointer("/status/distribution/id").cloned();
    let config = world
        .aws()
        .call(
            "cloudfront",
            "GetDistributionConfig",
            "us-east-1",
            &json!({"Id": id}),
        )
        .await?;
    let host = url(&app)
        .and_then(|url| url.as_str().map(str::to_owned))
        .unwrap_or_default();
    let host = host.trim_start_matches("https://").trim_end_matches('/');
    ensure!(
        config.to_string().contains(host),
        "the distribution does not know {host}"
    );
    world.assert_quiet("shop").await
}

/// ACK's controllers took 165 s after such a spell.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_seconds_of_503_during_creation_cost_no_more_than_fifteen_after() -> Result<()> {
    let world = World::new("weather", Config::transparent()).await?;
    let spell = Duration::from_secs(30);
    world.proxy.configure(|config| {
        config
            .faults
            .push(Fault::new(FaultKind::Status503).lasting(spell))
    });
    let started = Instant::now();
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", Duration::from_secs(120)).await?;
    let after = started.elapsed().saturating_sub(spell);
    println!("Ready {:.1} s after 30 s of 503", after.as_secs_f64());
    ensure!(after < Duration::from_secs(15), "{after:?}");
    world.assert_quiet("shop").await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_dr_region_a_black_hole_the_primary_serves_and_the_status_says_what_is_missing()
-> Result<()> {
    let world = World::new("blackhole", Config::transparent()).await?;
    world.proxy.configure(|config| {
        config
            .faults
            .push(Fault::new(FaultKind::BlackHole).region("us-west-2"));
    });
    world.apply("shop", &minimal()).await?;
    let app = world
        .until(
            "a distribution that serves from the primary",
            "shop",
            Duration::from_secs(120),
            |app| app.pointer("/status/distribution/status") == Some(&json!("Deployed")),
        )
        .await?;
    ensure!(condition(&app, "Ready").0 == "False");
    ensure!(
        condition(&app, "Synced").0 == "Unknown"
            && condition(&app, "Synced").2.contains("us-west-2")
    );
    let id = app.pointer("/status/distribution/id").cloned();
    let serving = || async {
        let config = world
            .aws()
            .call(
                "cloudfront",
                "GetDistributionConfig",
                "us-east-1",
                &json!({"Id": id}),
            )
            .await?;
        anyhow::Ok(config["DistributionConfig"]["Enabled"] == json!(true))
    };
    testbed::wait::until(
        "the distribution to be enabled",
        Duration::from_secs(60),
        || async { Ok(testbed::wait::Seen::when(serving().await?, "disabled")) },
    )
    .await?;
    world.proxy.configure(|config| config.faults.clear());
    let app = world.until_ready("shop", Duration::from_secs(60)).await?;
    ensure!(
        condition(&app, "FailoverHealthy").1 == "NotProbed",
        "{:?}",
        condition(&app, "FailoverHealthy")
    );
    world.assert_quiet("shop").await
}

/// Twenty deaths at whatever moment, of creation and of deletion: nothing twice, nothing lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_killed_twenty_times_makes_nothing_twice_and_loses_nothing() -> Result<()> {
    let mut world = World::new("killed", Config::transparent()).await?;
    let mut spec = minimal();
    spec["deletionPolicy"] = json!("Delete");
    spec["tables"][0]["deletionProtection"] = json!("Disabled");
    let mut seed = 0x9E37_79B9_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    world.apply("shop", &spec).await?;
    for _ in 0..10 {
        world
            .kill_after_writes(usize::try_from(next() % 12)?)
            .await?;
        world.start().await?;
    }
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    let distributions = world
        .aws()
        .call("cloudfront", "ListDistributions", "us-east-1", &json!({}))
        .await?;
    let count = distributions
        .pointer("/DistributionList/Items")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    ensure!(count == 1, "{count} distributions");
    world.delete("shop").await?;
    for _ in 0..10 {
        world
            .kill_after_writes(usize::try_from(next() % 8)?)
            .await?;
        world.start().await?;
    }
    world.until_gone("shop", TIMEOUT).await?;
    for (service, operation, region, list) in [
        ("lambda", "ListFunctions", "us-west-2", "Functions"),
        ("dynamodb", "ListTables", "us-east-1", "TableNames"),
        ("iam", "ListRoles", "us-east-1", "Roles"),
    ] {
        let left = world
            .aws()
            .call(service, operation, region, &json!({}))
            .await?;
        ensure!(
            left[list].as_array().is_none_or(Vec::is_empty),
            "{operation}: {}",
            left[list]
        );
    }
    Ok(())
}

/// Everything that can happen to a call, at random, through a whole life.
#[tokio::test(flavor = "multi_thread")]
async fn lost_replies_throttles_and_errors_at_random_delay_but_do_not_harm() -> Result<()> {
    let world = World::new("random", Config::transparent()).await?;
    world.proxy.configure(|config| {
        for kind in [
            FaultKind::ResetAfter,
            FaultKind::ResetBefore,
            FaultKind::Status500,
            FaultKind::Throttle,
        ] {
            config.faults.push(Fault::new(kind).probability(0.04));
        }
    });
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", Duration::from_secs(180)).await?;
    world.proxy.configure(|config| config.faults.clear());
    world.pass("shop").await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await
}

/// AWS's order of things, with its minutes cut to a second.
fn quick(config: &mut Config) {
    config.delays.distribution_in_progress = Duration::from_secs(1);
    config.delays.function_pending = Duration::from_secs(1);
    config.delays.role_not_assumable = Duration::from_secs(1);
    config.delays.table_creating = Duration::from_secs(1);
    config.delays.replica_changing = Duration::from_secs(1);
    config.delays.stale_reads = Duration::from_secs(1);
}
