//! `testbed bench`: what an app costs, in time, AWS calls, processor and memory.
//!
//! The emulator is plain (no delays, no limits), so that the figures are the operator's own; the proxy before it counts
//! the calls and serves the origin access identities that the emulator lacks.

mod sharing;
mod watching;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use strict_aws::Config;
use testbed::wait::{self, Seen};
use testbed::{paths, setup};

use crate::show::Show;
use crate::stack::{AwsChoice, Stack, ensure_namespace, text};
use crate::watch::{App, has_condition};

/// As many passes as show both those that read every facet and those that do not.
const PASSES: usize = 12;
const SETTLED_WITHIN: Duration = Duration::from_secs(300);

/// What a pass cost.
struct Pass {
    calls: usize,
    writes: usize,
    seconds: f64,
    cpu_milliseconds: f64,
}

/// One app, a dozen passes that find nothing to do, then as many apps as asked for; or these alone.
///
/// What a settled fleet costs is counted for `watched`.
pub async fn run(apps: usize, fleet: bool, watched: Duration) -> Result<()> {
    let mut show = Show::new();
    if cfg!(debug_assertions) {
        show.event("this is a debug build; the figures that count are those of `make bench`");
    }
    setup::ensure(|line| println!("   {line}")).await?;
    let mut stack = Stack::start(&mut show, Config::transparent()).await?;
    stack.start_operator(&mut show).await?;
    let manifest = paths::repository().join("deploy/samples/reference.yaml");
    let app = App::read(&stack.control_plane, &manifest).await?;
    stack.create_zone(&show, "example.com").await?;
    ensure_namespace(&stack.control_plane, &app.namespace).await?;

    if fleet {
        fleet_of(&stack, &mut show, &app.namespace, apps, 0, watched).await?;
        show.heading("Stop");
        return stack.stop(&show).await;
    }

    show.heading("From apply to Ready");
    clear_calls(&stack)?;
    let start = Instant::now();
    stack
        .control_plane
        .kubectl_ok(&["apply", "--server-side", "-f", &text(&manifest)], None)
        .await?;
    wait_ready(&stack, &app).await?;
    let ready = start.elapsed();
    let (calls, writes) = calls(&stack)?;
    let resources = app
        .get(&stack.control_plane)
        .await?
        .context("the app is gone")?["status"]["inventory"]
        .as_array()
        .map_or(0, Vec::len);
    show.event(&format!(
        "reference.yaml: {:.1} s, {calls} AWS calls ({writes} writes), {resources} resources",
        ready.as_secs_f64()
    ));
    show.event(&format!("of them: {}", most_called(&stack)?));
    settle(&stack, &app).await?;

    show.heading("A full pass that finds nothing to do");
    let mut passes = Vec::new();
    for number in 0..PASSES {
        passes.push(one_pass(&stack, &app, &number.to_string()).await?);
    }
    show_passes(&show, &mut passes);
    if passes.iter().any(|pass| pass.writes > 0) {
        bail!("a pass of a settled app wrote to AWS");
    }
    show.event(&format!(
        "resident memory with one app: {}",
        memory(&stack)?
    ));
    sharing::run(&stack, &app, &mut show).await?;

    watching::run(&stack, &app, &mut show).await?;

    fleet_of(&stack, &mut show, &app.namespace, apps, 1, watched).await?;
    show.heading("Stop");
    stack.stop(&show).await
}

/// So many apps beside those that are there, all at once.
async fn fleet_of(
    stack: &Stack,
    show: &mut Show,
    namespace: &str,
    apps: usize,
    there: usize,
    watched: Duration,
) -> Result<()> {
    show.heading(&format!("{apps} apps at once"));
    clear_calls(stack)?;
    let start = Instant::now();
    many_apps(stack, namespace, apps).await?;
    let took = start.elapsed().as_secs_f64();
    let (made, writes) = calls(stack)?;
    show.event(&format!(
        "all are Ready and Synced after {took:.0} s; {:.1} AWS calls an app, {:.1} of them writes",
        made as f64 / apps as f64,
        writes as f64 / apps as f64
    ));
    let all = apps + there;
    watching::probed(stack, all).await?;
    show.event(&format!(
        "resident memory with {all} apps, all probed: {}",
        memory(stack)?
    ));
    clear_calls(stack)?;
    let before = Passes::read(stack).await?;
    let cpu = stack.with_operator(testbed::Operator::cpu_seconds)?;
    // A span of time is what is measured here.
    tokio::time::sleep(watched).await;
    let cpu = stack.with_operator(testbed::Operator::cpu_seconds)? - cpu;
    let after = Passes::read(stack).await?;
    let hourly = |count: f64| count * 3600.0 / watched.as_secs_f64();
    let of_each = |count: u64| hourly(count as f64) / all as f64;
    let calls = |passes: &Passes| passes.calls.values().sum::<u64>();
    show.event(&format!(
        "watching them for {} s: {:.0} processor seconds an hour; an hour and app {:.1} passes, {:.0} AWS calls; resident \
         memory {}",
        watched.as_secs(),
        hourly(cpu),
        of_each(after.count - before.count),
        of_each(calls(&after) - calls(&before)),
        memory(stack)?
    ));
    let mut operations: Vec<(f64, &String)> = after
        .calls
        .iter()
        .map(|(operation, count)| {
            let before = before.calls.get(operation).copied().unwrap_or_default();
            (of_each(count - before), operation)
        })
        .filter(|(count, _)| *count >= 0.05)
        .collect();
    operations.sort_by(|one, other| other.0.total_cmp(&one.0));
    let operations: Vec<String> = operations
        .iter()
        .map(|(count, operation)| format!("{operation} {count:.1}"))
        .collect();
    show.event(&format!("of them: {}", operations.join(", ")));
    Ok(())
}

