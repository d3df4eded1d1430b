//! What the operator tells of itself, and what it keeps to itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use multiregion::aws::shared::TABLE;
use serde_json::{Value, json};
use strict_aws::Config;

use crate::world::{World, minimal};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Every family of the documentation is there, and no label is a name of anything.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_a_life_and_their_labels_are_bounded() -> Result<()> {
    let world = World::new("metrics", Config::transparent()).await?;
    ensure!(world.ask("/livez").await? == (200, "ok".into()));
    ensure!(world.ask("/readyz").await? == (200, "ok: leader".into()));
    world.apply("shop", &minimal()).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;
    let drift = |samples: &Samples| samples.sum("multiregion_drift_total");
    let before = Samples::of(&world).await?;
    ensure!(drift(&before) == 0.0, "a creation was counted as drift");
    for (condition, status) in [("Ready", "True"), ("Synced", "True")] {
        let labels = format!("type=\"{condition}\",status=\"{status}\",reason=\"Converged\"");
        let name = format!("multiregion_conditions{{{labels}}}");
        ensure!(before.0.get(&name) == Some(&1.0), "{name}");
    }

    world.set_memory("us-east-1", "shop-primary", 256).await?;
    world.pass("shop").await?;
    world.until_ready("shop", TIMEOUT).await?;
    let after = Samples::of(&world).await?;
    let name = "multiregion_drift_total{kind=\"lambda_function\",change=\"update\"}";
    ensure!(
        drift(&after) == 1.0 && after.0.get(name) == Some(&1.0),
        "{:?}",
        after.0
    );
    // Somebody who insists is told from somebody who tried something.
    let recurring = "multiregion_drift_recurring{kind=\"lambda_function\",change=\"update\"}";
    ensure!(!after.0.contains_key(recurring));
    for _ in 0..2 {
        world.set_memory("us-east-1", "shop-primary", 256).await?;
        world.pass("shop").await?;
        world.until_ready("shop", TIMEOUT).await?;
    }
    let after = Samples::of(&world).await?;
    ensure!(
        drift(&after) == 3.0 && after.0.get(recurring) == Some(&1.0),
        "{:?}",
        after.0
    );
    for family in [
        "multiregion_reconciles_total",
        "multiregion_reconcile_seconds_count",
        "multiregion_aws_calls_total",
        "multiregion_aws_call_seconds_count",
        "multiregion_aws_wait_seconds_total",
        "multiregion_shared_reads_total",
        "multiregion_drift_total",
        "multiregion_applied_total",
        "multiregion_conditions",
        "multiregion_oldest_condition_timestamp_seconds",
        "multiregion_oldest_pass_timestamp_seconds",
        "multiregion_oldest_drill_timestamp_seconds",
    ] {
        ensure!(after.sum(family) > 0.0, "{family} is missing");
    }

    world.delete("shop").await?;
    world.until_gone("shop", TIMEOUT).await?;
    let gone = Samples::of(&world).await?;
    for family in [
        "multiregion_conditions",
        "multiregion_oldest_pass_timestamp_seconds",
        "multiregion_oldest_drill_timestamp_seconds",
    ] {
        ensure!(gone.sum(family) == 0.0, "{family} of an app that is gone");
    }
    Samples(after.0.into_iter().chain(gone.0).collect()).check_labels(&world)
}

/// Samples by name and labels, as they are exposed.
struct Samples(BTreeMap<String, f64>);

impl Samples {
    async fn of(world: &World) -> Result<Self> {
        let (status, text) = world.ask("/metrics").await?;
        ensure!(status == 200 && text.trim_end().ends_with("# EOF"));
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.map(|line| {
            let (name, value) = line.rsplit_once(' ').context("a sample has a value")?;
            anyhow::Ok((name.to_owned(), value.parse()?))
        });
        Ok(Self(samples.collect::<Result<_>>()?))
    }

    fn sum(&self, family: &str) -> f64 {
        let of_family = self.0.iter().filter(|(name, _)| {
            name.strip_prefix(family)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        });
        of_family.map(|(_, value)| value).sum()
    }

