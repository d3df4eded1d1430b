//! The least IAM policy, put together from what each kind says it needs.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
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
    /// Only roles that this policy bounds, by its ARN: the `permissionsBoundaryARN` of the operator's configuration.
    #[arg(long, value_name = "ARN")]
    pub permissions_boundary: Option<String>,
    /// Only a part of it, where the whole is too long for one managed policy. Default: the whole.
    #[arg(long, value_enum)]
    pub part: Option<Part>,
}

/// The two parts of the policy; together they are the whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Part {
    /// What is in the regions, and the roles: DynamoDB, IAM, Lambda, Logs, S3.
    Regions,
    /// What is in front of them: ACM, CloudFront, Route 53; and all else.
    Edge,
}

impl Part {
    /// The part that `action` is in.
    fn of(action: &str) -> Self {
        let service = action.split(':').next().unwrap_or_default();
        if ["dynamodb", "iam", "lambda", "logs", "s3"].contains(&service) {
            Self::Regions
        } else {
            Self::Edge
        }
    }
}

/// What gives a role its rights, and so is allowed for bounded ones alone.
const BOUNDED: [&str; 5] = [
    "iam:CreateRole",
    "iam:DeleteRolePolicy",
    "iam:DetachRolePolicy",
    "iam:PutRolePermissionsBoundary",
    "iam:PutRolePolicy",
];

/// What IAM takes as one managed policy, in characters; it counts no white space.
const LONGEST: usize = 6144;

/// The policy document, indented.
pub fn json(arguments: &IamPolicyArguments) -> String {
    let document = document(arguments);
    let length = document.to_string().len();
    if length > LONGEST {
        eprintln!(
            "note: {length} characters are more than the {LONGEST} of a managed policy: \
             make two of it, with --part regions and --part edge"
        );
    }
    serde_json::to_string_pretty(&document).expect("a JSON value prints")
}

type Condition<'a> = (&'a str, &'a str, &'a str);

/// One statement a set of resources and condition, so that the document stays short.
fn document(arguments: &IamPolicyArguments) -> Value {
    let prefix = arguments.prefix.as_deref().unwrap_or("*");
    let account = arguments.account.as_deref().unwrap_or("*");
    let boundary = arguments.permissions_boundary.as_deref();
    let bound = boundary.map(|arn| ("StringEquals", "iam:PermissionsBoundary", arn));
    let mut statements: BTreeMap<(String, Option<Condition<'_>>), BTreeSet<&str>> = BTreeMap::new();
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
        let bounded = |name: &&str| bound.is_some() && BOUNDED.contains(name);
        let (bounded, others): (Vec<&str>, Vec<&str>) =
            action.names.iter().copied().partition(bounded);
        for (names, condition) in [(others, action.condition), (bounded, bound)] {
            if !names.is_empty() {
                let key = (resource.clone(), condition);
                statements.entry(key).or_default().extend(names);
            }
        }
    }
    if let Some(part) = arguments.part {
        for names in statements.values_mut() {
            names.retain(|name| Part::of(name) == part);
        }
        statements.retain(|_, names| !names.is_empty());
    }
    // Resources that are asked the same actions share a statement.
    let mut merged: BTreeMap<(Vec<&str>, Option<Condition<'_>>), BTreeSet<String>> =
        BTreeMap::new();
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

#[cfg(test)]
mod tests {
    use super::*;

    /// IAM counts no white space.
    fn length(arguments: &IamPolicyArguments) -> usize {
        document(arguments).to_string().len()
    }

    #[test]
    fn it_is_short_enough_for_a_managed_policy_or_for_two() {
        let mut arguments = IamPolicyArguments::default();
        assert!(length(&arguments) <= LONGEST, "{}", length(&arguments));
        arguments.account = Some("123456789012".into());
        arguments.prefix = Some("a-prefix-of-twenty-c*".into());
        arguments.permissions_boundary = Some(format!(
            "arn:aws:iam::123456789012:policy/{}",
            "a".repeat(128)
        ));
        for part in [Part::Regions, Part::Edge] {
            arguments.part = Some(part);
            assert!(length(&arguments) <= LONGEST, "{}", length(&arguments));
        }
    }

    #[test]
    fn the_parts_are_the_whole() {
        let actions = |part| {
            let arguments = IamPolicyArguments {
                part,
                ..IamPolicyArguments::default()
            };
            let document = document(&arguments);
            let mut all = BTreeSet::new();
            for statement in document["Statement"].as_array().expect("statements") {
                for action in statement["Action"].as_array().expect("actions") {
                    for resource in statement["Resource"].as_array().expect("resources") {
                        let condition = &statement["Condition"];
                        all.insert(format!("{action} {resource} {condition}"));
                    }
                }
            }
            all
        };
        let (regions, edge) = (actions(Some(Part::Regions)), actions(Some(Part::Edge)));
        assert!(regions.is_disjoint(&edge));
        assert_eq!(&regions | &edge, actions(None));
    }

    #[test]
    fn with_a_boundary_no_role_is_made_or_given_rights_without_it() {
        let arn = "arn:aws:iam::123456789012:policy/apps";
        let document = document(&IamPolicyArguments {
            permissions_boundary: Some(arn.into()),
            ..IamPolicyArguments::default()
        });
        let statements = document["Statement"].as_array().expect("statements");
        let mut found = BTreeSet::new();
        for statement in statements {
            let names = statement["Action"].as_array().expect("actions");
            for name in names.iter().filter_map(Value::as_str) {
                if BOUNDED.contains(&name) {
                    found.insert(name);
                    let condition = json!({"StringEquals": {"iam:PermissionsBoundary": arn}});
                    assert_eq!(statement["Condition"], condition, "{name}");
                }
            }
        }
        assert_eq!(found, BTreeSet::from(BOUNDED));
    }
}
