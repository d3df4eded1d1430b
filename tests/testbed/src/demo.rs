//! `testbed demo`: an app converges, is read, broken by hand, healed, and taken away again.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use strict_aws::Config;
use testbed::{paths, setup};

use crate::break_by_hand::{failover_codes, lambda_memory, set_failover_code, set_lambda_memory};
use crate::failover;
use crate::show::{Show, good};
use crate::stack::{AwsChoice, Stack, ensure_namespace, plain, text};
use crate::up;
use crate::watch::{App, has_condition, tree};

/// On AWS itself, a distribution takes minutes to deploy; the local one some seconds.
const CONVERGED_WITHIN: Duration = Duration::from_secs(180);
const REAL_CONVERGED_WITHIN: Duration = Duration::from_secs(40 * 60);

/// The whole story. With `once`, or without a terminal, everything is deleted and stopped at its end.
pub async fn run(once: bool) -> Result<()> {
    let once = once || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal();
    let mut show = Show::new();
    show.heading("Check the tools, build and install what is missing");
    setup::ensure(|line| println!("   {line}")).await?;
    show.event("all there");

    let story = async {
        let mut stack = Stack::start(&mut show, Config::strict()).await?;
        stack.start_operator(&mut show).await?;
        let app = converge(&stack, &mut show).await?;
        look(&stack, &app, &mut show).await?;
        drift(&stack, &app, &mut show).await?;
        failover::story(&stack, &app, &mut show).await?;
        if once {
            delete(&stack, &app, &mut show).await?;
        }
        Ok::<_, anyhow::Error>(stack)
    };
    let stack = tokio::select! {
        stack = story => stack.with_context(|| format!("see the logs in {}", paths::run_directory().display()))?,
        () = up::stop_requested() => bail!("interrupted; everything that was started is stopped"),
    };
    if once {
        show.heading("Stop");
        return stack.stop(&show).await;
    }
    up::stay(stack, &mut show).await
}

/// The manifest of the story: the reference deployment, or on a real account the smallest app, which needs no domain.
fn manifest(stack: &Stack) -> PathBuf {
    let sample = if matches!(stack.choice, AwsChoice::Real) {
        "minimal"
    } else {
        "reference"
    };
    paths::repository().join(format!("deploy/samples/{sample}.yaml"))
}

fn patience(stack: &Stack) -> Duration {
    if matches!(stack.choice, AwsChoice::Real) {
        REAL_CONVERGED_WITHIN
    } else {
        CONVERGED_WITHIN
    }
}

async fn converge(stack: &Stack, show: &mut Show) -> Result<App> {
    let kube = &stack.control_plane;
    let manifest = manifest(stack);
    let app = App::read(kube, &manifest).await?;
    show.heading(&format!("Apply {}", shown(&manifest)));
    if let Some(zone) = app.spec["domain"]["hostedZone"].as_str() {
        stack.create_zone(show, zone).await?;
    }
    ensure_namespace(kube, &app.namespace).await?;
    let start = Instant::now();
    let applied = kube
        .kubectl_ok(&["apply", "--server-side", "-f", &text(&manifest)], None)
        .await?;
    show.command(
        &format!("kubectl apply --server-side -f {}", shown(&manifest)),
        &applied,
    );

    show.heading("Wait until it is Ready: its status tells what it is doing");
    let ready = async |object: Option<&Value>| {
        let object = object.context("the app is gone")?;
        let done =
            has_condition(object, "Ready", "True") && has_condition(object, "Synced", "True");
        Ok(done.then_some(()))
    };
    app.until(stack, show, "Ready and Synced", patience(stack), ready)
        .await?;
    show.event(&good(&format!(
        "Ready, {:.1} s after it was applied",
        start.elapsed().as_secs_f64()
    )));
    Ok(app)
}

async fn look(stack: &Stack, app: &App, show: &mut Show) -> Result<()> {
    let kube = &stack.control_plane;
    show.heading("Look at it");
    let all = kube
        .kubectl_ok(&["get", "multiregionapps", "-A", "-o", "wide"], None)
        .await?;
    show.command("kubectl get multiregionapps -A -o wide", &all);
    let object = app.get(kube).await?.context("the app is gone")?;
    show.event("what it made, as status.inventory lists it:");
    show.block(&tree(&object));
    nothing_to_do(stack, show).await
}

