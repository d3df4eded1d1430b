//! What failover, lag and drills come to, and what watching for them costs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge::Edge;
use serde_json::{Value, json};
use strict_aws::Proxy;
use testbed::wait::{self, Seen};

use super::{one_pass, proxy};
use crate::failover::break_primary;
use crate::show::Show;
use crate::stack::{AwsChoice, Stack};
use crate::viewer::Viewer;
use crate::watch::{App, has_condition, has_reason};

const SECOND: Duration = Duration::from_secs(1);
/// Reads a second while a drill runs, and writes a second.
const READS: u64 = 50;
const WRITES: u64 = 5;
/// Viewers that read: an answer of the local AWS takes tens of milliseconds.
const READERS: u32 = 12;
/// For so long the requests of a settled app are counted: once in it CloudWatch is read.
const COUNTED: Duration = Duration::from_secs(300);

/// How an app is watched.
struct Thresholds {
    name: &'static str,
    interval: u64,
    failures: u64,
}

const TIGHTEST: Thresholds = Thresholds {
    name: "tightest (5 s × 1)",
    interval: 5,
    failures: 1,
};
const DEFAULT: Thresholds = Thresholds {
    name: "default (30 s × 3)",
    interval: 30,
    failures: 3,
};

/// All figures about one app that is watched.
pub async fn run(stack: &Stack, app: &App, show: &mut Show) -> Result<()> {
    let AwsChoice::Local { proxy, edge, .. } = &stack.choice else {
        return Ok(());
    };
    let bench = Bench {
        stack,
        app,
        proxy,
        edge,
        viewer: Viewer::of(stack, app, edge).await?,
    };
    show.heading("Watching: requests an hour at the default settings");
    bench.requests(show).await?;
    for thresholds in [TIGHTEST, DEFAULT] {
        show.heading(&format!("The primary breaks: {}", thresholds.name));
        bench.failover(show, &thresholds).await?;
    }
    show.heading("The lag told, of the lag there is");
    for milliseconds in [500, 5_000, 60_000] {
        bench.lag(show, Duration::from_millis(milliseconds)).await?;
    }
    show.heading(&format!("A drill at {READS} reads a second"));
    bench.drill(show).await
}

struct Bench<'a> {
    stack: &'a Stack,
    app: &'a App,
    proxy: &'a Proxy,
    edge: &'a Edge,
    viewer: Viewer<'a>,
}

