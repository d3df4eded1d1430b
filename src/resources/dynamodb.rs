//! What a table and a replica of one have in common: each region's DynamoDB is asked, and told, about its own.

use std::sync::Arc;

use aws_sdk_dynamodb::types;

use super::{Tags, found, incomplete};
use crate::aws::Pass;
use crate::model::{Failure, FailureKind, Owner, Phase, ResourceId};

/// Why the SDK's builders, which check for required members only, cannot fail.
pub const COMPLETE: &str = "every required member is set";

fn description_key(region: &str, name: &str) -> String {
    format!("dynamodb:DescribeTable {region} {name}")
}

/// The table `name` of `region`, asked for once a pass: a replica is looked for in its own region and in its source's.
pub async fn describe(
    pass: &Pass,
    region: &str,
    name: &str,
) -> Result<Arc<types::TableDescription>, Failure> {
    let fetch = async {
        let describe = pass
            .clients(region)
            .dynamodb
            .describe_table()
            .table_name(name)
            .send();
        let answer = pass
            .call("dynamodb", "DescribeTable", region, describe)
            .await?;
        answer
            .table
            .ok_or_else(|| incomplete("dynamodb:DescribeTable", "Table"))
    };
    pass.once(&description_key(region, name), fetch).await
}

/// To be called after each write that changes what [`describe`] says.
pub async fn forget(pass: &Pass, region: &str, name: &str) {
    pass.forget(&description_key(region, name)).await;
}

/// What AWS is doing with a table.
pub fn phase(status: Option<&types::TableStatus>) -> Phase {
    use types::TableStatus as S;
    match status {
        Some(S::Active) => Phase::Ready,
        Some(S::Deleting) => Phase::Deleting,
        Some(
            status @ (S::InaccessibleEncryptionCredentials
            | S::ReplicationNotAuthorized
            | S::Archiving
            | S::Archived),
        ) => stuck(status.as_str()),
        Some(status) => Phase::Pending(in_words(status.as_str())),
        None => Phase::Pending(in_words("UNKNOWN")),
    }
}

/// A state that a table does not leave by itself.
pub fn stuck(status: &str) -> Phase {
    Phase::WaitingForPerson(format!(
        "active again: AWS says {status}, which takes a look at its key and at permissions"
    ))
}

/// `CREATING` as `Active (Creating)`.
pub fn in_words(status: &str) -> String {
    let mut words = status.to_lowercase().replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("Active ({words})")
}

/// Whether point-in-time recovery is on in `region`.
pub async fn point_in_time_recovery(
    pass: &Pass,
    region: &str,
    name: &str,
) -> Result<bool, Failure> {
    let describe = pass
        .clients(region)
        .dynamodb
        .describe_continuous_backups()
        .table_name(name)
        .send();
    let answer = pass
        .call("dynamodb", "DescribeContinuousBackups", region, describe)
        .await?;
    Ok(answer
        .continuous_backups_description
        .and_then(|backups| backups.point_in_time_recovery_description)
        .and_then(|recovery| recovery.point_in_time_recovery_status)
        == Some(types::PointInTimeRecoveryStatus::Enabled))
}

/// Turns point-in-time recovery on or off in the region of `id`. How long it reaches back is not ours, and stays.
pub async fn put_point_in_time_recovery(
    pass: &Pass,
    id: &ResourceId,
    on: bool,
) -> Result<(), Failure> {
    let specification = types::PointInTimeRecoverySpecification::builder()
        .point_in_time_recovery_enabled(on)
        .build()
        .expect(COMPLETE);
    let update = pass
        .clients(&id.region)
        .dynamodb
        .update_continuous_backups()
        .table_name(&id.name)
        .point_in_time_recovery_specification(specification)
        .send();
    pass.call("dynamodb", "UpdateContinuousBackups", &id.region, update)
        .await
        .map(drop)
}

/// Turns deletion protection on or off in the region of `id`, and says what AWS is doing with the table since.
pub async fn put_deletion_protection(
    pass: &Pass,
    id: &ResourceId,
    on: bool,
) -> Result<Phase, Failure> {
    let update = pass
        .clients(&id.region)
        .dynamodb
        .update_table()
        .table_name(&id.name)
        .deletion_protection_enabled(on)
        .send();
    let answer = pass
        .call("dynamodb", "UpdateTable", &id.region, update)
        .await?;
    forget(pass, &id.region, &id.name).await;
    Ok(phase(
        answer
            .table_description
            .and_then(|table| table.table_status)
            .as_ref(),
    ))
}

fn tags_key(arn: &str) -> String {
    format!("dynamodb:ListTagsOfResource {arn}")
}

/// The tags of the table `arn`, listed once a pass: an untagged replica belongs to whom its source does.
pub async fn tags(pass: &Pass, region: &str, arn: &str) -> Result<Arc<Tags>, Failure> {
    let fetch = async {
        let (mut tags, mut token) = (Tags::new(), None);
        loop {
            let list = pass
                .clients(region)
                .dynamodb
                .list_tags_of_resource()
                .resource_arn(arn)
                .set_next_token(token)
                .send();
            let page = pass
                .call("dynamodb", "ListTagsOfResource", region, list)
                .await;
            // A replica that is being made has none to list yet.
            let Some(page) = found(page)? else {
                return Ok(tags);
            };
            tags.extend(
                page.tags
                    .unwrap_or_default()
                    .into_iter()
                    .map(|tag| (tag.key, tag.value)),
            );
            token = page.next_token;
            if token.is_none() {
                return Ok(tags);
            }
        }
    };
    pass.once(&tags_key(arn), fetch).await
}

/// Adds `desired` to the tags of the table `arn`.
pub async fn put_tags(pass: &Pass, region: &str, arn: &str, desired: &Tags) -> Result<(), Failure> {
    let tag = pass
        .clients(region)
        .dynamodb
        .tag_resource()
        .resource_arn(arn)
        .set_tags(Some(tag_list(desired)))
        .send();
    pass.call("dynamodb", "TagResource", region, tag).await?;
    pass.forget(&tags_key(arn)).await;
    Ok(())
}

/// Tags as DynamoDB takes them.
pub fn tag_list(tags: &Tags) -> Vec<types::Tag> {
    let tag = |(key, value)| {
        let tag = types::Tag::builder().key(key).value(value);
        tag.build().expect(COMPLETE)
    };
    tags.iter().map(tag).collect()
}

/// Whose a table with these tags is.
pub fn owner(pass: &Pass, tags: &Tags) -> Owner {
    pass.owner_by_tags(
        tags.iter()
            .map(|(key, value)| (key.as_str(), value.as_str())),
    )
}

/// The refusal to delete what is protected. It is ours as much as AWS's: protection is never lifted by a deletion.
pub fn protected(operation: &str, id: &ResourceId) -> Failure {
    Failure {
        kind: FailureKind::DeletionProtected,
        operation: operation.into(),
        code: "DeletionProtectionEnabled".into(),
        message: format!(
            "deletion protection of table {} in {} is on: turn it off there, or set deletionPolicy to Retain or RetainData",
            id.name, id.region
        ),
    }
}
