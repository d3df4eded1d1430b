//! What settled passes cost where nothing was read lately, and where apps of one zone share what they read.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{App, Pass, Show, Stack, apply_apps, most_called, one_pass, settle};

/// Longer than a reading serves.
const FORGOTTEN: Duration = Duration::from_secs(125);
const APPS: usize = 10;
/// Each sixth pass of an app reads every facet.
const ROUNDS: usize = 6;

pub(super) async fn run(stack: &Stack, app: &App, show: &mut Show) -> Result<()> {
    show.heading("What apps share");
    tokio::time::sleep(FORGOTTEN).await;
    let alone = one_pass(stack, app, "alone").await?;
    show.event(&format!(
        "a pass that has to read all of it: {} AWS calls",
        alone.calls
    ));
    show.event(&format!("of them: {}", most_called(stack)?));

    let names = apply_apps(stack, &app.namespace, "zone", APPS, Some("example.com")).await?;
    settle(stack, app).await?;
    tokio::time::sleep(FORGOTTEN).await;
    let mut passes: Vec<Vec<Pass>> = Vec::new();
    for round in 0..ROUNDS {
        let mut of_round = Vec::new();
        for name in &names {
            let app = App {
                namespace: app.namespace.clone(),
                name: name.clone(),
                spec: app.spec.clone(),
            };
            of_round.push(one_pass(stack, &app, &format!("round-{round}")).await?);
        }
        passes.push(of_round);
    }
    let total = |passes: &[Pass]| passes.iter().map(|pass| pass.calls).sum::<usize>();
    let per_app = |calls: usize, passes: usize| calls as f64 / passes as f64;
    for (round, of_round) in passes.iter().enumerate() {
        let counts: Vec<String> = of_round.iter().map(|pass| pass.calls.to_string()).collect();
        show.event(&format!(
            "round {}: {} calls, {:.1} an app ({})",
            round + 1,
            total(of_round),
            per_app(total(of_round), APPS),
            counts.join(" ")
        ));
    }
    let all: usize = passes.iter().map(|of_round| total(of_round)).sum();
    show.event(&format!(
        "{APPS} apps of one zone: {:.1} AWS calls an app and pass, of {ROUNDS} passes each",
        per_app(all, APPS * ROUNDS)
    ));
    ensure!(
        passes.iter().flatten().all(|pass| pass.writes == 0),
        "a pass of a settled app wrote to AWS"
    );
    remove(stack, app, &names).await
}

/// They would be in the way of what is measured next.
async fn remove(stack: &Stack, app: &App, names: &[String]) -> Result<()> {
    let mut delete = vec![
        "delete",
        "multiregionapp",
        "-n",
        &app.namespace,
        "--timeout=10m",
    ];
    delete.extend(names.iter().map(String::as_str));
    stack
        .control_plane
        .kubectl_ok(&delete, None)
        .await
        .map(drop)
}