impl Bench<'_> {
    async fn requests(&self, show: &Show) -> Result<()> {
        self.until("DR to be ready", 3 * 60 * SECOND, |object| {
            has_reason(object, "FailoverHealthy", "DRReady")
        })
        .await?;
        self.proxy.clear_calls();
        // A span of time is what is measured here.
        tokio::time::sleep(COUNTED).await;
        let mut counts = std::collections::BTreeMap::<String, u64>::new();
        for call in self.proxy.calls() {
            let what = format!("{:?} {}", call.service, call.operation);
            *counts.entry(what).or_default() += 1;
        }
        for (what, count) in counts {
            let hourly = count * 3600 / COUNTED.as_secs();
            show.event(&format!("{what}: {hourly} an hour"));
        }
        Ok(())
    }

    async fn failover(&self, show: &Show, thresholds: &Thresholds) -> Result<()> {
        let &Thresholds {
            interval, failures, ..
        } = thresholds;
        self.set(json!({
            "probe": {"intervalSeconds": interval, "timeoutSeconds": 2, "failureThreshold": failures, "successThreshold": 1},
            "heartbeat": {"intervalSeconds": 5},
            "writes": {"mode": "Automatic"},
        }))
        .await?;
        let patience = Duration::from_secs(interval * failures * 3 + 60);
        self.until_well(patience).await?;
        self.viewer
            .until_posts_go_to("lambda-primary", patience)
            .await?;

        break_primary(self.proxy, self.edge, &self.app.region("primary"));
        let broken = Instant::now();
        let (status, origin) = self.viewer.ask("GET", "/a/page").await?;
        show.event(&format!(
            "pages: {status} from {origin} at the next request, {:.2} s",
            broken.elapsed().as_secs_f64()
        ));
        ensure!(status == 200 && origin == "lambda-dr", "a page was lost");
        let condition = async {
            self.until("PrimaryUnhealthy", patience, |object| {
                has_reason(object, "FailoverHealthy", "PrimaryUnhealthy")
            })
            .await?;
            Ok::<_, anyhow::Error>(broken.elapsed())
        };
        let posts = async {
            self.viewer.until_posts_go_to("lambda-dr", patience).await?;
            Ok(broken.elapsed())
        };
        let (condition, posts) = tokio::try_join!(condition, posts)?;
        show.event(&format!(
            "the condition: {:.1} s; writes by DR: {:.1} s; interval × threshold: {} s",
            condition.as_secs_f64(),
            posts.as_secs_f64(),
            interval * failures
        ));
        for number in 0..3 {
            let pass =
                one_pass(self.stack, self.app, &format!("broken-{interval}-{number}")).await?;
            show.event(&format!(
                "a whole pass with both witnesses failing: {} AWS calls, {:.0} ms, {:.0} ms CPU",
                pass.calls,
                pass.seconds * 1000.0,
                pass.cpu_milliseconds
            ));
        }

        self.proxy.configure(|config| config.faults.clear());
        self.edge.heal_all();
        self.until("both regions to be well", patience, |object| {
            has_reason(object, "FailoverHealthy", "DRReady")
        })
        .await?;
        let annotation = format!("multiregion.dev/failback=bench-{interval}");
        self.kubectl(&["annotate", "--overwrite", &annotation])
            .await?;
        self.viewer
            .until_posts_go_to("lambda-primary", patience)
            .await
    }

    /// As the gauge has it, read until a heartbeat sent after the change was seen.
    async fn lag(&self, show: &Show, injected: Duration) -> Result<()> {
        self.set(json!({"heartbeat": {"intervalSeconds": 5}}))
            .await?;
        self.proxy
            .configure(|config| config.delays.replication = injected);
        let started = Instant::now();
        let enough = injected + 15 * SECOND;
        let mut told = Vec::new();
        while started.elapsed() < enough + 15 * SECOND {
            if started.elapsed() > enough {
                told.push(self.told_lag().await? - injected.as_secs_f64());
            }
            tokio::time::sleep(SECOND / 4).await;
        }
        told.sort_by(f64::total_cmp);
        let at = |share: usize| {
            told.get(told.len() * share / 100)
                .copied()
                .unwrap_or(f64::NAN)
        };
        show.event(&format!(
            "injected {:.1} s: told {:+.2} s of it (median; from {:+.2} to {:+.2})",
            injected.as_secs_f64(),
            at(50),
            at(0),
            at(99)
        ));
        self.proxy
            .configure(|config| config.delays.replication = Duration::ZERO);
        Ok(())
    }

    async fn drill(&self, show: &Show) -> Result<()> {
        self.set(json!({
            "probe": {"intervalSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2, "successThreshold": 1},
            "writes": {"mode": "Manual"},
            "writeProbe": {"method": "POST", "path": "/api/ping", "body": "{}", "expectStatus": 200},
        }))
        .await?;
        self.until_well(180 * SECOND).await?;
        let stop = AtomicBool::default();
        let started = Instant::now();
        let drill = async {
            let arguments = ["drill", &self.app.name, "-n", &self.app.namespace];
            let done = self.stack.multiregion(&arguments).await;
            stop.store(true, Ordering::Relaxed);
            done
        };
        let (reads, writes, done) = tokio::join!(
            self.viewer.traffic("GET", READS, READERS, &stop),
            self.viewer.traffic("POST", WRITES, 2, &stop),
            drill
        );
        let (code, output) = done?;
        show.block(&output);
        ensure!(code == Some(0), "the drill exited with {code:?}");
        let seconds = started.elapsed().as_secs_f64();
        for (what, traffic) in [("reads", reads), ("writes", writes)] {
            let sent = traffic.sent.into_inner();
            show.event(&format!(
                "{what} lost: {} of {sent} ({:.0} a second)",
                traffic.lost.into_inner(),
                f64::from(sent) / seconds
            ));
        }
        Ok(())
    }

    async fn told_lag(&self) -> Result<f64> {
        let url = self.stack.with_operator(|operator| Ok(operator.url()))?;
        let text = testbed::metrics_text(&url).await?;
        let from = format!("from=\"{}\"", self.app.region("primary"));
        let line = text.lines().find(|line| {
            line.starts_with("multiregion_replication_lag_seconds{")
                && line.contains("service=\"dynamodb\"")
                && line.contains(&from)
        });
        let (_, value) = line
            .and_then(|line| line.rsplit_once(' '))
            .context("no lag in /metrics")?;
        Ok(value.parse()?)
    }

    async fn set(&self, failover: Value) -> Result<()> {
        let patch = json!({"spec": {"failover": failover}}).to_string();
        self.kubectl(&["patch", "--type=merge", "-p", &patch]).await
    }

    async fn until_well(&self, within: Duration) -> Result<()> {
        self.until("an app that is well", within, |object| {
            has_reason(object, "FailoverHealthy", "DRReady")
                && has_condition(object, "ReplicationHealthy", "True")
                && has_condition(object, "Synced", "True")
                && object["status"]["writer"]["active"] == "Primary"
        })
        .await
    }

    async fn until(
        &self,
        what: &str,
        within: Duration,
        holds: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        wait::until(what, within, || async {
            let object = self.app.get(&self.stack.control_plane).await?;
            let object = object.context("the app is gone")?;
            let seen = object["status"]["conditions"].to_string();
            Ok(Seen::when(holds(&object), seen))
        })
        .await
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<()> {
        let (verb, rest) = arguments.split_first().context("a verb")?;
        let (name, namespace) = (&self.app.name, &self.app.namespace);
        let mut all = vec![*verb, "multiregionapp", name, "-n", namespace];
        all.extend(rest);
        self.stack
            .control_plane
            .kubectl_ok(&all, None)
            .await
            .map(drop)
    }
}

/// Waits until every one of `apps` apps was probed since now, both its functions and its edge.
pub async fn probed(stack: &Stack, apps: usize) -> Result<()> {
    let url = stack.with_operator(|operator| Ok(operator.url()))?;
    let count = async || -> Result<f64> {
        let text = testbed::metrics_text(&url).await?;
        let probes = text
            .lines()
            .filter(|line| line.starts_with("multiregion_probes_total{"));
        let values = probes.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(values.sum())
    };
    let before = count().await?;
    let enough = apps as f64 * 3.0 * 2.0;
    proxy(stack)?.clear_calls();
    wait::until("the probes", 5 * 60 * SECOND, || async {
        let made = count().await? - before;
        Ok(Seen::when(made >= enough, format!("{made} of {enough}")))
    })
    .await
}