fn show_passes(show: &Show, passes: &mut [Pass]) {
    passes.sort_by_key(|pass| pass.calls);
    // Those with the most calls are those that read every facet.
    let most = passes.last().map_or(0, |pass| pass.calls);
    let (full, fewer): (Vec<&Pass>, Vec<&Pass>) =
        passes.iter().partition(|pass| pass.calls == most);
    for (what, group) in [("every facet", full), ("without the slow facets", fewer)] {
        let mut seconds: Vec<f64> = group.iter().map(|pass| pass.seconds).collect();
        let mut cpu: Vec<f64> = group.iter().map(|pass| pass.cpu_milliseconds).collect();
        let calls: Vec<String> = group.iter().map(|pass| pass.calls.to_string()).collect();
        show.event(&format!(
            "{what}: {} AWS calls, {:.0} ms, {:.0} ms CPU (medians of {} passes)",
            calls.first().map_or("no", String::as_str),
            median(&mut seconds) * 1000.0,
            median(&mut cpu),
            group.len()
        ));
    }
}

async fn one_pass(stack: &Stack, app: &App, token: &str) -> Result<Pass> {
    let before = Passes::read(stack).await?;
    let cpu = stack.with_operator(testbed::Operator::cpu_seconds)?;
    clear_calls(stack)?;
    // Any change of an annotation is followed by a pass; that of `reconcile` would always read every facet.
    let annotation = format!("bench.multiregion.dev/pass={token}");
    let annotate = [
        "annotate",
        "multiregionapp",
        &app.name,
        "-n",
        &app.namespace,
        "--overwrite",
        &annotation,
    ];
    stack.control_plane.kubectl_ok(&annotate, None).await?;
    let after = wait::until("a pass", Duration::from_secs(30), async || {
        let now = Passes::read(stack).await?;
        Ok(if now.count > before.count {
            Seen::Done(now)
        } else {
            Seen::Waiting(format!("{} passes", now.count))
        })
    })
    .await?;
    if after.count != before.count + 1 {
        bail!("{} passes instead of one", after.count - before.count);
    }
    let (calls, writes) = calls(stack)?;
    let cpu_milliseconds = (stack.with_operator(testbed::Operator::cpu_seconds)? - cpu) * 1000.0;
    Ok(Pass {
        calls,
        writes,
        seconds: after.seconds - before.seconds,
        cpu_milliseconds,
    })
}

/// Apps of the smallest kind, all at once.
async fn many_apps(stack: &Stack, namespace: &str, apps: usize) -> Result<()> {
    apply_apps(stack, namespace, "bench", apps, None)
        .await
        .map(drop)
}

/// Apps of the smallest kind and their names, ready; with names in `zone` where there is one.
async fn apply_apps(
    stack: &Stack,
    namespace: &str,
    prefix: &str,
    apps: usize,
    zone: Option<&str>,
) -> Result<Vec<String>> {
    let read = ["create", "--dry-run=client", "-o", "json", "-f"];
    let sample = text(&paths::repository().join("deploy/samples/minimal.yaml"));
    let kube = &stack.control_plane;
    let mut object: Value = serde_json::from_str(
        &kube
            .kubectl_ok(&[&read[..], &[&sample]].concat(), None)
            .await?,
    )?;
    let mut names = Vec::new();
    let mut manifests = String::new();
    for number in 0..apps {
        let name = format!("{prefix}-{number}");
        if let Some(zone) = zone {
            object["spec"]["domain"] =
                json!({"name": format!("{name}.{zone}"), "hostedZone": zone});
        }
        object["metadata"]["name"] = Value::from(name.clone());
        object["metadata"]["namespace"] = Value::from(namespace);
        manifests.push_str(&format!("---\n{object}\n"));
        names.push(name);
    }
    kube.kubectl_ok(&["apply", "--server-side", "-f", "-"], Some(&manifests))
        .await?;
    for condition in ["Ready", "Synced"] {
        let mut wait = vec!["wait", "multiregionapp", "-n", namespace, "--timeout=20m"];
        let condition = format!("--for=condition={condition}=True");
        wait.push(&condition);
        wait.extend(names.iter().map(String::as_str));
        kube.kubectl_ok(&wait, None).await?;
    }
    Ok(names)
}

