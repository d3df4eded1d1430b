//! A replica of a table; its region is the replica's, its name the table's.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_dynamodb::types;
use serde::{Deserialize, Serialize};

use super::dynamodb::{self, COMPLETE};
use super::{Action, Hint, Kind, Seen, Tags, found, incomplete};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, Owner, Phase, ResourceId};

/// `dynamodb_table_replica`; its region is the replica's, its name the table's.
pub struct TableReplica;

/// Managed fields of a replica.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Region of the table it is a replica of. Made and removed through that region, configured in its own.
    pub source_region: String,
    /// In the replica's region.
    pub point_in_time_recovery: bool,
    /// In the replica's region.
    pub deletion_protection: bool,
    /// Owner's and user's tags, in the replica's region.
    pub tags: Tags,
}

#[async_trait]
impl Kind for TableReplica {
    type Config = Config;

    const NAME: &'static str = "dynamodb_table_replica";
    const OUTPUTS: &'static [&'static str] = &["arn"];
    const DELETED_AFTER: &'static [&'static str] = &["lambda_function"];
    const HOLDS_DATA: bool = true;
    const ACTIONS: &'static [Action] = &[
        Action::on(
            "arn:aws:dynamodb:*:{account}:table/{prefix}",
            &[
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:DescribeTable",
                "dynamodb:ListTagsOfResource",
                "dynamodb:TagResource",
                "dynamodb:UpdateContinuousBackups",
                "dynamodb:UpdateTable",
                // DynamoDB seeds and removes a replica in the name of whoever asks for it.
                "dynamodb:BatchWriteItem",
                "dynamodb:CreateTable",
                "dynamodb:CreateTableReplica",
                "dynamodb:DeleteItem",
                "dynamodb:DeleteTable",
                "dynamodb:DeleteTableReplica",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
                "dynamodb:Scan",
                "dynamodb:UpdateItem",
            ],
        ),
        // The first global table of an account makes its role.
        Action {
            names: &["iam:CreateServiceLinkedRole"],
            resource: "arn:aws:iam::{account}:role/aws-service-role/replication.dynamodb.amazonaws.com/*",
            condition: Some((
                "StringEquals",
                "iam:AWSServiceName",
                "replication.dynamodb.amazonaws.com",
            )),
        },
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let wanted_source = hint.wanted.map(|wanted| wanted.source_region);
        let own = found(dynamodb::describe(pass, &id.region, &id.name).await)?;
        let Some(own) = own else {
            return match wanted_source {
                Some(source_region) => not_in_its_region_yet(pass, id, source_region).await,
                None => Ok(None),
            };
        };
        let (source_region, replica) = match membership(pass, id, &own, wanted_source).await {
            Ok(membership) => membership,
            Err(NotAReplica(what)) => return Ok(Some(stranger(id, &own, what))),
        };
        let mut seen = seen(id, source_region, own.table_arn().unwrap_or_default());
        seen.config.deletion_protection = own.deletion_protection_enabled.unwrap_or_default();
        seen.phase = match dynamodb::phase(own.table_status()) {
            Phase::Ready => replica.as_ref().map_or(Phase::Ready, phase),
            busy => busy,
        };
        if !pass.every_facet() {
            seen.unread.extend(["point_in_time_recovery", "tags"]);
            return Ok(Some(seen));
        }
        if !matches!(
            own.table_status,
            Some(types::TableStatus::Creating | types::TableStatus::Deleting)
        ) {
            seen.config.point_in_time_recovery =
                dynamodb::point_in_time_recovery(pass, &id.region, &id.name).await?;
        }
        with_tags(pass, id, seen).await.map(Some)
    }

    /// DynamoDB takes neither tags nor recovery nor protection with it; they come in the replica's own region once it
    /// is active.
    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let create = types::CreateReplicationGroupMemberAction::builder()
            .region_name(&id.region)
            .build()
            .expect(COMPLETE);
        let change = types::ReplicationGroupUpdate::builder()
            .create(create)
            .build();
        let table = change_group(pass, id, &desired.source_region, change).await?;
        let mut seen = seen(
            id,
            desired.source_region.clone(),
            table.table_arn().unwrap_or_default(),
        );
        seen.phase = member(&table, &id.region)
            .map_or_else(|| Phase::Pending(dynamodb::in_words("CREATING")), phase);
        Ok(seen)
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let mut seen = live;
        if changed.contains("tags") {
            dynamodb::put_tags(pass, &id.region, &seen.physical_id, &desired.tags).await?;
            seen.config.tags.extend(desired.tags.clone());
            seen.owner = dynamodb::owner(pass, &seen.config.tags);
        }
        if changed.contains("point_in_time_recovery") {
            let on = desired.point_in_time_recovery;
            dynamodb::put_point_in_time_recovery(pass, id, on).await?;
            seen.config.point_in_time_recovery = on;
        }
        // The last, because AWS may be busy with the table after it.
        if changed.contains("deletion_protection") {
            let on = desired.deletion_protection;
            seen.phase = dynamodb::put_deletion_protection(pass, id, on).await?;
            seen.config.deletion_protection = on;
        }
        Ok(seen)
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        if data == DataPolicy::Keep {
            return Ok(Deleted::Retained(
                "replicas are kept with their data".into(),
            ));
        }
        // Protection holds against DeleteTable in the replica's region; whether it does against its removal from the
        // group is nothing to find out.
        if live.config.deletion_protection {
            return Err(dynamodb::protected("dynamodb:UpdateTable", id));
        }
        let delete = types::DeleteReplicationGroupMemberAction::builder()
            .region_name(&id.region)
            .build()
            .expect(COMPLETE);
        let change = types::ReplicationGroupUpdate::builder()
            .delete(delete)
            .build();
        change_group(pass, id, &live.config.source_region, change).await?;
        Ok(Deleted::Pending("Deleted (Deleting)".into()))
    }
}

