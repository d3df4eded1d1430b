//! IAM: documents that are checked, reads that lag, lists in pages.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;
use xmltree::{Element, XMLNode};

use crate::exchange::{Answer, Exchange, Outcome, with_body};
use crate::refusal::Refusal;
use crate::services::Memory;
use crate::stale::Snapshots;
use crate::xml;

/// What the proxy remembers of IAM.
#[derive(Default)]
pub(crate) struct State {
    /// When a role was made or its trust changed, by account and name.
    trust_changes: Memory<HashMap<String, Instant>>,
    past: Snapshots,
}

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    if exchange.config.strict.iam_policies {
        match exchange.operation {
            "CreateRole" => {
                check_trust(exchange, exchange.parameter("AssumeRolePolicyDocument")).await?
            }
            "UpdateAssumeRolePolicy" => {
                check_trust(exchange, exchange.parameter("PolicyDocument")).await?
            }
            "PutRolePolicy" => check_permissions(exchange.parameter("PolicyDocument"))?,
            _ => {}
        }
    }
    let answer = match past(exchange) {
        Some(answer) => answer,
        None => write_through(exchange).await?,
    };
    if answer.status().is_success()
        && ["CreateRole", "UpdateAssumeRolePolicy"].contains(&exchange.operation)
    {
        exchange.state.iam.trust_changes.lock().insert(
            key(exchange, exchange.parameter("RoleName")),
            Instant::now(),
        );
    }
    Ok(paged(exchange, answer))
}

fn key(exchange: &Exchange<'_>, name: &str) -> String {
    format!("{}/{name}", exchange.account)
}

/// How long ago a role was made, or its trust changed, as far as the proxy saw it.
pub(crate) fn trusted_since(exchange: &Exchange<'_>, role: &str) -> Option<Instant> {
    exchange
        .state
        .iam
        .trust_changes
        .lock()
        .get(&key(exchange, role))
        .copied()
}

/// A role's trust policy; `None` if there is no such role.
pub(crate) async fn trust_policy(exchange: &Exchange<'_>, role: &str) -> Outcome<Option<Value>> {
    let found = exchange
        .ask_iam(&format!("Action=GetRole&RoleName={}", encode(role)))
        .await?;
    Ok(found.map(|found| {
        let document = xml::text_at(
            &found,
            &["GetRoleResult", "Role", "AssumeRolePolicyDocument"],
        );
        let decoded = percent_encoding::percent_decode_str(&document).decode_utf8_lossy();
        serde_json::from_str(&decoded).unwrap_or_default()
    }))
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "MalformedPolicyDocument", message)
}

/// A document's statements, whether it has one or a list of them.
pub(crate) fn statements(document: &Value) -> Vec<&Value> {
    one_or_list(&document["Statement"])
}

/// A value that may stand alone or in a list.
pub(crate) fn one_or_list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().collect(),
        one => vec![one],
    }
}

/// A trust policy names its principals, and they exist.
async fn check_trust(exchange: &Exchange<'_>, document: &str) -> Outcome<()> {
    let document: Value = serde_json::from_str(document)
        .map_err(|_| malformed("This policy contains invalid Json"))?;
    if statements(&document).is_empty() {
        return Err(malformed("Syntax errors in policy.").into());
    }
    for statement in statements(&document) {
        let Value::Object(principals) = &statement["Principal"] else {
            return Err(malformed("Missing required field Principal").into());
        };
        for (kind, principals) in principals {
            for principal in one_or_list(principals)
                .into_iter()
                .filter_map(Value::as_str)
            {
                if !principal_exists(exchange, kind, principal).await? {
                    let kind = if kind == "Service" { "SERVICE" } else { kind };
                    return Err(malformed(format!(
                        "Invalid principal in policy: \"{kind}\":\"{principal}\""
                    ))
                    .into());
                }
            }
        }
    }
    Ok(())
}

/// Whether a principal is one that IAM would know: a service by its form, a role of the caller's account by asking.
pub(crate) async fn principal_exists(
    exchange: &Exchange<'_>,
    kind: &str,
    principal: &str,
) -> Outcome<bool> {
    if kind == "Service" {
        return Ok(principal.ends_with(".amazonaws.com"));
    }
    let role = principal.strip_prefix(&format!("arn:aws:iam::{}:role/", exchange.account));
    match role {
        Some(role) => Ok(
            trust_policy(exchange, role.rsplit('/').next().unwrap_or(role))
                .await?
                .is_some(),
        ),
        None => Ok(true),
    }
}

