//! `multiregion drill`: asks the controller for a drill, as whoever runs it, and follows what the status says of it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::api::{ANNOTATION_DRILL, DrillStatus, MultiRegionApp};
use crate::health::drill::{REFUSED, RUNNING, SUCCEEDED};

/// How often the status is read.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A controller takes an annotation up within the pass that it is in the midst of, 2 min at most.
const TAKEN_UP: Duration = Duration::from_secs(150);

#[derive(Args, Debug)]
pub(super) struct DrillArguments {
    /// The MultiRegionApp.
    name: String,
    /// Its namespace. Default: that of the kubeconfig's context.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Follow the drill until it ended; without, only ask for it.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    wait: bool,
}

pub(super) async fn run(arguments: DrillArguments) -> anyhow::Result<ExitCode> {
    let client = Client::try_default().await?;
    let namespace = arguments
        .namespace
        .unwrap_or_else(|| client.default_namespace().to_owned());
    let apps: Api<MultiRegionApp> = Api::namespaced(client, &namespace);
    let name = &arguments.name;
    let app = apps
        .get(name)
        .await
        .with_context(|| format!("reading MultiRegionApp {namespace}/{name}"))?;
    if let Some(drill) = last(&app).filter(|drill| drill.result == RUNNING) {
        bail!("drill {} is under way: wait for its end", drill.id);
    }
    let token = token();
    let patch = json!({"metadata": {"annotations": {ANNOTATION_DRILL: token}}});
    apps.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .with_context(|| format!("annotating MultiRegionApp {namespace}/{name}"))?;
    eprintln!("drill {token} of {namespace}/{name} is asked for");
    if !arguments.wait {
        println!("{token}");
        return Ok(ExitCode::SUCCESS);
    }
    let ended = follow(&apps, name, &token).await?;
    println!("{}", report(&ended));
    Ok(if ended.result == SUCCEEDED {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Until the drill of `token` has ended. What it does meanwhile goes to standard error.
async fn follow(
    apps: &Api<MultiRegionApp>,
    name: &str,
    token: &str,
) -> anyhow::Result<DrillStatus> {
    let asked = Instant::now();
    let mut told = String::new();
    loop {
        // A server that is away for a moment does not end the drill.
        match apps.get_opt(name).await {
            Ok(None) => bail!("the MultiRegionApp is gone"),
            Ok(Some(app)) => match standing(&app, token, asked.elapsed())? {
                Some(drill) if drill.result != RUNNING => return Ok(drill),
                Some(drill) => tell(&mut told, progress(&drill)),
                None => {}
            },
            Err(error) => tell(
                &mut told,
                format!("the API server does not answer: {error}"),
            ),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn tell(told: &mut String, now: String) {
    if *told != now {
        eprintln!("{now}");
        *told = now;
    }
}

/// How the drill of `token` stands; none if nobody has taken it up yet.
fn standing(
    app: &MultiRegionApp,
    token: &str,
    waited: Duration,
) -> anyhow::Result<Option<DrillStatus>> {
    if let Some(drill) = last(app).filter(|drill| drill.id == token) {
        return Ok(Some(drill.clone()));
    }
    let handled = app
        .status
        .as_ref()
        .and_then(|status| status.last_handled.as_ref()?.drill.as_deref());
    if handled == Some(token) {
        bail!("the drill was not begun, as another was under way: ask again");
    }
    if app.annotations().get(ANNOTATION_DRILL).map(String::as_str) != Some(token) {
        bail!("another drill was asked for before this one was taken up");
    }
    if waited > TAKEN_UP {
        bail!(
            "no controller took it up within {} s: is one running, and is it asked for in its namespace?",
            TAKEN_UP.as_secs()
        );
    }
    Ok(None)
}

fn last(app: &MultiRegionApp) -> Option<&DrillStatus> {
    app.status.as_ref()?.last_drill.as_ref()
}

fn progress(drill: &DrillStatus) -> String {
    let phase = drill.phase.as_deref().unwrap_or_default();
    let what = match phase {
        "MovingToDR" => "the writes move to DR",
        "AtDR" => "the writes are at DR",
        "MovingBack" => "the writes move back",
        other => other,
    };
    if drill.message.is_empty() {
        format!("{phase}: {what}")
    } else {
        format!("{phase}: {}", drill.message)
    }
}

/// The report, for people.
fn report(drill: &DrillStatus) -> String {
    let mut lines = vec![format!(
        "{}: {}: {}",
        drill.result, drill.reason, drill.message
    )];
    if drill.result != REFUSED {
        let time = |time: Option<i64>| time.map_or("–".into(), |time| format!("{time} ms"));
        let rows = [
            ("writes at DR after", time(drill.to_dr_milliseconds)),
            ("writes back after", time(drill.to_primary_milliseconds)),
            ("recovery point", time(drill.recovery_point_milliseconds)),
            (
                "failed requests of the drill's own",
                drill
                    .failed_requests
                    .map_or("–".into(), |count| count.to_string()),
            ),
            (
                "write probe",
                drill.write_probe.clone().unwrap_or_else(|| "–".into()),
            ),
        ];
        lines.extend(
            rows.iter()
                .map(|(what, value)| format!("  {what}: {value}")),
        );
    }
    lines.join("\n")
}

/// Another one each time: the time, and who asks.
fn token() -> String {
    let now = jiff::Timestamp::now();
    format!("{}-{}", now.as_millisecond(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_came_of_it_and_why() {
        let drill = DrillStatus {
            result: SUCCEEDED.into(),
            reason: "Completed".into(),
            message: "well".into(),
            to_dr_milliseconds: Some(240),
            failed_requests: Some(0),
            write_probe: Some("NotDeclared".into()),
            ..DrillStatus::default()
        };
        insta::assert_snapshot!(report(&drill), @r"
        Succeeded: Completed: well
          writes at DR after: 240 ms
          writes back after: –
          recovery point: –
          failed requests of the drill's own: 0
          write probe: NotDeclared
        ");
    }

    #[test]
    fn a_refusal_is_one_line() {
        let drill = DrillStatus {
            result: REFUSED.into(),
            reason: "Suspended".into(),
            message: "the app is suspended".into(),
            ..DrillStatus::default()
        };
        assert_eq!(report(&drill), "Refused: Suspended: the app is suspended");
    }
}
