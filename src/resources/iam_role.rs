//! An IAM role with its trust policy and its inline policies.

mod list;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use aws_sdk_iam::types;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::policy::{Document, Statements};
use super::{Action, Hint, Kind, Seen, Tags, found, incomplete};
use crate::aws::{Pass, shared};
use crate::model::{DataPolicy, Deleted, Failure, GLOBAL, Owner, Phase, ResourceId};

/// `iam_role`; its name is the role's, as in `shop-lambda-role`.
pub struct Role;

/// What the names of our inline policies begin with. Those with other names are others', and stay as long as the role.
pub const POLICY_PREFIX: &str = "multiregion-";

/// Managed fields of a role.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Services that may assume it, as in `lambda.amazonaws.com`. Observed besides: the raw text of each other
    /// statement of the trust policy, which is then a difference and goes.
    pub trusted_services: BTreeSet<String>,
    /// Statements by the inline policy's name, which begins with [`POLICY_PREFIX`]. Others' inline policies stay.
    pub inline_policies: BTreeMap<String, Statements>,
    /// ARN of the policy that bounds whatever the others allow. Unmanaged if absent: it is never taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions_boundary: Option<String>,
    /// Owner's and user's tags.
    pub tags: Tags,
}

#[async_trait]
impl Kind for Role {
    type Config = Config;

    const NAME: &'static str = "iam_role";
    const READS_LAG: bool = true;
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const DELETED_AFTER: &'static [&'static str] = &["lambda_function", "s3_bucket_replication"];
    const ACTIONS: &'static [Action] = &[
        // Spares the roles' single reads. Without it they are read one by one.
        Action::on("*", &["iam:GetAccountAuthorizationDetails"]),
        Action::on(
            "arn:aws:iam::{account}:role/{prefix}",
            &[
                "iam:CreateRole",
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:DetachRolePolicy",
                "iam:GetRole",
                "iam:GetRolePolicy",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:PutRolePermissionsBoundary",
                "iam:PutRolePolicy",
                "iam:TagRole",
                "iam:UpdateAssumeRolePolicy",
            ],
        ),
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        if let Some(roles) = list::roles(pass).await? {
            let Some(role) = roles.get(&id.name) else {
                return Ok(None);
            };
            return list::seen(pass, role).map(Some);
        }
        let get = pass.clients(GLOBAL).iam.get_role().role_name(&id.name);
        let Some(answer) = found(pass.call("iam", "GetRole", GLOBAL, get.send()).await)? else {
            return Ok(None);
        };
        let role = answer
            .role
            .ok_or_else(|| incomplete("iam:GetRole", "role"))?;
        let mut names: BTreeSet<String> = hint
            .wanted
            .map(|wanted| wanted.inline_policies.into_keys().collect())
            .unwrap_or_default();
        // A policy of ours that is no longer wanted shows only in the list.
        if pass.every_facet() {
            let listed = inline_policy_names(pass, &id.name).await?;
            names.extend(
                listed
                    .into_iter()
                    .filter(|name| name.starts_with(POLICY_PREFIX)),
            );
        }
        let reads = names.into_iter().map(|name| async move {
            let statements = inline_policy(pass, &id.name, &name).await?;
            Ok(statements.map(|statements| (name, statements)))
        });
        let inline_policies = try_join_all(reads).await?.into_iter().flatten().collect();
        let trust = role.assume_role_policy_document();
        let boundary = role.permissions_boundary();
        seen(
            pass,
            role.arn(),
            trust,
            role.tags(),
            boundary,
            inline_policies,
        )
        .map(Some)
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let create = pass
            .clients(GLOBAL)
            .iam
            .create_role()
            .role_name(&id.name)
            .assume_role_policy_document(trust_policy(&desired.trusted_services))
            .set_permissions_boundary(desired.permissions_boundary.clone())
            .set_tags(Some(tags(&desired.tags)));
        pass.changed(&shared::ROLES, "");
        let answer = pass
            .call("iam", "CreateRole", GLOBAL, create.send())
            .await?;
        let role = answer
            .role
            .ok_or_else(|| incomplete("iam:CreateRole", "role"))?;
        let puts = desired
            .inline_policies
            .iter()
            .map(|(name, statements)| put_policy(pass, &id.name, name, statements));
        let put = try_join_all(puts).await;
        pass.changed(&shared::ROLES, "");
        put?;
        Ok(Seen::ours(desired.clone(), role.arn()).output("arn", role.arn()))
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let answer = bring(pass, id, live, desired, changed).await;
        pass.changed(&shared::ROLES, "");
        answer
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let answer = remove(pass, id).await;
        pass.changed(&shared::ROLES, "");
        answer
    }
}