/// A policy of what a role may do names resources, and no principal.
fn check_permissions(document: &str) -> Result<(), Refusal> {
    let document: Value =
        serde_json::from_str(document).map_err(|_| malformed("Syntax errors in policy."))?;
    for statement in statements(&document) {
        if !statement["Principal"].is_null() {
            return Err(malformed("Policy document should not specify a principal."));
        }
        let resources = one_or_list(&statement["Resource"]);
        if resources.is_empty() && statement["NotResource"].is_null() {
            return Err(malformed("Policy statement must contain resources."));
        }
        for resource in resources {
            let resource = resource.as_str().unwrap_or_default();
            if resource != "*" && !resource.starts_with("arn:") {
                return Err(malformed(format!(
                    "Resource {resource} must be in ARN format or \"*\"."
                )));
            }
        }
    }
    Ok(())
}

/// The reads that a write changes, as forms; empty for a read.
fn reads_changed(exchange: &Exchange<'_>) -> Vec<String> {
    let role = encode(exchange.parameter("RoleName"));
    let read = |action: &str| format!("Action={action}&RoleName={role}");
    // It names no role, and tells of all.
    let all = "Action=GetAccountAuthorizationDetails&RoleName=".to_owned();
    match exchange.operation {
        "CreateRole"
        | "DeleteRole"
        | "UpdateRole"
        | "UpdateAssumeRolePolicy"
        | "TagRole"
        | "UntagRole" => {
            vec![read("GetRole"), read("ListRoleTags"), all]
        }
        "PutRolePolicy" | "DeleteRolePolicy" => {
            let policy = encode(exchange.parameter("PolicyName"));
            vec![
                format!("{}&PolicyName={policy}", read("GetRolePolicy")),
                read("ListRolePolicies"),
                all,
            ]
        }
        "AttachRolePolicy" | "DetachRolePolicy" => vec![read("ListAttachedRolePolicies")],
        _ => Vec::new(),
    }
}

/// Passes a call on, keeping before a write what the reads that it changes answer.
async fn write_through(exchange: &Exchange<'_>) -> Outcome {
    let mut before = Vec::new();
    if exchange.config.strict.stale_reads {
        for read in reads_changed(exchange) {
            let answer = exchange.ask_iam_raw(&read).await?;
            before.push((key(exchange, &read), answer));
        }
    }
    let answer = exchange.forward().await?;
    if answer.status().is_success() {
        for (read, before) in before {
            exchange.state.iam.past.keep(&read, before);
        }
    }
    Ok(answer)
}

/// What a read still shows. Writes always see the present.
fn past(exchange: &Exchange<'_>) -> Option<Answer> {
    if !exchange.config.strict.stale_reads {
        return None;
    }
    let role = encode(exchange.parameter("RoleName"));
    let mut read = format!("Action={}&RoleName={role}", exchange.operation);
    if exchange.operation == "GetRolePolicy" {
        read = format!(
            "{read}&PolicyName={}",
            encode(exchange.parameter("PolicyName"))
        );
    }
    exchange
        .state
        .iam
        .past
        .past(&key(exchange, &read), exchange.config.delays.stale_reads)
}

/// Cuts a list to a page. `Marker` says nothing to the caller; here it is the number of what was before.
fn paged(exchange: &Exchange<'_>, answer: Answer) -> Answer {
    let list = match exchange.operation {
        "ListRolePolicies" => "PolicyNames",
        "ListAttachedRolePolicies" => "AttachedPolicies",
        "ListRoles" => "Roles",
        "GetAccountAuthorizationDetails" => "RoleDetailList",
        "ListRoleTags" => "Tags",
        _ => return answer,
    };
    if !exchange.config.strict.pages || !answer.status().is_success() {
        return answer;
    }
    let Some(mut root) = xml::parse(answer.body()) else {
        return answer;
    };
    let result = root.children.iter_mut().filter_map(XMLNode::as_mut_element);
    if let Some(result) = result
        .into_iter()
        .find(|element| element.name.ends_with("Result"))
    {
        page(exchange, result, list);
    }
    with_body(answer, xml::render(&root))
}

fn page(exchange: &Exchange<'_>, result: &mut Element, list: &str) {
    let Some(list) = result.get_mut_child(list) else {
        return;
    };
    let asked = exchange.parameter("MaxItems").parse().unwrap_or(100);
    let size = exchange.config.page_size.min(asked).max(1);
    let first: usize = exchange.parameter("Marker").parse().unwrap_or(0);
    let all: Vec<XMLNode> = list
        .children
        .drain(..)
        .filter(|node| node.as_element().is_some())
        .collect();
    let truncated = all.len() > first + size;
    list.children = all.into_iter().skip(first).take(size).collect();
    xml::set(result, "IsTruncated", &truncated.to_string());
    if truncated {
        xml::set(result, "Marker", &(first + size).to_string());
    }
}