/// `multiregion plan`, which has to find nothing to do.
async fn nothing_to_do(stack: &Stack, show: &Show) -> Result<()> {
    let manifest = manifest(stack);
    let (code, output) = stack.multiregion(&["plan", "-f", &text(&manifest)]).await?;
    show.command(
        &format!("multiregion plan -f {}", shown(&manifest)),
        &output,
    );
    if code != Some(0) {
        bail!("the plan of a converged app should find nothing to do, but it exited with {code:?}");
    }
    Ok(())
}

async fn drift(stack: &Stack, app: &App, show: &mut Show) -> Result<()> {
    let (kube, aws) = (&stack.control_plane, &stack.aws);
    show.heading("Break it by hand, behind the operator's back");
    let object = app.get(kube).await?.context("the app is gone")?;
    let distribution = plain(&object["status"]["distribution"]["id"]);
    let (function, region) = (format!("{}-primary", app.prefix()), app.region("primary"));

    let memory = lambda_memory(aws, &region, &function).await?;
    set_lambda_memory(aws, &region, &function, 128).await?;
    show.event(&format!("Lambda {function}: memory {memory} → 128 MiB"));
    let codes = failover_codes(aws, &distribution).await?;
    set_failover_code(aws, &distribution, 504).await?;
    show.event(&format!(
        "CloudFront {distribution}: first origin group fails over on 504 only"
    ));

    let manifest = manifest(stack);
    let (code, output) = stack.multiregion(&["plan", "-f", &text(&manifest)]).await?;
    show.command(
        &format!("multiregion plan -f {}", shown(&manifest)),
        &output,
    );
    if code != Some(2) {
        bail!("the plan should have found both and exited with 2, not {code:?}");
    }

    show.heading("The operator finds it and puts it right");
    let token = format!("demo-{}", std::process::id());
    let annotation = format!("multiregion.dev/reconcile={token}");
    let annotate = [
        "annotate",
        "multiregionapp",
        &app.name,
        "-n",
        &app.namespace,
        "--overwrite",
        &annotation,
    ];
    let answer = kube.kubectl_ok(&annotate, None).await?;
    show.command(
        &format!(
            "kubectl {}   # now, rather than at the next pass",
            annotate.join(" ")
        ),
        &answer,
    );
    let start = Instant::now();
    let healed = async |object: Option<&Value>| {
        let object = object.context("the app is gone")?;
        // Until the pass has reported, the status is that of before the damage.
        let reported = object["status"]["lastHandled"]["reconcile"] == token.as_str();
        let restored = reported
            && has_condition(object, "Synced", "True")
            && lambda_memory(aws, &region, &function).await? == memory
            && failover_codes(aws, &distribution).await? == codes;
        Ok(restored.then_some(()))
    };
    app.until(
        stack,
        show,
        "the drift to be corrected",
        patience(stack),
        healed,
    )
    .await?;
    show.event(&good(&format!(
        "both are as declared again, after {:.1} s",
        start.elapsed().as_secs_f64()
    )));
    let about = format!("multiregionapp/{}", app.name);
    let events = kube
        .kubectl_ok(&["events", "-n", &app.namespace, "--for", &about], None)
        .await?;
    show.command(
        &format!("kubectl events -n {} --for {about}", app.namespace),
        &events,
    );
    nothing_to_do(stack, show).await
}

async fn delete(stack: &Stack, app: &App, show: &mut Show) -> Result<()> {
    let kube = &stack.control_plane;
    show.heading("Delete it: data stays, as deletionPolicy says");
    let delete = [
        "delete",
        "multiregionapp",
        &app.name,
        "-n",
        &app.namespace,
        "--wait=false",
    ];
    let answer = kube.kubectl_ok(&delete, None).await?;
    show.command(&format!("kubectl {}", delete.join(" ")), &answer);
    let start = Instant::now();
    let gone = async |object: Option<&Value>| Ok(object.is_none().then_some(()));
    app.until(stack, show, "the app to be gone", patience(stack), gone)
        .await?;
    show.event(&good(&format!(
        "gone after {:.1} s",
        start.elapsed().as_secs_f64()
    )));
    Ok(())
}

/// A path as the reader types it: from the repository's root.
fn shown(path: &std::path::Path) -> String {
    text(path.strip_prefix(paths::repository()).unwrap_or(path))
}
