//! `multiregion graph`: the picture of an app as Mermaid, with what is known of its parts.

mod mermaid;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::Args;
use kube::api::Api;
use kube::{Client, ResourceExt};

use super::plan;
use crate::api::{MultiRegionApp, Role};
use crate::app::App;
use crate::model::Observed;
use crate::picture::{self, Known, picture};
use crate::reconcile::Outcome;
use crate::topology::ids;
use mermaid::mermaid;

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
    super::print(&mermaid(&picture(&app, &known)))
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
    Ok(picture::of_object(&namespace, &object.name_any(), &object)?)
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
