//! The two roles: what the functions may do, what S3 replication may do.
//!
//! A role is given rights by the names that the app's resources have. Under one of these names there may be somebody
//! else's table or bucket: to that no right is given.

use std::collections::{BTreeMap, BTreeSet};

use super::{ids, want};
use crate::app::{App, Site};
use crate::model::{Desired, FailureKind, Input, Observed, Overlap, Owner, ResourceId, Snapshot};
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

/// What of the app's names is in truth the app's.
pub(super) struct Rights<'a> {
    app: &'a App,
    /// None: nothing was looked at yet.
    seen: Option<&'a Snapshot>,
}

impl<'a> Rights<'a> {
    /// To all that has one of its names.
    pub(super) fn to_all(app: &'a App) -> Self {
        Self { app, seen: None }
    }

    /// To all but what is seen to be somebody else's.
    pub(super) fn by(app: &'a App, seen: &'a Snapshot) -> Self {
        Self {
            app,
            seen: Some(seen),
        }
    }

    /// Whether `role` may have a right to `id`, which is named by `arn`. What cannot be read keeps the rights it has.
    fn to(&self, role: &ResourceId, id: &ResourceId, arn: &str) -> bool {
        let Some(seen) = self.seen else {
            return true;
        };
        match seen.get(id) {
            None | Some(Observed::Absent) => true,
            Some(Observed::Present(live)) => match live.owner {
                Owner::Ours => true,
                Owner::Nobody => self.app.adopts(),
                Owner::Other(_) => false,
            },
            Some(Observed::Unknown(failure)) if failure.kind == FailureKind::Foreign => false,
            Some(Observed::Unknown(_)) => match seen.get(role) {
                Some(Observed::Present(role)) => role.config.to_string().contains(arn),
                Some(Observed::Absent) | None => false,
                Some(Observed::Unknown(_)) => true,
            },
        }
    }
}

/// The execution role, and with a DR region the replication role.
pub(super) fn roles(app: &App, rights: &Rights<'_>) -> Vec<Desired> {
    let mut roles = vec![execution_role(app, rights)];
    roles.extend(app.dr.as_ref().map(|dr| replication_role(app, dr, rights)));
    roles
}

/// One inline policy a region, so that a region's rights go as a whole, and not before nothing is routed to it.
fn execution_role(app: &App, rights: &Rights<'_>) -> Desired {
    let policies = app
        .sites()
        .map(|site| {
            let role = if site.role == app.primary.role {
                "primary"
            } else {
                "dr"
            };
            let statements = site_statements(app, site, rights);
            (format!("multiregion-{role}"), statements)
        })
        .collect();
    let mut desired = role(
        app,
        ids::execution_role(app),
        "lambda.amazonaws.com",
        policies,
    );
    desired.overlap = Some(Overlap {
        field: "inline_policies".into(),
        until: vec![ids::distribution(app)],
    });
    desired
}

/// A role that `service` assumes. IAM takes no policy without statements.
fn role(
    app: &App,
    id: ResourceId,
    service: &str,
    mut policies: BTreeMap<String, Statements>,
) -> Desired {
    policies.retain(|_, statements| !statements.is_empty());
    want(
        id,
        &iam_role::Config {
            trusted_services: BTreeSet::from([service.into()]),
            inline_policies: policies,
            permissions_boundary: app.permissions_boundary.clone(),
            tags: app.tags.clone(),
        },
    )
}

fn site_statements(app: &App, site: &Site, rights: &Rights<'_>) -> Statements {
    let region = &site.region;
    let role = ids::execution_role(app);
    let mut statements = Statements::new();
    let tables: Vec<String> = app
        .tables
        .iter()
        .map(|table| (table, app.table_arn(region, &table.name)))
        .filter(|(table, arn)| rights.to(&role, &ids::table(site, &table.name), arn))
        .map(|(_, arn)| arn)
        .collect();
    if !tables.is_empty() {
        let with_indexes = tables
            .iter()
            .flat_map(|arn| [arn.clone(), format!("{arn}/index/*")]);
        statements.insert("Tables".into(), allow(TABLE_ACTIONS, with_indexes));
    }
    let bucket = bucket_arn(site);
    if rights.to(&role, &ids::static_bucket(site), &bucket) {
        statements.insert(
            "StaticAssets".into(),
            allow(&["s3:GetObject"], [format!("{bucket}/*")]),
        );
        statements.insert(
            "ListStaticAssets".into(),
            allow(&["s3:ListBucket"], [bucket]),
        );
    }
    let log_group = format!(
        "arn:aws:logs:{region}:{}:log-group:/aws/lambda/{}",
        app.account, site.function
    );
    if rights.to(&role, &ids::log_group(site), &log_group) {
        statements.insert(
            "Logs".into(),
            allow(
                &["logs:CreateLogStream", "logs:PutLogEvents"],
                [format!("{log_group}:*")],
            ),
        );
    }
    statements
}

fn bucket_arn(site: &Site) -> String {
    format!("arn:aws:s3:::{}", site.static_bucket)
}

fn replication_role(app: &App, dr: &Site, rights: &Rights<'_>) -> Desired {
    let id = ids::replication_role(app);
    let (source, destination) = (bucket_arn(&app.primary), bucket_arn(dr));
    let mut statements = Statements::new();
    if rights.to(&id, &ids::static_bucket(&app.primary), &source) {
        statements.insert(
            "Source".into(),
            allow(
                &["s3:GetReplicationConfiguration", "s3:ListBucket"],
                [source.clone()],
            ),
        );
        statements.insert(
            "SourceObjects".into(),
            allow(
                &[
                    "s3:GetObjectVersionAcl",
                    "s3:GetObjectVersionForReplication",
                    "s3:GetObjectVersionTagging",
                ],
                [format!("{source}/*")],
            ),
        );
    }
    if rights.to(&id, &ids::static_bucket(dr), &destination) {
        statements.insert(
            "Destination".into(),
            allow(
                &[
                    "s3:ReplicateDelete",
                    "s3:ReplicateObject",
                    "s3:ReplicateTags",
                ],
                [format!("{destination}/*")],
            ),
        );
    }
    let policies = BTreeMap::from([("multiregion-replication".into(), statements)]);
    role(app, id, "s3.amazonaws.com", policies)
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
