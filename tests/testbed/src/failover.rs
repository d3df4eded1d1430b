//! The story of a primary that fails: what viewers get, what the status says, where the writes go.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge::{Edge, Fault as EdgeFault, Target};
use serde_json::{Value, json};
use strict_aws::{Fault, FaultKind, Proxy, Service};

use crate::show::{Show, good};
use crate::stack::{AwsChoice, Stack};
use crate::viewer::Viewer;
use crate::watch::{App, has_condition, has_reason};

const WITHIN: Duration = Duration::from_secs(60);

/// Breaks the primary's functions, and mends them. Only on the local AWS, whose edge is ours too.
pub async fn story(stack: &Stack, app: &App, show: &mut Show) -> Result<()> {
    let AwsChoice::Local { proxy, edge, .. } = &stack.choice else {
        return Ok(());
    };
    show.heading("Have it fail over, also its writes");
    let settings = json!({"spec": {"failover": {
        "probe": {"intervalSeconds": 5, "failureThreshold": 2, "successThreshold": 2},
        "heartbeat": {"intervalSeconds": 5},
        "writes": {"mode": "Automatic"},
        "writeProbe": {"method": "POST", "path": "/api/ping", "body": "{}", "expectStatus": 200},
    }}});
    kubectl(
        stack,
        app,
        show,
        &["patch", "--type=merge", "-p", &settings.to_string()],
    )
    .await?;
    until(stack, app, show, "DR to be ready", |object| {
        has_reason(object, "FailoverHealthy", "DRReady")
            && has_reason(object, "ReplicationHealthy", "WithinObjective")
            && has_condition(object, "Synced", "True")
    })
    .await?;
    let viewer = Viewer::of(stack, app, edge).await?;
    viewer.tell(show, "GET", "/").await?;
    viewer.tell(show, "POST", "/api/orders").await?;

    show.heading("Break the primary's function");
    break_primary(proxy, edge, &app.region("primary"));
    let broken = Instant::now();
    let (status, _) = viewer.tell(show, "GET", "/pages/are/there").await?;
    ensure!(status == 200, "pages have to come from DR at once");
    viewer.tell(show, "POST", "/api/orders").await?;
    viewer.until_posts_go_to("lambda-dr", WITHIN).await?;
    show.event(&good(&format!(
        "writes are served by DR, {:.1} s after the primary broke",
        broken.elapsed().as_secs_f64()
    )));
    until(stack, app, show, "the status to say so", |object| {
        has_reason(object, "FailoverHealthy", "PrimaryUnhealthy")
            && object["status"]["writer"]["active"] == "DR"
    })
    .await?;
    kubectl(stack, app, show, &["get"]).await?;

    show.heading("Mend it, and send the writes back");
    proxy.configure(|config| config.faults.clear());
    edge.heal_all();
    until(stack, app, show, "both regions to be well", |object| {
        has_reason(object, "FailoverHealthy", "DRReady")
    })
    .await?;
    kubectl(
        stack,
        app,
        show,
        &["annotate", "--overwrite", "multiregion.dev/failback=demo"],
    )
    .await?;
    viewer.until_posts_go_to("lambda-primary", WITHIN).await?;
    viewer.tell(show, "POST", "/api/orders").await?;
    kubectl(stack, app, show, &["get"]).await?;
    drill(stack, app, show).await
}

/// The way to know that it works before it has to.
async fn drill(stack: &Stack, app: &App, show: &mut Show) -> Result<()> {
    show.heading("Prove it with a drill: the writes go to DR and back");
    until(stack, app, show, "a drill to be possible", |object| {
        has_reason(object, "FailoverHealthy", "DRReady")
            && has_condition(object, "ReplicationHealthy", "True")
            && object["status"]["writer"]["active"] == "Primary"
    })
    .await?;
    let arguments = ["drill", &app.name, "-n", &app.namespace];
    let (code, output) = stack.multiregion(&arguments).await?;
    show.command(&format!("multiregion {}", arguments.join(" ")), &output);
    ensure!(code == Some(0), "the drill exited with {code:?}");
    Ok(())
}

/// For the probes, which go through the proxy, and for viewers, who do not.
pub fn break_primary(proxy: &Proxy, edge: &Edge, region: &str) {
    let fault = Fault::new(FaultKind::Status503)
        .service(Service::FunctionUrl)
        .region(region);
    proxy.configure(|config| config.faults = vec![fault]);
    let primary = Target::Origin("lambda-primary".to_owned());
    edge.fail(primary, EdgeFault::Status(503));
}

/// `kubectl VERB multiregionapp NAME …`, shown with its answer.
async fn kubectl(stack: &Stack, app: &App, show: &Show, arguments: &[&str]) -> Result<()> {
    let (verb, rest) = arguments.split_first().context("a verb")?;
    let mut all = vec![*verb, "multiregionapp", &app.name, "-n", &app.namespace];
    all.extend(rest);
    let answer = stack.control_plane.kubectl_ok(&all, None).await?;
    show.command(&format!("kubectl {}", all.join(" ")), &answer);
    Ok(())
}

async fn until(
    stack: &Stack,
    app: &App,
    show: &mut Show,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<()> {
    let seen = async |object: Option<&Value>| {
        let object = object.context("the app is gone")?;
        Ok(holds(object).then_some(()))
    };
    app.until(stack, show, what, WITHIN, seen).await
}
