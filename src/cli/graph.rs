//! `multiregion graph`: the picture of an app as Mermaid, with what is known of its parts.

mod picture;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use kube::api::Api;
use kube::{Client, ResourceExt};

use super::plan;
use crate::api::{MultiRegionApp, Role};
use crate::app::App;
use crate::aws::tags::OwnerKey;
use crate::model::Observed;
use crate::reconcile::Outcome;
use crate::topology::ids;
use picture::{Known, Lag, picture};

#[derive(Args, Debug)]
pub(super) struct GraphArguments {
    /// The MultiRegionApp, drawn as its status says it is.
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    name: Option<String>,
    /// Its namespace. Default: that of the kubeconfig's context.
    #[arg(short, long)]
    namespace: Option<String>,
    /// A manifest instead, drawn as AWS is seen to be; `-` reads standard input.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Id of the cluster whose controller owns the app. Default: the uid of kube-system, where a cluster answers.
    #[arg(long, env = "MULTIREGION_CLUSTER_ID")]
    cluster_id: Option<String>,
    #[command(flatten)]
    configuration: super::ConfigArguments,
}

pub(super) async fn run(arguments: GraphArguments) -> anyhow::Result<ExitCode> {
    let (app, known) = match (&arguments.file, &arguments.name) {
        (Some(file), _) => {
            let settings = arguments.configuration.read()?;
            let (app, outcome) = plan::look(file, arguments.cluster_id, &settings).await?;
            let known = seen(&app, &outcome);
            (app, known)
        }
        (None, Some(name)) => of_object(name, arguments.namespace).await?,
        (None, None) => return Err(anyhow!("name a MultiRegionApp, or a manifest with -f")),
    };
    super::print(&picture(&app, &known))
}

/// The app as its status says it is; AWS is not asked.
async fn of_object(name: &str, namespace: Option<String>) -> anyhow::Result<(App, Known)> {
    let client = Client::try_default().await?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let apps: Api<MultiRegionApp> = Api::namespaced(client, &namespace);
    let object = apps
        .get(name)
        .await
        .with_context(|| format!("reading MultiRegionApp {namespace}/{name}"))?;
    let owner = OwnerKey {
        cluster: String::new(),
        namespace,
        name: object.name_any(),
    };
    let app = App::new(owner, &account(&object), &object.spec)?;
    Ok((app, told(&object)))
}

/// The account, as the distribution's ARN has it; names of buckets have it in them.
fn account(object: &MultiRegionApp) -> String {
    let distribution = object
        .status
        .as_ref()
        .and_then(|status| status.distribution.as_ref());
    distribution
        .and_then(|distribution| distribution.arn.split(':').nth(4))
        .filter(|account| !account.is_empty())
        .unwrap_or("ACCOUNT")
        .to_owned()
}

/// What a status says.
fn told(object: &MultiRegionApp) -> Known {
    let Some(status) = &object.status else {
        return Known::default();
    };
    Known {
        writer: status
            .writer
            .as_ref()
            .map(|writer| (writer.active, writer.epoch)),
        health: status
            .regions
            .iter()
            .filter_map(|region| Some((region.role, region.health?)))
            .collect(),
        lags: status
            .replication
            .iter()
            .map(|row| Lag {
                source: row.source.clone(),
                from: row.from.clone(),
                seconds: row.lag_seconds,
                state: row.state.clone(),
            })
            .collect(),
        pending: status
            .pending
            .iter()
            .map(|pending| {
                let change = match &pending.waiting_on {
                    Some(on) => format!("{}, waits on {on}", pending.change),
                    None => pending.change.clone(),
                };
                (pending.resource.clone(), change)
            })
            .collect(),
    }
}

/// What an observation says; nothing was probed.
fn seen(app: &App, outcome: &Outcome) -> Known {
    let key = outcome
        .snapshot
        .get(&ids::writer_key(app))
        .and_then(Observed::live);
    let output = |name: &str| key?.outputs.get(name).cloned();
    let writer = output("writer").zip(output("epoch"));
    Known {
        writer: writer.and_then(|(side, epoch)| {
            let role = if side == "DR" {
                Role::Dr
            } else {
                Role::Primary
            };
            Some((role, epoch.parse().ok()?))
        }),
        pending: outcome
            .plan
            .steps
            .iter()
            .map(|step| (step.id.to_string(), step.summary()))
            .collect(),
        ..Known::default()
    }
}
