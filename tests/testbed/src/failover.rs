//! The story of a primary that fails: what viewers get, what the status says, where the writes go.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use edge::{Edge, Fault as EdgeFault, Target};
use serde_json::{Value, json};
use strict_aws::{Fault, FaultKind, Proxy, Service};

use crate::show::{Show, good};
use crate::stack::{AwsChoice, Stack};
use crate::watch::{App, has_condition, has_reason};

/// SHA-256 of nothing, without which CloudFront signs no POST.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const WITHIN: Duration = Duration::from_secs(60);

/// A viewer, at the edge.
struct Viewer<'a> {
    edge: &'a Edge,
    domain: String,
    http: reqwest::Client,
}

impl Viewer<'_> {
    /// The status, and the origin that served.
    async fn ask(&self, method: &str, path: &str) -> Result<(u16, String)> {
        let answer = self
            .http
            .request(method.parse()?, format!("{}{path}", self.edge.url()))
            .header("host", &self.domain)
            .header("x-forwarded-proto", "https")
            .header("x-amz-content-sha256", NOTHING)
            .send()
            .await?;
        let origin = answer.headers().get("x-edge-origin");
        let origin = origin.and_then(|origin| origin.to_str().ok());
        let status = answer.status().as_u16();
        Ok((status, origin.unwrap_or("the edge").to_owned()))
    }

    async fn tell(&self, show: &Show, method: &str, path: &str) -> Result<(u16, String)> {
        let (status, origin) = self.ask(method, path).await?;
        show.event(&format!("{method} {path}: {status} from {origin}"));
        Ok((status, origin))
    }

    async fn until_posts_go_to(&self, origin: &str) -> Result<()> {
        testbed::wait::until("the writes", WITHIN, || async {
            let (status, served) = self.ask("POST", "/api/orders").await?;
            Ok(testbed::wait::Seen::when(
                status == 200 && served == origin,
                format!("{status} from {served}"),
            ))
        })
        .await
    }
}

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
    let object = app
        .get(&stack.control_plane)
        .await?
        .context("the app is gone")?;
    let viewer = Viewer {
        edge,
        domain: crate::stack::plain(&object["status"]["distribution"]["domainName"]),
        http: reqwest::Client::new(),
    };
    viewer.tell(show, "GET", "/").await?;
    viewer.tell(show, "POST", "/api/orders").await?;

    show.heading("Break the primary's function");
    break_primary(proxy, edge, &app.region("primary"));
    let broken = Instant::now();
    let (status, _) = viewer.tell(show, "GET", "/pages/are/there").await?;
    ensure!(status == 200, "pages have to come from DR at once");
    viewer.tell(show, "POST", "/api/orders").await?;
    viewer.until_posts_go_to("lambda-dr").await?;
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
    viewer.until_posts_go_to("lambda-primary").await?;
    viewer.tell(show, "POST", "/api/orders").await?;
    kubectl(stack, app, show, &["get"]).await
}

/// For the probes, which go through the proxy, and for viewers, who do not.
fn break_primary(proxy: &Proxy, edge: &Edge, region: &str) {
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