    /// Every value of every label is one of a few known ones, or at least the name of nothing of the app's.
    fn check_labels(&self, world: &World) -> Result<()> {
        let reads = TABLE.map(|read| read.name);
        let known: BTreeMap<&str, &[&str]> = BTreeMap::from([
            ("read", &reads[..]),
            ("region", &["us-east-1", "us-west-2", "global"]),
            ("from", &["us-east-1", "us-west-2"]),
            ("to", &["us-east-1", "us-west-2"]),
            ("target", &["primary", "dr", "edge"]),
            ("change", &["create", "update", "delete"]),
            ("status", &["True", "False", "Unknown"]),
            (
                "service",
                &[
                    "acm",
                    "cloudfront",
                    "cloudfront-keyvaluestore",
                    "dynamodb",
                    "iam",
                    "lambda",
                    "logs",
                    "route53",
                    "s3",
                    "sts",
                ],
            ),
        ]);
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for name in self.0.keys() {
            let labels = name
                .split_once('{')
                .map_or("", |(_, labels)| labels.trim_end_matches('}'));
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').context("a label has a value")?;
                let value = value.trim_matches('"').to_owned();
                values.entry(label.to_owned()).or_default().insert(value);
            }
        }
        let names: BTreeSet<&str> = values.keys().map(String::as_str).collect();
        let documented = [
            "change",
            "from",
            "kind",
            "le",
            "operation",
            "outcome",
            "reason",
            "read",
            "region",
            "service",
            "status",
            "target",
            "to",
            "type",
        ];
        ensure!(names == BTreeSet::from(documented), "{names:?}");
        for (label, values) in &values {
            if let Some(known) = known.get(label.as_str()) {
                let strange: Vec<_> = values
                    .iter()
                    .filter(|value| !known.contains(&value.as_str()))
                    .collect();
                ensure!(strange.is_empty(), "{label}: {strange:?}");
            }
            // Operations are by far the most; AWS's own names, of those that the kinds use.
            ensure!(values.len() < 120, "{label} has {} values", values.len());
        }
        for (label, values) in &values {
            for value in values {
                let of_app = ["shop", "visits", &world.account, &world.namespace];
                ensure!(
                    !of_app.iter().any(|name| value.contains(name)),
                    "{label}=\"{value}\" is a name of the app's"
                );
            }
        }
        Ok(())
    }
}

/// Not when they are set, changed, drifted, compared or refused.
#[tokio::test(flavor = "multi_thread")]
async fn values_of_environment_variables_are_told_nowhere() -> Result<()> {
    let mut world = World::without_operator("secrets", Config::transparent()).await?;
    world.set("RUST_LOG", "warn,multiregion=trace");
    world.start().await?;
    let mut told = String::new();
    let mut spec = minimal();
    spec["function"] = json!({"environment": {"TOKEN": "hush-first", "OTHER": "hush-other"}});
    let manifest = world.manifest("shop.json", "shop", &spec)?;
    told.push_str(&plans(&world, &manifest).await?);
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    told.push_str(&status(&world).await?);

    spec["function"] = json!({"environment": {"TOKEN": "hush-second"}});
    let manifest = world.manifest("shop.json", "shop", &spec)?;
    told.push_str(&plans(&world, &manifest).await?);
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;

    let variables = json!({"TOKEN": "hush-by-hand", "MORE": "hush-more"});
    let drift = json!({"FunctionName": "shop-dr", "Environment": {"Variables": variables}});
    world
        .aws_itself()
        .call("lambda", "UpdateFunctionConfiguration", "us-west-2", &drift)
        .await?;
    let plan = plans(&world, &manifest).await?;
    ensure!(
        plan.contains("environment.TOKEN: changed (value not shown)")
            && plan.contains("environment.MORE: removed (value not shown)"),
        "{plan}"
    );
    told.push_str(&plan);
    world.pass("shop").await?;
    world.until_ready("shop", TIMEOUT).await?;
    told.push_str(&status(&world).await?);

    // Too much of it: refused by the operator itself.
    let mut large = spec.clone();
    let value = |character: &str| format!("hush-{}", character.repeat(670));
    large["function"] =
        json!({"environment": {"AA": value("ä"), "BB": value("ö"), "CC": value("ü")}});
    world.apply("shop", &large).await?;
    world
        .until("the refusal", "shop", TIMEOUT, |app| {
            crate::world::condition(app, "Ready").1 == "Invalid"
        })
        .await?;
    told.push_str(&status(&world).await?);
    world.apply("shop", &spec).await?;
    world.until_ready("shop", TIMEOUT).await?;
    world.assert_quiet("shop").await?;

    told.push_str(&world.log());
    told.push_str(&world.events().await?);
    told.push_str(&world.ask("/metrics").await?.1);
    ensure!(told.contains("environment"), "nothing was told at all");
    let leaks: Vec<&str> = told.lines().filter(|line| line.contains("hush")).collect();
    ensure!(leaks.is_empty(), "{leaks:#?}");
    Ok(())
}

async fn plans(world: &World, manifest: &str) -> Result<String> {
    let mut told = String::new();
    for output in ["text", "json"] {
        let output = world
            .multiregion(&["plan", "-f", manifest, "-o", output], &[])
            .await?;
        ensure!(
            output.status.code() == Some(2),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        told.push_str(&String::from_utf8_lossy(&output.stdout));
        told.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Ok(told)
}

/// The status, without the spec that has the values of course.
async fn status(world: &World) -> Result<String> {
    let app: Value = world.get("shop").await?;
    Ok(serde_json::to_string_pretty(&app["status"])?)
}
