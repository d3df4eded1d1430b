//! The two roles: what the functions may do, what S3 replication may do.

use std::collections::{BTreeMap, BTreeSet};

use super::{ids, want};
use crate::app::{App, Site};
use crate::model::{Desired, Input, Overlap};
use crate::resources::iam_role;
use crate::resources::policy::{Effect, Statement, Statements};

/// What a function does with its tables; no table is made, changed or deleted by it.
const TABLE_ACTIONS: &[&str] = &[
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:DeleteItem",
    "dynamodb:DescribeTable",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
];

/// The execution role, and with a DR region the replication role.
pub(super) fn roles(app: &App) -> Vec<Desired> {
    let mut roles = vec![execution_role(app)];
    roles.extend(app.dr.as_ref().map(|dr| replication_role(app, dr)));
    roles
}

/// One inline policy a region, so that a region's rights go as a whole, and not before nothing is routed to it.
fn execution_role(app: &App) -> Desired {
    let policies = app
        .sites()
        .map(|site| {
            let role = if site.role == app.primary.role {
                "primary"
            } else {
                "dr"
            };
            (format!("multiregion-{role}"), site_statements(app, site))
        })
        .collect();
    let mut desired = want(
        ids::execution_role(app),
        &iam_role::Config {
            trusted_services: BTreeSet::from(["lambda.amazonaws.com".into()]),
            inline_policies: policies,
            tags: app.tags.clone(),
        },
    );
    desired.overlap = Some(Overlap {
        field: "inline_policies".into(),
        until: vec![ids::distribution(app)],
    });
    desired
}

fn site_statements(app: &App, site: &Site) -> Statements {
    let region = &site.region;
    let mut statements = Statements::new();
    let tables: Vec<String> = app
        .tables
        .iter()
        .map(|table| app.table_arn(region, &table.name))
        .collect();
    if !tables.is_empty() {
        let with_indexes = tables
            .iter()
            .flat_map(|arn| [arn.clone(), format!("{arn}/index/*")]);
        statements.insert("Tables".into(), allow(TABLE_ACTIONS, with_indexes));
    }
    let bucket = format!("arn:aws:s3:::{}", site.static_bucket);
    statements.insert(
        "StaticAssets".into(),
        allow(&["s3:GetObject"], [format!("{bucket}/*")]),
    );
    statements.insert(
        "ListStaticAssets".into(),
        allow(&["s3:ListBucket"], [bucket]),
    );
    let log_group = format!(
        "arn:aws:logs:{region}:{}:log-group:/aws/lambda/{}",
        app.account, site.function
    );
    statements.insert(
        "Logs".into(),
        allow(
            &["logs:CreateLogStream", "logs:PutLogEvents"],
            [format!("{log_group}:*")],
        ),
    );
    statements
}

fn replication_role(app: &App, dr: &Site) -> Desired {
    let source = format!("arn:aws:s3:::{}", app.primary.static_bucket);
    let destination = format!("arn:aws:s3:::{}", dr.static_bucket);
    let statements = Statements::from([
        (
            "Source".into(),
            allow(
                &["s3:GetReplicationConfiguration", "s3:ListBucket"],
                [source.clone()],
            ),
        ),
        (
            "SourceObjects".into(),
            allow(
                &[
                    "s3:GetObjectVersionAcl",
                    "s3:GetObjectVersionForReplication",
                    "s3:GetObjectVersionTagging",
                ],
                [format!("{source}/*")],
            ),
        ),
        (
            "Destination".into(),
            allow(
                &[
                    "s3:ReplicateDelete",
                    "s3:ReplicateObject",
                    "s3:ReplicateTags",
                ],
                [format!("{destination}/*")],
            ),
        ),
    ]);
    want(
        ids::replication_role(app),
        &iam_role::Config {
            trusted_services: BTreeSet::from(["s3.amazonaws.com".into()]),
            inline_policies: BTreeMap::from([("multiregion-replication".into(), statements)]),
            tags: app.tags.clone(),
        },
    )
}

/// Allows `actions` on `resources`.
fn allow(actions: &[&str], resources: impl IntoIterator<Item = String>) -> Statement {
    Statement {
        effect: Effect::Allow,
        principal: None,
        actions: actions.iter().map(|&action| action.into()).collect(),
        resources: resources.into_iter().map(Input::Known).collect(),
        conditions: BTreeMap::new(),
    }
}
