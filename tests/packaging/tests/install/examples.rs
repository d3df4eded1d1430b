//! The examples: what they name exists, and what they set is taken.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::world::{HOME, documents, parsed, path, rendered, text};

fn of_kind(file: &str, kind: &str) -> Result<Vec<Value>> {
    let mut found = documents(&text(file)?)?;
    found.retain(|document| document["kind"] == kind);
    ensure!(!found.is_empty(), "{file} has no {kind}");
    Ok(found)
}

/// The chart renders with the values, and there is a chart at the path.
async fn renders(chart: &Value, values: &Value) -> Result<()> {
    let chart = chart.as_str().context("a path")?;
    ensure!(path(chart).join("Chart.yaml").is_file(), "{chart}");
    let file = testbed::paths::scratch()?.join("values.json");
    std::fs::write(&file, values.to_string())?;
    rendered(&["--values", &file.display().to_string()])
        .await
        .map(drop)
}

#[tokio::test]
async fn the_application_of_argo_cd_installs_the_chart() -> Result<()> {
    let applications = of_kind("deploy/examples/argocd.yaml", "Application")?;
    let operator = &applications[0]["spec"];
    renders(
        &operator["source"]["path"],
        &operator["source"]["helm"]["valuesObject"],
    )
    .await?;
    ensure!(operator["destination"]["namespace"] == HOME);
    for application in &applications {
        let options = &application["spec"]["syncPolicy"]["syncOptions"];
        ensure!(options.to_string().contains("ServerSideApply=true"));
    }
    ensure!(applications[1]["spec"]["syncPolicy"]["automated"]["prune"] == false);
    Ok(())
}

#[tokio::test]
async fn the_release_of_flux_installs_the_chart() -> Result<()> {
    let file = "deploy/examples/flux.yaml";
    let sources = of_kind(file, "GitRepository")?;
    let release = &of_kind(file, "HelmRelease")?[0]["spec"];
    renders(&release["chart"]["spec"]["chart"], &release["values"]).await?;
    ensure!(release["targetNamespace"] == HOME);
    let apps = &of_kind(file, "Kustomization")?[0]["spec"];
    ensure!(apps["prune"] == false);
    let source = &sources[0]["metadata"]["name"];
    ensure!(&release["chart"]["spec"]["sourceRef"]["name"] == source);
    ensure!(&apps["sourceRef"]["name"] == source);
    Ok(())
}

/// Whoever else could assume the role would have all its rights.
#[test]
fn the_trust_policies_admit_the_service_account_that_is_installed_and_no_other() -> Result<()> {
    let subject = format!("system:serviceaccount:{HOME}:multiregion");
    let irsa: Value = parsed("deploy/iam/trust-irsa.json")?;
    let statement = only(&irsa)?;
    let provider = statement["Principal"]["Federated"].as_str();
    let provider = provider.and_then(|arn| arn.split_once("oidc-provider/"));
    let (_, issuer) = provider.context("an OIDC provider")?;
    let equals = &statement["Condition"]["StringEquals"];
    ensure!(statement["Action"] == "sts:AssumeRoleWithWebIdentity");
    ensure!(equals[format!("{issuer}:sub")] == subject.as_str());
    ensure!(equals[format!("{issuer}:aud")] == "sts.amazonaws.com");

    let pod_identity: Value = parsed("deploy/iam/trust-pod-identity.json")?;
    let statement = only(&pod_identity)?;
    let equals = &statement["Condition"]["StringEquals"];
    ensure!(statement["Principal"]["Service"] == "pods.eks.amazonaws.com");
    ensure!(equals["aws:RequestTag/kubernetes-namespace"] == HOME);
    ensure!(equals["aws:RequestTag/kubernetes-service-account"] == "multiregion");
    Ok(())
}

fn only(policy: &Value) -> Result<&Value> {
    let statements = policy["Statement"].as_array().context("statements")?;
    ensure!(policy["Version"] == "2012-10-17" && statements.len() == 1);
    Ok(&statements[0])
}
