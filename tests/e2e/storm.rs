//! AWS's rules and its bad weather at the same time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind};

use crate::world::{World, condition, minimal};

const TIMEOUT: Duration = Duration::from_secs(240);

/// Slow states, lagging reads, limits and pages, while one call in twelve fails in one way or another.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_life_under_strict_aws_in_bad_weather() -> Result<()> {
    let world = World::new("storm", Config::strict()).await?;
    world.create_zone("example.com").await?;
    world.proxy.configure(|config| {
        config.seed = 20_261;
        for kind in [
            FaultKind::Throttle,
            FaultKind::Status500,
            FaultKind::ResetBefore,
            FaultKind::ResetAfter,
        ] {
            config.faults.push(Fault::new(kind).probability(0.02));
        }
    });
    let mut spec = minimal();
    spec["domain"] = json!({"name": "shop.example.com", "hostedZone": "example.com"});
    spec["deletionPolicy"] = json!("Delete");
    spec["tables"][0]["deletionProtection"] = json!("Disabled");
    stage(&world, "created", &spec).await?;
    world.assert_nothing_twice().await?;

    spec["function"] =
        json!({"memorySizeMiB": 256, "environment": {"COLOUR": "green"}, "logRetentionDays": 7});
    spec["staticAssets"] = json!({"originAccess": "OriginAccessIdentity"});
    spec["cdn"] = json!({"priceClass": "PriceClass_100"});
    stage(&world, "edited", &spec).await?;
    spec["staticAssets"] = json!({"originAccess": "OriginAccessControl"});
    stage(&world, "edited back", &spec).await?;
    for (region, name) in [("us-east-1", "shop-primary"), ("us-west-2", "shop-dr")] {
        ensure!(world.function_field(region, name, "MemorySize").await? == 256);
    }

    let weather = std::mem::take(&mut world.proxy.config().faults);
    world.proxy.configure(|config| config.faults.clear());
    world.pass("shop").await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_nothing_twice().await?;
    world.assert_quiet("shop").await?;

    world.proxy.configure(|config| config.faults = weather);
    let started = Instant::now();
    world.delete("shop").await?;
    world.until_gone("shop", TIMEOUT).await?;
    println!("gone after {:.0} s", started.elapsed().as_secs_f64());
    nothing_is_left(&world).await
}

async fn stage(world: &World, what: &str, spec: &Value) -> Result<()> {
    let started = Instant::now();
    world.apply("shop", spec).await?;
    let app = world.until_ready("shop", TIMEOUT).await?;
    ensure!(condition(&app, "CertificateIssued").0 == "True");
    println!("{what} after {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

async fn nothing_is_left(world: &World) -> Result<()> {
    for (service, operation, region, list) in [
        ("lambda", "ListFunctions", "us-east-1", "/Functions"),
        ("lambda", "ListFunctions", "us-west-2", "/Functions"),
        ("dynamodb", "ListTables", "us-east-1", "/TableNames"),
        ("dynamodb", "ListTables", "us-west-2", "/TableNames"),
        ("s3", "ListBuckets", "us-east-1", "/Buckets"),
        ("iam", "ListRoles", "us-east-1", "/Roles"),
        ("logs", "DescribeLogGroups", "us-west-2", "/logGroups"),
        (
            "acm",
            "ListCertificates",
            "us-east-1",
            "/CertificateSummaryList",
        ),
        (
            "cloudfront",
            "ListDistributions",
            "us-east-1",
            "/DistributionList/Items",
        ),
        (
            "cloudfront",
            "ListOriginAccessControls",
            "us-east-1",
            "/OriginAccessControlList/Items",
        ),
    ] {
        let listed = world
            .aws_itself()
            .call(service, operation, region, &json!({}))
            .await?;
        let left = listed.pointer(list).and_then(Value::as_array);
        ensure!(
            left.is_none_or(Vec::is_empty),
            "{service} {operation} in {region} still lists {left:?}"
        );
    }
    Ok(())
}