async fn bring(
    pass: &Pass,
    id: &ResourceId,
    live: Seen<Config>,
    desired: &Config,
    changed: &BTreeSet<String>,
) -> Result<Seen<Config>, Failure> {
    let mut config = live.config;
    let iam = &pass.clients(GLOBAL).iam;
    // First: what the policies may be about to allow more is bounded by then.
    if let Some(boundary) = &desired.permissions_boundary
        && changed.contains("permissions_boundary")
    {
        let put = iam
            .put_role_permissions_boundary()
            .role_name(&id.name)
            .permissions_boundary(boundary)
            .send();
        pass.call("iam", "PutRolePermissionsBoundary", GLOBAL, put)
            .await?;
        config.permissions_boundary = Some(boundary.clone());
    }
    if changed.contains("trusted_services") {
        let update = iam
            .update_assume_role_policy()
            .role_name(&id.name)
            .policy_document(trust_policy(&desired.trusted_services))
            .send();
        pass.call("iam", "UpdateAssumeRolePolicy", GLOBAL, update)
            .await?;
        config.trusted_services = desired.trusted_services.clone();
    }
    if changed.contains("inline_policies") {
        bring_policies(
            pass,
            &id.name,
            &config.inline_policies,
            &desired.inline_policies,
        )
        .await?;
        config.inline_policies = desired.inline_policies.clone();
    }
    if changed.contains("tags") {
        let tag = iam
            .tag_role()
            .role_name(&id.name)
            .set_tags(Some(tags(&desired.tags)))
            .send();
        pass.call("iam", "TagRole", GLOBAL, tag).await?;
        config.tags.extend(desired.tags.clone());
    }
    Ok(Seen {
        config,
        owner: Owner::Ours,
        phase: Phase::Ready,
        ..live
    })
}

async fn remove(pass: &Pass, id: &ResourceId) -> Result<Deleted, Failure> {
    // A role goes only without policies, whoever put them there.
    let names = inline_policy_names(pass, &id.name).await?;
    try_join_all(names.iter().map(|name| delete_policy(pass, &id.name, name))).await?;
    detach_policies(pass, &id.name).await?;
    let delete = pass.clients(GLOBAL).iam.delete_role().role_name(&id.name);
    pass.call("iam", "DeleteRole", GLOBAL, delete.send())
        .await?;
    Ok(Deleted::Gone)
}

fn seen(
    pass: &Pass,
    arn: &str,
    trust: Option<&str>,
    tags: &[types::Tag],
    boundary: Option<&types::AttachedPermissionsBoundary>,
    inline_policies: BTreeMap<String, Statements>,
) -> Result<Seen<Config>, Failure> {
    let tags: Tags = tags
        .iter()
        .map(|tag| (tag.key().to_owned(), tag.value().to_owned()))
        .collect();
    let owner = pass.owner_by_tags(
        tags.iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    );
    let config = Config {
        trusted_services: trusted_services(trust.unwrap_or("{}"))?,
        inline_policies,
        permissions_boundary: boundary
            .and_then(|boundary| boundary.permissions_boundary_arn())
            .map(str::to_owned),
        tags,
    };
    Ok(Seen {
        owner,
        ..Seen::ours(config, arn).output("arn", arn)
    })
}

/// Whom the trust policy admits; what is more than "this service may assume it" stands as its raw text, so that a
/// person, an account or a condition added by hand never passes for what is wanted.
fn trusted_services(document: &str) -> Result<BTreeSet<String>, Failure> {
    let document = Document::parse(document, "iam:GetRole")?;
    let mut trusted = BTreeSet::new();
    for raw in document.raw() {
        let mut plain = raw.clone();
        let services = plain
            .as_object_mut()
            .and_then(|statement| statement.shift_remove("Principal"))
            .and_then(|principal| services_of(principal.as_object()?));
        if let Some(statement) = plain.as_object_mut() {
            statement.shift_remove("Sid");
        }
        let assumes = plain == json!({"Effect": "Allow", "Action": "sts:AssumeRole"})
            || plain == json!({"Effect": "Allow", "Action": ["sts:AssumeRole"]});
        match services {
            Some(services) if assumes => trusted.extend(services),
            _ => {
                trusted.insert(raw.to_string());
            }
        }
    }
    Ok(trusted)
}

