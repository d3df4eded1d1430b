//! The least IAM policy, put together from what each kind says it needs.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::{Value, json};

use crate::health;
use crate::resources::{Action, REGISTRY};

/// What the policy is for.
#[derive(Args, Clone, Debug, Default)]
pub struct IamPolicyArguments {
    /// Only apps whose prefix matches this pattern, as in `shop-*`. Default: all.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Only this account, 12 digits. Default: any.
    #[arg(long)]
    pub account: Option<String>,
}

/// The policy document, indented.
pub fn json(arguments: &IamPolicyArguments) -> String {
    serde_json::to_string_pretty(&document(arguments)).expect("a JSON value prints")
}

type Condition = (&'static str, &'static str, &'static str);

/// One statement a set of resources and condition, so that the document stays short of IAM's 6,144 characters.
fn document(arguments: &IamPolicyArguments) -> Value {
    let prefix = arguments.prefix.as_deref().unwrap_or("*");
    let account = arguments.account.as_deref().unwrap_or("*");
    let mut statements: BTreeMap<(String, Option<Condition>), BTreeSet<&str>> = BTreeMap::new();
    let identity = ("*".to_owned(), None);
    statements
        .entry(identity)
        .or_default()
        .insert("sts:GetCallerIdentity");
    let of_kinds = REGISTRY.values().flat_map(|kind| kind.facts().actions);
    let of_health = health::ACTIONS
        .iter()
        .map(|(resource, names)| Action::on(resource, names));
    for action in of_kinds.copied().chain(of_health) {
        let resource = action
            .resource
            .replace("{account}", account)
            .replace("{prefix}", prefix);
        statements
            .entry((resource, action.condition))
            .or_default()
            .extend(action.names);
    }
    // Resources that are asked the same actions share a statement.
    let mut merged: BTreeMap<(Vec<&str>, Option<Condition>), BTreeSet<String>> = BTreeMap::new();
    for ((resource, condition), actions) in statements {
        merged
            .entry((actions.into_iter().collect(), condition))
            .or_default()
            .insert(resource);
    }
    let statements: Vec<Value> = merged
        .into_iter()
        .map(|((actions, condition), resources)| {
            let mut statement =
                json!({"Effect": "Allow", "Action": actions, "Resource": resources});
            if let Some((operator, key, value)) = condition {
                statement["Condition"] = json!({operator: {key: value}});
            }
            statement
        })
        .collect();
    json!({"Version": "2012-10-17", "Statement": statements})
}
