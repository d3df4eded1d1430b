//! `multiregion plan`: the same plan that the controller makes, printed.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use kube::ResourceExt;

use super::PlanArguments;
use crate::app::App;
use crate::aws::accounts::Accounts;
use crate::aws::tags::OwnerKey;
use crate::aws::{Aws, Pass};
use crate::cloud::AwsCloud;
use crate::model::{Observed, Snapshot};
use crate::plan::{Block, State};
use crate::reconcile::{self, Options, Outcome, Seen};
use crate::settings::Settings;
use crate::{controller, rollout, topology, validate};

/// How a plan is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Text,
    /// The plan as the engine has it, for programs.
    Json,
}

/// How long a cluster may take to tell its id: none is needed.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(arguments: PlanArguments) -> anyhow::Result<ExitCode> {
    let settings = arguments.configuration.read()?;
    let (_, outcome) = look(&arguments.file, arguments.cluster_id, &settings).await?;
    match arguments.output {
        Output::Text => println!("{}", outcome.plan),
        Output::Json => println!(
            "{}",
            serde_json::to_string_pretty(&outcome.plan.redacted())?
        ),
    }
    let unreadable = outcome
        .snapshot
        .values()
        .filter(|seen| matches!(seen, Observed::Unknown(_)))
        .count();
    if unreadable > 0 {
        bail!("{unreadable} resources could not be read");
    }
    let blocked = outcome
        .plan
        .steps
        .iter()
        .any(|step| matches!(step.state, State::Blocked(Block::Foreign(_))));
    if blocked {
        eprintln!("note: owners are told apart by cluster; --cluster-id says which one this is");
    }
    Ok(if outcome.plan.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

/// The app of a manifest, and what AWS is seen to have of it.
pub(super) async fn look(
    file: &Path,
    cluster_id: Option<String>,
    settings: &Settings,
) -> anyhow::Result<(App, Outcome)> {
    let text = read(file)?;
    let object = match validate::manifest(&text) {
        Ok(app) => app,
        Err(problems) => {
            let problems: Vec<String> = problems
                .iter()
                .map(|problem| format!("  {problem}"))
                .collect();
            bail!("{} is refused:\n{}", file.display(), problems.join("\n"));
        }
    };
    let owner = OwnerKey {
        cluster: match cluster_id {
            Some(id) => id,
            None => ask_cluster_id().await,
        },
        namespace: object.namespace().unwrap_or_else(|| "default".into()),
        name: object.name_any(),
    };
    let allowed = settings.account(&owner.namespace)?;
    allowed.admits(&owner.name, &object.spec)?;
    let own = Aws::from_environment(Arc::new(|_| {})).await;
    let regions = &object.spec.regions;
    let of_app = std::iter::once(&regions.primary).chain(&regions.dr);
    let accounts = Accounts::new(own);
    let aws = accounts.of(allowed.role().as_ref(), of_app.map(String::as_str));
    let pass = Pass::new(aws.clone(), owner.clone(), true);
    let account = aws
        .account(&pass, &regions.primary)
        .await
        .context("asking for the AWS account")?;
    let mut app = App::new(owner, &account, &object.spec)?;
    app.permissions_boundary
        .clone_from(&allowed.permissions_boundary_arn);
    let wanted = topology::wanted(&app, &[], false);
    let options = Options {
        adopt: app.adopts(),
        observe_only: true,
    };
    // There is no inventory: what the app no longer declares is told by what is there.
    // What probes say is the controller's to know.
    let known = rollout::Known::default();
    let second_thought = |seen: &Snapshot| {
        let wanted = topology::with_remains(&app, &[], false, seen);
        let wanted = wanted.unwrap_or_else(|| topology::wanted(&app, &[], false));
        let wanted = topology::with_own_rights(&app, wanted, seen);
        Some(rollout::stage(&app, wanted, seen, &known).0)
    };
    let cloud = AwsCloud::new(pass);
    let outcome =
        reconcile::pass(&cloud, &wanted, &second_thought, &Seen::default(), options).await;
    Ok((app, outcome))
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("reading standard input");
    }
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

/// The id of the cluster that answers, or none: a new app has no owner to compare with.
async fn ask_cluster_id() -> String {
    let ask = async {
        let client = kube::Client::try_default().await.ok()?;
        controller::cluster_id(&client).await.ok()
    };
    tokio::time::timeout(CLUSTER_TIMEOUT, ask)
        .await
        .ok()
        .flatten()
        .unwrap_or_else(|| "none".into())
}
