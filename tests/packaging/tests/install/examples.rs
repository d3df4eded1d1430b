//! The examples: what they name exists, and what they set is taken.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

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

/// Of whom one assumes the other, by which external id: as the component of kustomize has it, and the overlay for IRSA.
#[test]
fn the_role_of_a_tenant_admits_the_operator_alone_and_by_its_external_id_alone() -> Result<()> {
    let configuration: Value = parsed("deploy/components/accounts/config.yaml")?;
    let tenant = &configuration["accounts"]["namespaces"]["web"];
    let overlay = text("deploy/overlays/irsa/kustomization.yaml")?;
    let operator = overlay.split("eks.amazonaws.com/role-arn: ").nth(1);
    let operator = operator.and_then(|rest| rest.lines().next());
    let operator = operator.context("the operator has a role")?;

    let trust: Value = parsed("deploy/iam/trust-tenant.json")?;
    let mut assume = 0;
    for statement in statements(&trust)? {
        ensure!(statement["Principal"] == json!({"AWS": operator}));
        if statement["Action"] == "sts:AssumeRole" {
            let id = json!({"StringEquals": {"sts:ExternalId": tenant["externalID"]}});
            ensure!(tenant["externalID"].is_string() && statement["Condition"] == id);
            assume += 1;
        } else {
            // Gives nothing by itself, and no external id is asked for with it.
            ensure!(statement["Action"] == "sts:TagSession", "{statement:#}");
        }
    }
    ensure!(assume == 1, "{trust:#}");

    let policy: Value = parsed("deploy/iam/policy-assume-tenants.json")?;
    let statement = only(&policy)?;
    ensure!(statement["Action"] == json!(["sts:AssumeRole", "sts:TagSession"]));
    ensure!(statement["Resource"] == json!([tenant["roleARN"]]));
    Ok(())
}

fn only(policy: &Value) -> Result<&Value> {
    let statements = statements(policy)?;
    ensure!(statements.len() == 1, "{policy:#}");
    Ok(&statements[0])
}

fn statements(policy: &Value) -> Result<&Vec<Value>> {
    ensure!(policy["Version"] == "2012-10-17", "{policy:#}");
    let statements = policy["Statement"].as_array().context("statements")?;
    let allow = |statement: &Value| statement["Effect"] == "Allow";
    ensure!(statements.iter().all(allow), "{policy:#}");
    Ok(statements)
}
