//! The chart by itself: what it refuses, and what it renders.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::objects::{arguments, names, of_kind, one, pod, rights};
use crate::world::{VALUES, chart, documents, helm, multiregion, parsed, rendered, text, values};

const IMAGE: &str = "image.repository=registry.example.com/multiregion";

#[tokio::test]
async fn it_lints_with_every_file_of_values() -> Result<()> {
    for name in VALUES {
        let lint = ["lint", "--strict", &chart(), "--values", &values(name)];
        let told = helm(&lint, None).await?;
        ensure!(told.contains("0 chart(s) failed"), "{told}");
    }
    Ok(())
}

/// Nobody wants to learn of these from a pod that does not start.
#[tokio::test]
async fn what_cannot_work_is_refused_with_what_to_do() -> Result<()> {
    let namespaces = "watchNamespaces={web}";
    let cases: [(&[&str], &str); 13] = [
        (&[], "hack/image.sh"),
        (
            &[IMAGE, namespaces],
            "settings.clusterId is needed with watchNamespaces",
        ),
        (
            &[IMAGE, "leaderElection.enabled=false"],
            "replicas above 1 need leaderElection.enabled",
        ),
        (
            &[
                IMAGE,
                "replicas=1,leaderElection.enabled=false,sharding.shards=2",
            ],
            "sharding.shards above 1 needs leaderElection.enabled",
        ),
        (&[IMAGE, "sharding.shards=65"], "sharding/shards"),
        (&[IMAGE, "limits={lambda}"], "limits/0"),
        (&[IMAGE, "web.port=8080"], "web/port"),
        (
            &[IMAGE, "serviceAccount.create=false"],
            "serviceAccount.name is needed",
        ),
        (&[IMAGE, "replcas=3"], "'replcas' not allowed"),
        (&[IMAGE, "image.digest=sha256:abc"], "image/digest"),
        (&[IMAGE, "log.format=xml"], "log/format"),
        (&[IMAGE, "watchNamespaces={Web}"], "watchNamespaces/0"),
        (&[IMAGE, "accounts.namespaces.web.roleARN=role"], "roleARN"),
    ];
    for (settings, expected) in cases {
        let mut all = Vec::new();
        for setting in settings {
            all.extend(["--set", setting]);
        }
        let told = match rendered(&all).await {
            Ok(objects) => anyhow::bail!("{settings:?} renders {:?}", names(&objects)),
            Err(error) => format!("{error:#}"),
        };
        ensure!(told.contains(expected), "{settings:?}: {told}");
    }
    Ok(())
}

/// Every value is in the schema and the reverse, so that none can be misspelt, and none is forgotten.
#[test]
fn schema_and_values_name_the_same() -> Result<()> {
    let values: Value = parsed("charts/multiregion-operator/values.yaml")?;
    let schema: Value = parsed("charts/multiregion-operator/values.schema.json")?;
    compare(&values, &schema, "")
}

fn compare(values: &Value, schema: &Value, at: &str) -> Result<()> {
    // Free in form: Kubernetes' own, or a map by names of the user's.
    let Some(properties) = schema["properties"].as_object() else {
        return Ok(());
    };
    ensure!(
        schema["additionalProperties"] == json!(false),
        "{at} takes anything"
    );
    let here = values
        .as_object()
        .with_context(|| format!("{at} is no object"))?;
    for (name, value) in here {
        let inner = properties
            .get(name)
            .with_context(|| format!("{at}/{name} is not in the schema"))?;
        compare(value, inner, &format!("{at}/{name}"))?;
    }
    for name in properties.keys() {
        // Helm's own; and what an example in a comment shows.
        let aside = at.is_empty() && name == "global" || at == "/accounts";
        ensure!(
            aside || here.contains_key(name),
            "{at}/{name} has no default"
        );
    }
    Ok(())
}

