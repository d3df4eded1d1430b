//! An app, as its status tells it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use testbed::ControlPlane;
use testbed::wait::{self, Seen};

use crate::show::Show;
use crate::stack::{Stack, plain, text};

/// How many lines of what is pending are shown.
const PENDING_SHOWN: usize = 4;

/// An app that was read from a manifest.
pub struct App {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The manifest's spec.
    pub spec: Value,
}

impl App {
    /// Reads a manifest of one app; the CRD must have been installed.
    pub async fn read(kube: &ControlPlane, manifest: &Path) -> Result<Self> {
        let read = [
            "create",
            "--dry-run=client",
            "-o",
            "json",
            "-f",
            &text(manifest),
        ];
        let object: Value = serde_json::from_str(&kube.kubectl_ok(&read, None).await?)
            .with_context(|| format!("{} is not one object", manifest.display()))?;
        let namespace = object["metadata"]["namespace"]
            .as_str()
            .unwrap_or("default")
            .to_owned();
        Ok(Self {
            namespace,
            name: plain(&object["metadata"]["name"]),
            spec: object["spec"].clone(),
        })
    }

    /// What its resources' names begin with.
    pub fn prefix(&self) -> String {
        self.spec["resourcePrefix"]
            .as_str()
            .unwrap_or(&self.name)
            .to_owned()
    }

    /// A region of its spec, by role: `primary`, `dr`.
    pub fn region(&self, role: &str) -> String {
        plain(&self.spec["regions"][role])
    }

    /// The object as it is, or `None` when there is none.
    pub async fn get(&self, kube: &ControlPlane) -> Result<Option<Value>> {
        let get = [
            "get",
            "multiregionapp",
            &self.name,
            "-n",
            &self.namespace,
            "--ignore-not-found",
            "-o",
            "json",
        ];
        let answer = kube.kubectl_ok(&get, None).await?;
        if answer.trim().is_empty() {
            return Ok(None);
        }
        serde_json::from_str(&answer)
            .map(Some)
            .context("reading kubectl's answer")
    }

    /// Waits until `reached` holds of the object (`None`: it is gone), and shows every change of its status meanwhile.
    pub async fn until<T>(
        &self,
        stack: &Stack,
        show: &Show,
        what: &str,
        timeout: Duration,
        reached: impl AsyncFn(Option<&Value>) -> Result<Option<T>>,
    ) -> Result<T> {
        let shown = Mutex::new(Vec::new());
        wait::until(what, timeout, async || {
            if let Some(end) = stack.operator_ended()? {
                return Ok(Seen::Failed(end));
            }
            let object = self.get(&stack.control_plane).await?;
            let lines = object.as_ref().map_or_else(Vec::new, describe);
            if let Ok(mut shown) = shown.lock()
                && *shown != lines
            {
                show_change(show, &lines);
                shown.clone_from(&lines);
            }
            Ok(match reached(object.as_ref()).await? {
                Some(value) => Seen::Done(value),
                None => Seen::Waiting(lines.join("; ")),
            })
        })
        .await
    }
}

/// Whether a condition is there with this status, for the present generation.
pub fn has_condition(object: &Value, kind: &str, status: &str) -> bool {
    conditions(object).any(|condition| {
        condition["type"] == kind
            && condition["status"] == status
            && condition["observedGeneration"] == object["metadata"]["generation"]
    })
}

/// Whether a condition is there with this reason.
pub fn has_reason(object: &Value, kind: &str, reason: &str) -> bool {
    conditions(object).any(|condition| condition["type"] == kind && condition["reason"] == reason)
}

/// The resources that the status lists, as a tree by region.
pub fn tree(object: &Value) -> String {
    let mut regions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for resource in list(&object["status"]["inventory"]) {
        let region = resource["region"]
            .as_str()
            .filter(|region| !region.is_empty())
            .unwrap_or("global");
        let (kind, name) = (plain(&resource["kind"]), plain(&resource["name"]));
        let id = resource["id"].as_str().filter(|id| !id.contains(&name));
        let id = id.map_or_else(String::new, |id| format!("  {id}"));
        regions
            .entry(region.to_owned())
            .or_default()
            .push(format!("{kind:<32} {name}{id}"));
    }
    let mut lines = Vec::new();
    for (region, mut resources) in regions {
        resources.sort();
        lines.push(format!("{region} ({})", resources.len()));
        let last = resources.len().saturating_sub(1);
        for (index, resource) in resources.iter().enumerate() {
            lines.push(format!(
                "{} {resource}",
                if index == last { "└─" } else { "├─" }
            ));
        }
    }
    lines.join("\n")
}