async fn wait_ready(stack: &Stack, app: &App) -> Result<()> {
    // kubectl watches, so that the time is not rounded to that between two looks.
    let name = app.name.as_str();
    let wait = [
        "wait",
        "multiregionapp",
        name,
        "-n",
        &app.namespace,
        "--for=condition=Ready=True",
        "--timeout=5m",
    ];
    stack.control_plane.kubectl_ok(&wait, None).await.map(drop)
}

/// Waits until nothing is under way and no pass is due soon: what was just changed is looked at once more.
async fn settle(stack: &Stack, app: &App) -> Result<()> {
    wait::until("the app to settle", SETTLED_WITHIN, async || {
        let object = app
            .get(&stack.control_plane)
            .await?
            .context("the app is gone")?;
        if !has_condition(&object, "Synced", "True") {
            return Ok(Seen::Waiting("not Synced".to_owned()));
        }
        // The pass that checks comes half a minute after the one that changed something last.
        let before = Passes::read(stack).await?.count;
        tokio::time::sleep(Duration::from_secs(40)).await;
        let after = Passes::read(stack).await?.count;
        Ok(Seen::when(
            before == after,
            format!("{} passes in 40 s", after - before),
        ))
    })
    .await
}

/// What `/metrics` says of passes so far.
struct Passes {
    count: u64,
    seconds: f64,
    /// The operator's calls to AWS, by operation; the edge's are not among them.
    calls: BTreeMap<String, u64>,
}

impl Passes {
    async fn read(stack: &Stack) -> Result<Self> {
        let url = stack.with_operator(|operator| Ok(operator.url()))?;
        let text = testbed::metrics_text(&url).await?;
        let value = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.with_context(|| format!("no {name} in /metrics"))
        };
        let mut calls = BTreeMap::new();
        for line in text.lines() {
            let Some((labels, count)) = line
                .strip_prefix("multiregion_aws_calls_total{")
                .and_then(|rest| rest.rsplit_once("} "))
            else {
                continue;
            };
            let label = |name: &str| {
                let rest = labels.split_once(&format!("{name}=\""))?.1;
                rest.split('"').next()
            };
            let operation = label("service").zip(label("operation"));
            let (service, operation) = operation.context("calls have labels")?;
            *calls.entry(format!("{service}:{operation}")).or_default() += count.parse::<u64>()?;
        }
        Ok(Self {
            calls,
            count: value("multiregion_reconcile_seconds_count")?.parse()?,
            seconds: value("multiregion_reconcile_seconds_sum")?.parse()?,
        })
    }
}

fn clear_calls(stack: &Stack) -> Result<()> {
    proxy(stack)?.clear_calls();
    Ok(())
}

/// AWS calls since they were cleared, probes and heartbeats left out, and how many of them write.
fn calls(stack: &Stack) -> Result<(usize, usize)> {
    let proxy = proxy(stack)?;
    let calls = proxy.calls();
    let about_resources = calls.iter().filter(|call| !call.is_data()).count();
    Ok((about_resources, proxy.writes().len()))
}

/// The operations called most, as in `Lambda GetPolicy 12`.
fn most_called(stack: &Stack) -> Result<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for call in proxy(stack)?.calls() {
        *counts
            .entry(format!("{:?} {}", call.service, call.operation))
            .or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let shown: Vec<String> = counts
        .iter()
        .take(12)
        .map(|(operation, count)| format!("{operation} {count}"))
        .collect();
    Ok(shown.join(", "))
}

fn proxy(stack: &Stack) -> Result<&strict_aws::Proxy> {
    match &stack.choice {
        AwsChoice::Local { proxy, .. } => Ok(proxy),
        _ => bail!("the benchmark counts calls on the local AWS only"),
    }
}

fn memory(stack: &Stack) -> Result<String> {
    let bytes = stack.with_operator(testbed::Operator::rss_bytes)?;
    Ok(format!("{} MiB", bytes.div_ceil(1024 * 1024)))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