/// The services of a principal that names nothing else.
fn services_of(principal: &serde_json::Map<String, serde_json::Value>) -> Option<Vec<String>> {
    match principal.get("Service")? {
        _ if principal.len() > 1 => None,
        serde_json::Value::String(service) => Some(vec![service.clone()]),
        services => serde_json::from_value(services.clone()).ok(),
    }
}

fn trust_policy(services: &BTreeSet<String>) -> String {
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": services},
            "Action": "sts:AssumeRole",
        }],
    });
    document.to_string()
}

fn tags(tags: &Tags) -> Vec<types::Tag> {
    tags.iter()
        .map(|(key, value)| {
            types::Tag::builder()
                .key(key)
                .value(value)
                .build()
                .expect("a tag with key and value is complete")
        })
        .collect()
}

async fn inline_policy_names(pass: &Pass, role: &str) -> Result<Vec<String>, Failure> {
    let (mut names, mut marker) = (Vec::new(), None);
    loop {
        let page = pass
            .clients(GLOBAL)
            .iam
            .list_role_policies()
            .role_name(role)
            .set_marker(marker)
            .send();
        let page = pass.call("iam", "ListRolePolicies", GLOBAL, page).await?;
        names.extend(page.policy_names);
        marker = page.marker.filter(|_| page.is_truncated);
        if marker.is_none() {
            return Ok(names);
        }
    }
}

async fn inline_policy(pass: &Pass, role: &str, name: &str) -> Result<Option<Statements>, Failure> {
    let get = pass
        .clients(GLOBAL)
        .iam
        .get_role_policy()
        .role_name(role)
        .policy_name(name)
        .send();
    let Some(answer) = found(pass.call("iam", "GetRolePolicy", GLOBAL, get).await)? else {
        return Ok(None);
    };
    let document = Document::parse(answer.policy_document(), "iam:GetRolePolicy")?;
    Ok(Some(document.typed(|_| true)))
}

/// Puts what differs, and takes away what is ours and no longer wanted.
async fn bring_policies(
    pass: &Pass,
    role: &str,
    live: &BTreeMap<String, Statements>,
    desired: &BTreeMap<String, Statements>,
) -> Result<(), Failure> {
    let puts = desired
        .iter()
        .filter(|(name, statements)| live.get(*name) != Some(statements))
        .map(|(name, statements)| put_policy(pass, role, name, statements));
    try_join_all(puts).await?;
    let surplus = live
        .keys()
        .filter(|name| name.starts_with(POLICY_PREFIX) && !desired.contains_key(*name))
        .map(|name| delete_policy(pass, role, name));
    try_join_all(surplus).await?;
    Ok(())
}

async fn put_policy(
    pass: &Pass,
    role: &str,
    name: &str,
    statements: &Statements,
) -> Result<(), Failure> {
    let put = pass
        .clients(GLOBAL)
        .iam
        .put_role_policy()
        .role_name(role)
        .policy_name(name)
        .policy_document(Document::of(statements).to_string())
        .send();
    pass.call("iam", "PutRolePolicy", GLOBAL, put)
        .await
        .map(drop)
}

async fn delete_policy(pass: &Pass, role: &str, name: &str) -> Result<(), Failure> {
    let delete = pass
        .clients(GLOBAL)
        .iam
        .delete_role_policy()
        .role_name(role)
        .policy_name(name)
        .send();
    found(
        pass.call("iam", "DeleteRolePolicy", GLOBAL, delete)
            .await
            .map(drop),
    )
    .map(drop)
}

async fn detach_policies(pass: &Pass, role: &str) -> Result<(), Failure> {
    let iam = &pass.clients(GLOBAL).iam;
    let (mut policies, mut marker) = (Vec::new(), None);
    loop {
        let list = iam
            .list_attached_role_policies()
            .role_name(role)
            .set_marker(marker)
            .send();
        let page = pass
            .call("iam", "ListAttachedRolePolicies", GLOBAL, list)
            .await?;
        policies.extend(page.attached_policies.unwrap_or_default());
        marker = page.marker.filter(|_| page.is_truncated);
        if marker.is_none() {
            break;
        }
    }
    for policy in policies {
        let detach = iam
            .detach_role_policy()
            .role_name(role)
            .set_policy_arn(policy.policy_arn)
            .send();
        found(pass.call("iam", "DetachRolePolicy", GLOBAL, detach).await)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
