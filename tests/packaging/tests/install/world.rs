//! The programs, the files, and the cluster that the tests share.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;
use testbed::ControlPlane;
use testbed::setup::chart_tools;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Where the operator is at home in these tests, and where the plain install puts it.
pub const HOME: &str = "multiregion-system";
/// The files of values that are tried.
pub const VALUES: [&str; 4] = ["cluster", "namespaced", "full", "bare"];
/// The kustomizations that are tried, below `deploy`.
pub const FOLDERS: [&str; 5] = [
    "base",
    "overlays/namespaced",
    "overlays/irsa",
    "overlays/web",
    "overlays/full",
];

/// The file or folder of the repository.
pub fn path(inside: &str) -> PathBuf {
    testbed::paths::repository().join(inside)
}

/// The chart's folder.
pub fn chart() -> String {
    path("charts/multiregion-operator").display().to_string()
}

/// One of the files of values.
pub fn values(name: &str) -> String {
    format!("{}/ci/{name}-values.yaml", chart())
}

/// The text of a file of the repository.
pub fn text(inside: &str) -> Result<String> {
    let path = path(inside);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// A file of the repository, as YAML or JSON.
pub fn parsed<T: DeserializeOwned>(inside: &str) -> Result<T> {
    serde_saphyr::from_str(&text(inside)?).with_context(|| inside.to_owned())
}

/// The documents of a YAML text, without empty ones.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    let mut documents: Vec<Value> = serde_saphyr::from_multiple(yaml)?;
    documents.retain(|document| !document.is_null());
    Ok(documents)
}

/// The operator as it was built beside these tests.
pub fn program() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    // target/<profile>/deps/<test>
    let profile = own.ancestors().nth(2).context("a profile's folder")?;
    let program = profile.join("multiregion");
    ensure!(
        program.is_file(),
        "there is no {}: cargo build --bin multiregion",
        program.display()
    );
    Ok(program)
}

/// What the operator prints.
pub async fn multiregion(arguments: &[&str]) -> Result<String> {
    run(&program()?, arguments, None).await
}

/// What helm prints.
pub async fn helm(arguments: &[&str], kubeconfig: Option<&Path>) -> Result<String> {
    run(&chart_tools().await?.helm, arguments, kubeconfig).await
}

/// The chart as helm renders it for the release `multiregion`.
pub async fn rendered(arguments: &[&str]) -> Result<Vec<Value>> {
    rendered_as("multiregion", arguments).await
}

/// The chart as helm renders it for a release.
pub async fn rendered_as(release: &str, arguments: &[&str]) -> Result<Vec<Value>> {
    let chart = chart();
    let mut all = vec!["template", release, &chart, "--namespace", HOME];
    all.extend(arguments);
    documents(&helm(&all, None).await?)
}

/// A kustomization as kubectl renders it.
pub async fn kustomized(folder: &str) -> Result<Vec<Value>> {
    let tools = testbed::setup::tools().await?;
    let folder = path(folder).display().to_string();
    documents(&run(&tools.kubectl, &["kustomize", &folder], None).await?)
}

/// Runs a program to its end; the environment of a cluster is the one given, or none.
pub async fn run(program: &Path, arguments: &[&str], kubeconfig: Option<&Path>) -> Result<String> {
    let mut command = Command::new(program);
    let home = testbed::paths::cache().join("helm");
    command
        .args(arguments)
        .env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")))
        .env("HELM_CACHE_HOME", home.join("cache"))
        .env("HELM_CONFIG_HOME", home.join("config"))
        .env("HELM_DATA_HOME", home.join("data"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await?;
    if !output.status.success() {
        bail!(
            "{} {} ({}): {}{}",
            program.display(),
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A cluster with the definitions of the Prometheus operator, and the namespaces that the values name.
pub async fn cluster() -> Result<&'static ControlPlane> {
    static PREPARED: OnceCell<()> = OnceCell::const_new();
    let control_plane = ControlPlane::shared().await?;
    PREPARED
        .get_or_try_init(|| async {
            for file in &chart_tools().await?.definitions {
                let file = file.display().to_string();
                apply(control_plane, &["-f", &file], None).await?;
            }
            let definitions = text("crds/multiregionapps.multiregion.dev.yaml")?;
            apply(control_plane, &["-f", "-"], Some(&definitions)).await?;
            let established = ["wait", "--for=condition=Established", "crd", "--all"];
            control_plane.kubectl_ok(&established, None).await?;
            for namespace in [HOME, "web", "shop"] {
                ensure_namespace(control_plane, namespace).await?;
            }
            anyhow::Ok(())
        })
        .await?;
    Ok(control_plane)
}

/// Makes a namespace unless it is there.
pub async fn ensure_namespace(control_plane: &ControlPlane, name: &str) -> Result<()> {
    let object =
        serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    apply(control_plane, &["-f", "-"], Some(&object.to_string()))
        .await
        .map(drop)
}

/// Server-side, with unknown and doubled fields refused.
pub async fn apply(
    control_plane: &ControlPlane,
    arguments: &[&str],
    input: Option<&str>,
) -> Result<String> {
    let mut all = vec![
        "apply",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
    ];
    all.extend(arguments);
    control_plane.kubectl_ok(&all, input).await
}