/// A replica with all that is its own off, as a new one is.
fn seen(id: &ResourceId, source_region: String, arn: &str) -> Seen<Config> {
    // The ARN of another region's table of the group differs by the region alone.
    let mut parts: Vec<&str> = arn.split(':').collect();
    if let Some(region) = parts.get_mut(3) {
        *region = &id.region;
    }
    let arn = parts.join(":");
    let config = Config {
        source_region,
        point_in_time_recovery: false,
        deletion_protection: false,
        tags: Tags::new(),
    };
    Seen::ours(config, arn.clone()).output("arn", arn)
}

/// One change of the group, which takes one at a time, through the region of its source.
async fn change_group(
    pass: &Pass,
    id: &ResourceId,
    source_region: &str,
    change: types::ReplicationGroupUpdate,
) -> Result<types::TableDescription, Failure> {
    let update = pass
        .clients(source_region)
        .dynamodb
        .update_table()
        .table_name(&id.name)
        .replica_updates(change)
        .send();
    let answer = pass
        .call("dynamodb", "UpdateTable", source_region, update)
        .await?;
    dynamodb::forget(pass, source_region, &id.name).await;
    dynamodb::forget(pass, &id.region, &id.name).await;
    answer
        .table_description
        .ok_or_else(|| incomplete("dynamodb:UpdateTable", "TableDescription"))
}

fn member<'a>(
    table: &'a types::TableDescription,
    region: &str,
) -> Option<&'a types::ReplicaDescription> {
    table
        .replicas()
        .iter()
        .find(|replica| replica.region_name() == Some(region))
}

fn phase(replica: &types::ReplicaDescription) -> Phase {
    use types::ReplicaStatus as S;
    match replica.replica_status() {
        None | Some(S::Active) => Phase::Ready,
        Some(S::Deleting) => Phase::Deleting,
        Some(S::CreationFailed) => Phase::Failed(format!(
            "the replica could not be made ({}); remove it from the table",
            replica
                .replica_status_description()
                .unwrap_or("AWS does not say why")
        )),
        Some(S::RegionDisabled) => {
            Phase::WaitingForPerson("active again: the account has the region disabled".into())
        }
        Some(
            status @ (S::InaccessibleEncryptionCredentials
            | S::ReplicationNotAuthorized
            | S::Archiving
            | S::Archived),
        ) => dynamodb::stuck(status.as_str()),
        Some(status) => Phase::Pending(dynamodb::in_words(status.as_str())),
    }
}