fn show_change(show: &Show, lines: &[String]) {
    let mut lines = lines.iter();
    if let Some(first) = lines.next() {
        show.event(first);
    }
    for line in lines {
        show.block(&format!("           {line}"));
    }
}

/// The status in a few lines: what is not as it should be first, then what is still to do.
fn describe(object: &Value) -> Vec<String> {
    // Conditions often say the same, and then it is said once.
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    let shown = |condition: &&Value| {
        matches!(
            condition["type"].as_str(),
            Some("Ready" | "Synced" | "Stalled")
        )
    };
    for condition in conditions(object).filter(shown) {
        let message = shorten(condition["message"].as_str().unwrap_or_default(), 110);
        let why = format!("{} {message}", plain(&condition["reason"]));
        let what = format!(
            "{}={}",
            plain(&condition["type"]),
            plain(&condition["status"])
        );
        match told.iter_mut().find(|(other, _)| *other == why) {
            Some((_, conditions)) => conditions.push(what),
            None => told.push((why, vec![what])),
        }
    }
    let mut lines: Vec<String> = told
        .into_iter()
        .map(|(why, conditions)| format!("{}: {}", conditions.join(" "), why.trim()))
        .collect();
    let pending: Vec<&Value> = list(&object["status"]["pending"]).collect();
    lines.extend(pending.iter().take(PENDING_SHOWN).map(|step| {
        let waiting = step["waitingOn"].as_str().filter(|on| !on.is_empty());
        let waiting = waiting.map_or_else(String::new, |on| {
            format!(", waiting on {}", shorten(on, 80))
        });
        format!(
            "  {} {}{waiting}",
            plain(&step["change"]),
            plain(&step["resource"])
        )
    }));
    if pending.len() > PENDING_SHOWN {
        lines.push(format!("  and {} more", pending.len() - PENDING_SHOWN));
    }
    lines
}

fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    list(&object["status"]["conditions"])
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn shorten(text: &str, length: usize) -> String {
    let one_line = text.replace('\n', " ");
    if one_line.chars().count() <= length {
        return one_line;
    }
    one_line.chars().take(length).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tree_groups_by_region_and_leaves_out_ids_that_say_no_more_than_the_name() {
        let object = json!({"status": {"inventory": [
            {"kind": "lambda_function", "region": "us-west-2", "name": "shop-dr", "id": "shop-dr"},
            {"kind": "iam_role", "region": "", "name": "shop-lambda-role", "id": "arn:aws:iam::1:role/shop-lambda-role"},
            {"kind": "cloudfront_distribution", "region": "", "name": "shop", "id": "E1"},
        ]}});
        assert_eq!(
            tree(&object),
            "global (2)\n├─ cloudfront_distribution          shop  E1\n└─ iam_role                         shop-lambda-role\n\
             us-west-2 (1)\n└─ lambda_function                  shop-dr",
        );
    }

    #[test]
    fn what_conditions_have_in_common_is_said_once() {
        let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "False", "reason": reason, "message": message});
        let object = json!({"status": {
            "conditions": [
                condition("Ready", "Progressing", "3 of 9"),
                condition("Synced", "Progressing", "3 of 9"),
                condition("RuntimeSupported", "Deprecated", "soon"),
                condition("Stalled", "Quota", ""),
            ],
            "pending": [{"resource": "iam_role/pond", "change": "create", "waitingOn": ""}],
        }});
        let expected = [
            "Ready=False Synced=False: Progressing 3 of 9",
            "Stalled=False: Quota",
            "  create iam_role/pond",
        ];
        assert_eq!(describe(&object), expected);
    }

    #[test]
    fn a_condition_of_an_older_generation_does_not_count() {
        let ready = |observed: u32| {
            json!({"metadata": {"generation": 2}, "status": {"conditions": [
                {"type": "Ready", "status": "True", "observedGeneration": observed},
            ]}})
        };
        assert!(has_condition(&ready(2), "Ready", "True"));
        assert!(!has_condition(&ready(1), "Ready", "True"));
    }
}