#[tokio::test]
async fn its_rights_are_those_that_the_program_prints() -> Result<()> {
    let all = rendered(&["--set", IMAGE]).await?;
    let printed = documents(&multiregion(&["rbac"]).await?)?;
    ensure!(rights(&all) == rights(&printed), "{:#?}", rights(&all));

    let two = [
        "--set",
        IMAGE,
        "--set",
        "watchNamespaces={web,shop,web},settings.clusterId=one",
    ];
    let two = rendered(&two).await?;
    let printed = documents(&multiregion(&["rbac", "--namespace=web,shop"]).await?)?;
    ensure!(rights(&two) == rights(&printed), "{:#?}", rights(&two));
    ensure!(
        arguments(one(&two, "Deployment", "multiregion")?)?
            .contains(&"--namespace=shop,web".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn with_the_page_its_rights_are_those_that_the_program_prints_for_it() -> Result<()> {
    let all = rendered(&["--set", IMAGE, "--set", "web.enabled=true"]).await?;
    let printed = documents(&multiregion(&["rbac", "--web"]).await?)?;
    ensure!(rights(&all) == rights(&printed), "{:#?}", rights(&all));

    let two = "web.enabled=true,watchNamespaces={web,shop},settings.clusterId=one";
    let two = rendered(&["--set", IMAGE, "--set", two]).await?;
    let printed = ["rbac", "--web", "--namespace=web,shop"];
    let printed = documents(&multiregion(&printed).await?)?;
    ensure!(rights(&two) == rights(&printed), "{:#?}", rights(&two));
    Ok(())
}

/// The number of shards changes with no pod of another number beside.
#[tokio::test]
async fn with_shards_all_pods_stop_before_others_start() -> Result<()> {
    for (shards, strategy) in [(1, "RollingUpdate"), (8, "Recreate")] {
        let setting = format!("sharding.shards={shards}");
        let objects = rendered(&["--set", IMAGE, "--set", &setting]).await?;
        let deployment = one(&objects, "Deployment", "multiregion")?;
        ensure!(deployment["spec"]["strategy"]["type"] == strategy);
        let told = arguments(deployment)?.contains(&format!("--shards={shards}"));
        ensure!(told == (shards > 1), "{deployment:#}");
    }
    Ok(())
}

#[tokio::test]
async fn without_election_or_roles_for_people_it_asks_for_no_rights_for_them() -> Result<()> {
    let alone = "replicas=1,leaderElection.enabled=false,rbac.aggregate=false";
    let objects = rendered(&["--set", IMAGE, "--set", alone]).await?;
    ensure!(of_kind(&objects, "Role").is_empty());
    ensure!(of_kind(&objects, "ClusterRole").len() == 1);
    let arguments = arguments(one(&objects, "Deployment", "multiregion")?)?;
    ensure!(
        arguments.contains(&"--leader-elect=false".to_owned()),
        "{arguments:?}"
    );
    Ok(())
}

#[tokio::test]
async fn its_definition_is_that_of_the_program_and_is_kept() -> Result<()> {
    let expected: Value = parsed("crds/multiregionapps.multiregion.dev.yaml")?;
    let keep = json!({"helm.sh/resource-policy": "keep"});
    for (setting, annotations) in [("crds.keep=true", keep), ("crds.keep=false", Value::Null)] {
        let objects = rendered(&["--set", IMAGE, "--set", setting]).await?;
        let name = "multiregionapps.multiregion.dev";
        let definition = one(&objects, "CustomResourceDefinition", name)?;
        ensure!(
            definition["spec"] == expected["spec"],
            "files/crd.yaml is out of date: make generate"
        );
        ensure!(definition["metadata"]["annotations"] == annotations);
    }
    let without = rendered(&["--set", IMAGE, "--set", "crds.install=false"]).await?;
    ensure!(of_kind(&without, "CustomResourceDefinition").is_empty());
    Ok(())
}

#[tokio::test]
async fn an_image_is_named_by_digest_before_tag_before_version() -> Result<()> {
    let digest = format!("sha256:{}", "a".repeat(64));
    let repository = "registry.example.com/multiregion";
    let version = env!("CARGO_PKG_VERSION");
    let cases = [
        (String::new(), format!("{repository}:{version}")),
        (",image.tag=v7".to_owned(), format!("{repository}:v7")),
        (
            format!(",image.tag=v7,image.digest={digest}"),
            format!("{repository}@{digest}"),
        ),
    ];
    for (settings, expected) in cases {
        let objects = rendered(&["--set", &format!("{IMAGE}{settings}")]).await?;
        let pod = pod(one(&objects, "Deployment", "multiregion")?)?;
        ensure!(
            pod.pointer("/containers/0/image") == Some(&json!(expected)),
            "{pod:#}"
        );
    }
    Ok(())
}

/// What the strictest of the pod security standards, `restricted`, asks for, and a root that cannot be written to.
#[tokio::test]
async fn its_pod_may_do_nothing_that_it_need_not() -> Result<()> {
    for name in VALUES {
        let objects = rendered(&["--values", &values(name)]).await?;
        let deployments = of_kind(&objects, "Deployment");
        let pod = pod(deployments.first().context("a deployment")?)?;
        let container = &pod["containers"][0]["securityContext"];
        ensure!(pod["securityContext"]["runAsNonRoot"] == true);
        ensure!(pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault");
        ensure!(container["allowPrivilegeEscalation"] == false);
        ensure!(container["readOnlyRootFilesystem"] == true);
        ensure!(container["capabilities"] == json!({"drop": ["ALL"]}));
    }
    Ok(())
}

#[tokio::test]
async fn what_is_off_by_default_is_rendered_where_it_is_asked_for() -> Result<()> {
    let objects = rendered(&["--values", &values("full")]).await?;
    let deployment = one(&objects, "Deployment", "edge")?;
    let all = arguments(deployment)?;
    for argument in [
        "--listen=[::]:8080",
        "--log-format=text",
        "--cluster-id=cluster-1",
        "--lease-name=edge-lease",
        "--shards=12",
        "--limit=lambda:GetFunction=50/100",
        "--web=[::]:9443",
    ] {
        ensure!(all.contains(&argument.to_owned()), "{argument}: {all:?}");
    }
    for kind in [
        "ServiceMonitor",
        "PrometheusRule",
        "NetworkPolicy",
        "PodDisruptionBudget",
    ] {
        one(&objects, kind, "edge")?;
    }
    one(&objects, "ConfigMap", "edge-dashboard")?;
    Ok(())
}

#[tokio::test]
async fn what_is_on_by_default_is_not_rendered_where_it_is_unwanted() -> Result<()> {
    let objects = rendered(&["--values", &values("bare")]).await?;
    let expected = ["Deployment", "NetworkPolicy", "Service"];
    let expected = expected.map(|kind| format!("{kind} multiregion-system/multiregion"));
    ensure!(names(&objects) == expected, "{:#?}", names(&objects));
    let pod = pod(one(&objects, "Deployment", "multiregion")?)?;
    ensure!(pod["serviceAccountName"] == "operator");
    ensure!(pod["topologySpreadConstraints"].is_null(), "{pod:#}");
    // In place of the chart's rules, and not beside them.
    let given: Value = parsed("charts/multiregion-operator/ci/bare-values.yaml")?;
    let policy = one(&objects, "NetworkPolicy", "multiregion")?;
    ensure!(policy["spec"]["egress"] == given["networkPolicy"]["egress"]);
    Ok(())
}

/// Every value is away from its default in one of the files, and if it is left out there, something else is rendered, or nothing,
/// with what is needed. So a new value has to go into a file, and one that no template reads is found.
#[tokio::test]
async fn every_value_away_from_its_default_makes_a_difference() -> Result<()> {
    let defaults: Value = parsed("charts/multiregion-operator/values.yaml")?;
    let schema: Value = parsed("charts/multiregion-operator/values.schema.json")?;
    let mut leaves = Vec::new();
    collect(&defaults, &schema, String::new(), &mut leaves);
    let file = testbed::paths::scratch()?.join("values.json");
    let file = file.display().to_string();
    let chart = chart();
    let template = ["template", "multiregion", &chart, "--values", &file];
    let mut missed: BTreeSet<&String> = leaves.iter().collect();
    for name in VALUES {
        let given: Value = parsed(&format!(
            "charts/multiregion-operator/ci/{name}-values.yaml"
        ))?;
        std::fs::write(&file, given.to_string())?;
        let whole = helm(&template, None).await?;
        for leaf in &leaves {
            let value = given.pointer(leaf);
            if value.is_none() || value == defaults.pointer(leaf) {
                continue;
            }
            let mut others = given.clone();
            remove(&mut others, leaf).with_context(|| leaf.clone())?;
            std::fs::write(&file, others.to_string())?;
            match helm(&template, None).await {
                Ok(text) => ensure!(
                    text != whole,
                    "{leaf} of {name}-values.yaml changes nothing"
                ),
                Err(error) => ensure!(format!("{error:#}").contains(" need"), "{leaf}: {error:#}"),
            }
            missed.remove(leaf);
        }
    }
    ensure!(
        missed.is_empty(),
        "no file in ci/ has another value than the default for {missed:?}"
    );
    Ok(())
}

/// Where each value is: the schema names what is in an object of the chart's, and leaves others as they are.
fn collect(value: &Value, schema: &Value, at: String, leaves: &mut Vec<String>) {
    match (value.as_object(), schema["properties"].as_object()) {
        (Some(inner), Some(properties)) if !inner.is_empty() => {
            for (name, value) in inner {
                let schema = properties.get(name).unwrap_or(&Value::Null);
                collect(value, schema, format!("{at}/{name}"), leaves);
            }
        }
        _ => leaves.push(at),
    }
}

fn remove(values: &mut Value, leaf: &str) -> Option<Value> {
    let (parent, name) = leaf.rsplit_once('/')?;
    values.pointer_mut(parent)?.as_object_mut()?.remove(name)
}

#[tokio::test]
async fn with_a_base_each_alert_links_its_runbook_and_is_the_same_otherwise() -> Result<()> {
    let enabled = "prometheusRule.enabled=true";
    let plain = rendered(&["--set", IMAGE, "--set", enabled]).await?;
    let base = "prometheusRule.runbookBaseURL=https://git.example.com/blob/main/";
    let mut linked = rendered(&["--set", IMAGE, "--set", enabled, "--set", base]).await?;
    let mut links = 0;
    for rule in linked
        .iter_mut()
        .filter(|object| object["kind"] == "PrometheusRule")
    {
        let groups = rule["spec"]["groups"].as_array_mut().context("groups")?;
        for alert in groups
            .iter_mut()
            .filter_map(|group| group["rules"].as_array_mut())
            .flatten()
        {
            let annotations = alert["annotations"].as_object_mut();
            let annotations = annotations.context("annotations")?;
            let link = annotations.remove("runbook_url").context("a link")?;
            let runbook = annotations["runbook"].as_str().context("a path")?;
            ensure!(link == format!("https://git.example.com/blob/main/{runbook}").as_str());
            links += 1;
        }
    }
    ensure!(links > 0 && plain == linked);
    Ok(())
}

/// A policy of one's own stays as it is, and more is added to it, as to the chart's own.
#[tokio::test]
async fn more_ways_out_are_added_to_those_of_the_network_policy() -> Result<()> {
    let more = "networkPolicy.extraEgress[0].ports[0].port=4318";
    let own = "networkPolicy.egress[0].ports[0].port=3128";
    let enabled = ["--set", IMAGE, "--set", "networkPolicy.enabled=true"];
    let cases: [&[&str]; 2] = [&[], &["--set", own]];
    for settings in cases {
        let all = [&enabled[..], settings].concat();
        let before = rendered(&all).await?;
        let after = rendered(&[&all[..], &["--set", more]].concat()).await?;
        let egress = |objects: &[Value]| -> Result<Vec<Value>> {
            let policy = one(objects, "NetworkPolicy", "multiregion")?;
            let egress = policy["spec"]["egress"].as_array();
            Ok(egress.context("egress")?.clone())
        };
        let mut expected = egress(&before)?;
        expected.push(json!({"ports": [{"port": 4318}]}));
        ensure!(egress(&after)? == expected, "{:#?}", egress(&after)?);
    }
    Ok(())
}

#[tokio::test]
async fn it_passes_just_the_flags_that_the_program_knows() -> Result<()> {
    let help = multiregion(&["run", "--help"]).await?;
    let known = |flag: &str| {
        let words = help.split(|letter: char| letter.is_whitespace() || "[=,".contains(letter));
        words.into_iter().any(|word| word == flag)
    };
    for name in VALUES {
        let objects = rendered(&["--values", &values(name)]).await?;
        for deployment in of_kind(&objects, "Deployment") {
            for argument in arguments(deployment)?.iter().skip(1) {
                let flag = argument.split('=').next().unwrap_or_default();
                ensure!(known(flag), "run does not know {argument}");
            }
        }
    }
    let template = text("charts/multiregion-operator/templates/_flags.tpl")?;
    let list = template.split("multiregion.flags\" -}}").nth(1);
    let list = list.and_then(|rest| rest.split("{{").next());
    let flags: serde_json::Map<String, Value> =
        serde_saphyr::from_str(list.context("the list of flags")?)?;
    for (flag, told) in flags {
        ensure!(
            told == json!(known(&format!("--{flag}"))),
            "templates/_flags.tpl says {flag}: {told}, and `multiregion run --help` the opposite"
        );
    }
    Ok(())
}

#[test]
fn its_version_is_the_programs() -> Result<()> {
    let told: Value = parsed("charts/multiregion-operator/Chart.yaml")?;
    ensure!(told["appVersion"] == env!("CARGO_PKG_VERSION"), "{told}");
    Ok(())
}