/// A table that is in the replica's place without being it.
struct NotAReplica(String);

/// The region of the source, and what the source knows of this replica if it can be asked.
async fn membership(
    pass: &Pass,
    id: &ResourceId,
    own: &types::TableDescription,
    wanted_source: Option<String>,
) -> Result<(String, Option<types::ReplicaDescription>), NotAReplica> {
    let Some(source_region) = wanted_source else {
        // Only to be deleted: every other member of the group can see to that.
        return own
            .replicas()
            .iter()
            .filter_map(types::ReplicaDescription::region_name)
            .find(|region| *region != id.region)
            .map(|region| (region.to_owned(), None))
            .ok_or_else(|| NotAReplica("a table that is no replica".into()));
    };
    // The source's description is read for its own sake in any case. While its region is out of reach the replica's own
    // has to do: one sick region does not hold up the other.
    let source = dynamodb::describe(pass, &source_region, &id.name)
        .await
        .ok();
    let replica = source.and_then(|source| member(&source, &id.region).cloned());
    if replica.is_some() || member(own, &source_region).is_some() {
        Ok((source_region, replica))
    } else {
        Err(NotAReplica(format!(
            "a table of this name that is no replica of the one in {source_region}; it stays as it is. Choose another name for the table, or another region, or take it away"
        )))
    }
}

/// What is in the replica's place, to be seen and not touched.
fn stranger(id: &ResourceId, own: &types::TableDescription, what: String) -> Seen<Config> {
    let mut seen = seen(id, String::new(), own.table_arn().unwrap_or_default());
    seen.outputs.clear();
    seen.owner = Owner::Other(what);
    seen
}

/// A replica in its first seconds, and again in its last, is known to its source only.
async fn not_in_its_region_yet(
    pass: &Pass,
    id: &ResourceId,
    source_region: String,
) -> Result<Option<Seen<Config>>, Failure> {
    let source = found(dynamodb::describe(pass, &source_region, &id.name).await)?;
    let Some((source, replica)) = source
        .as_ref()
        .and_then(|source| Some((source, member(source, &id.region)?)))
    else {
        return Ok(None);
    };
    let mut seen = seen(id, source_region, source.table_arn().unwrap_or_default());
    seen.phase = match phase(replica) {
        Phase::Ready => Phase::Pending(dynamodb::in_words("CREATING")),
        phase => phase,
    };
    if pass.every_facet() {
        seen.owner = owner_of_source(pass, id, &seen).await?;
    } else {
        seen.unread.insert("tags");
    }
    Ok(Some(seen))
}

/// Reads tags and owner. A replica without an owner's tags (which come after it) belongs to whom its source does.
async fn with_tags(
    pass: &Pass,
    id: &ResourceId,
    mut seen: Seen<Config>,
) -> Result<Seen<Config>, Failure> {
    let tags = dynamodb::tags(pass, &id.region, &seen.physical_id).await?;
    seen.config.tags = Tags::clone(&tags);
    seen.owner = match dynamodb::owner(pass, &tags) {
        Owner::Nobody => owner_of_source(pass, id, &seen).await?,
        owner => owner,
    };
    Ok(seen)
}

async fn owner_of_source(
    pass: &Pass,
    id: &ResourceId,
    seen: &Seen<Config>,
) -> Result<Owner, Failure> {
    let source_region = &seen.config.source_region;
    let source = dynamodb::describe(pass, source_region, &id.name).await?;
    let arn = source.table_arn().unwrap_or_default();
    let tags = dynamodb::tags(pass, source_region, arn).await?;
    Ok(dynamodb::owner(pass, &tags))
}

#[cfg(test)]
mod tests;
