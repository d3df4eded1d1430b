//! A table in its primary region: keys, streams, time to live, recovery, protection.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_dynamodb::types;
use serde::{Deserialize, Serialize};

use super::dynamodb::{self, COMPLETE};
use super::{Action, Hint, Kind, Seen, Tags, incomplete};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, FailureKind, Phase, ResourceId};

/// `dynamodb_table`; its name is the table's.
pub struct Table;

/// Managed fields of a table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Partition key.
    pub partition_key: KeyAttribute,
    /// Sort key; always compared: `null` is none.
    pub sort_key: Option<KeyAttribute>,
    /// `PAY_PER_REQUEST`, which global tables want.
    pub billing_mode: String,
    /// `NEW_AND_OLD_IMAGES`, which global tables want.
    pub stream_view_type: String,
    /// Attribute of the expiry time; absent is unmanaged.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_to_live_attribute: Option<String>,
    /// In this region.
    pub point_in_time_recovery: bool,
    /// In this region.
    pub deletion_protection: bool,
    /// Owner's and user's tags, in this region.
    pub tags: Tags,
}

/// An attribute of a key.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// `S`, `N` or `B`.
    #[serde(rename = "type")]
    pub kind: String,
}

#[async_trait]
impl Kind for Table {
    type Config = Config;

    const NAME: &'static str = "dynamodb_table";
    const OUTPUTS: &'static [&'static str] = &["arn", "stream_arn"];
    const DELETED_AFTER: &'static [&'static str] = &["dynamodb_table_replica", "lambda_function"];
    const HOLDS_DATA: bool = true;
    const ACTIONS: &'static [Action] = &[Action::on(
        "arn:aws:dynamodb:*:{account}:table/{prefix}",
        &[
            "dynamodb:CreateTable",
            "dynamodb:DeleteTable",
            "dynamodb:DescribeContinuousBackups",
            "dynamodb:DescribeTable",
            "dynamodb:DescribeTimeToLive",
            "dynamodb:ListTagsOfResource",
            "dynamodb:TagResource",
            "dynamodb:UpdateContinuousBackups",
            "dynamodb:UpdateTable",
            // Wanted in every region that has a replica.
            "dynamodb:UpdateTimeToLive",
        ],
    )];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let table = dynamodb::describe(pass, &id.region, &id.name).await?;
        let mut seen = seen(&table)?;
        // While it is being made there is nothing to read beside it, and when it goes nothing of it matters.
        let is_there = !matches!(
            table.table_status,
            Some(types::TableStatus::Creating | types::TableStatus::Deleting)
        );
        if !pass.every_facet() {
            seen.unread.extend(SLOW);
            return Ok(Some(seen));
        }
        let wants_time_to_live = hint
            .wanted
            .is_none_or(|wanted| wanted.time_to_live_attribute.is_some());
        let time_to_live = async {
            if is_there && wants_time_to_live {
                expiry(pass, id).await.map(|expiry| expiry.active())
            } else {
                Ok(None)
            }
        };
        let recovery = async {
            if is_there {
                dynamodb::point_in_time_recovery(pass, &id.region, &id.name).await
            } else {
                Ok(false)
            }
        };
        (
            seen.config.time_to_live_attribute,
            seen.config.point_in_time_recovery,
        ) = futures::try_join!(time_to_live, recovery)?;
        let tags = dynamodb::tags(pass, &id.region, &seen.physical_id).await?;
        seen.owner = dynamodb::owner(pass, &tags);
        seen.config.tags = Tags::clone(&tags);
        Ok(Some(seen))
    }

    /// One call for all that CreateTable takes. Recovery and expiry come once the table is active: until then AWS has
    /// neither, and so it says in what is returned.
    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let create = pass
            .clients(&id.region)
            .dynamodb
            .create_table()
            .table_name(&id.name)
            .set_attribute_definitions(Some(attribute_definitions(desired)))
            .set_key_schema(Some(key_schema(desired)))
            .billing_mode(desired.billing_mode.as_str().into())
            .stream_specification(stream(&desired.stream_view_type))
            .deletion_protection_enabled(desired.deletion_protection)
            .set_tags(Some(dynamodb::tag_list(&desired.tags)))
            .send();
        let answer = pass
            .call("dynamodb", "CreateTable", &id.region, create)
            .await?;
        dynamodb::forget(pass, &id.region, &id.name).await;
        let table = answer
            .table_description
            .ok_or_else(|| incomplete("dynamodb:CreateTable", "TableDescription"))?;
        let mut seen = seen(&table)?;
        seen.config.tags = desired.tags.clone();
        Ok(seen)
    }

    /// One change after the other, and none any more as soon as AWS is busy with one of them: the rest is still a
    /// difference when it has done.
    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        if changed.contains("partition_key") || changed.contains("sort_key") {
            return Err(key_is_for_life(id, &live.config));
        }
        let mut seen = live;
        if changed.contains("tags") {
            dynamodb::put_tags(pass, &id.region, &seen.physical_id, &desired.tags).await?;
            seen.config.tags.extend(desired.tags.clone());
            seen.owner = dynamodb::owner(pass, &seen.config.tags);
        }
        if changed.contains("deletion_protection") {
            let on = desired.deletion_protection;
            seen.phase = dynamodb::put_deletion_protection(pass, id, on).await?;
            seen.config.deletion_protection = on;
        }
        if seen.phase == Phase::Ready && changed.contains("billing_mode") {
            let mode = desired.billing_mode.as_str().into();
            seen = update_table(pass, id, seen, |update| update.billing_mode(mode)).await?;
        }
        if seen.phase == Phase::Ready && changed.contains("stream_view_type") {
            if !seen.config.stream_view_type.is_empty() {
                return Err(stream_has_readers(id, &seen.config, desired));
            }
            let stream = stream(&desired.stream_view_type);
            seen =
                update_table(pass, id, seen, |update| update.stream_specification(stream)).await?;
        }
        if seen.phase == Phase::Ready && changed.contains("point_in_time_recovery") {
            let on = desired.point_in_time_recovery;
            dynamodb::put_point_in_time_recovery(pass, id, on).await?;
            seen.config.point_in_time_recovery = on;
        }
        if seen.phase == Phase::Ready
            && changed.contains("time_to_live_attribute")
            && let Some(attribute) = &desired.time_to_live_attribute
        {
            seen.config.time_to_live_attribute = put_expiry(pass, id, attribute).await?;
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
            return Ok(Deleted::Retained("tables are kept with their data".into()));
        }
        if live.config.deletion_protection {
            return Err(dynamodb::protected("dynamodb:DeleteTable", id));
        }
        let delete = pass
            .clients(&id.region)
            .dynamodb
            .delete_table()
            .table_name(&id.name)
            .send();
        pass.call("dynamodb", "DeleteTable", &id.region, delete)
            .await?;
        dynamodb::forget(pass, &id.region, &id.name).await;
        Ok(Deleted::Pending("Deleted (Deleting)".into()))
    }
}

/// What has calls of its own, and serves nobody: read now and then.
const SLOW: [&str; 3] = ["point_in_time_recovery", "tags", "time_to_live_attribute"];

/// What a description tells. The facets that have calls of their own are as those of a new table.
fn seen(table: &types::TableDescription) -> Result<Seen<Config>, Failure> {
    let missing = |what| incomplete("dynamodb:DescribeTable", what);
    let key = |of: types::KeyType| {
        let name = table
            .key_schema()
            .iter()
            .find(|element| element.key_type == of)?
            .attribute_name();
        let definition = table
            .attribute_definitions()
            .iter()
            .find(|definition| definition.attribute_name == name)?;
        Some(KeyAttribute {
            name: name.to_owned(),
            kind: definition.attribute_type.as_str().to_owned(),
        })
    };
    // A table that was always provisioned has no summary; a stream that is off has no view type that counts.
    let billing_mode = table
        .billing_mode_summary()
        .and_then(|summary| summary.billing_mode())
        .unwrap_or(&types::BillingMode::Provisioned);
    let stream_view_type = table
        .stream_specification()
        .filter(|stream| stream.stream_enabled)
        .and_then(|stream| stream.stream_view_type())
        .map_or("", types::StreamViewType::as_str);
    let config = Config {
        partition_key: key(types::KeyType::Hash).ok_or_else(|| missing("partition key"))?,
        sort_key: key(types::KeyType::Range),
        billing_mode: billing_mode.as_str().into(),
        stream_view_type: stream_view_type.into(),
        time_to_live_attribute: None,
        point_in_time_recovery: false,
        deletion_protection: table.deletion_protection_enabled.unwrap_or_default(),
        tags: Tags::new(),
    };
    let arn = table.table_arn().ok_or_else(|| missing("TableArn"))?;
    let mut seen = Seen::ours(config, arn).output("arn", arn);
    if let Some(stream) = table.latest_stream_arn()
        && !stream_view_type.is_empty()
    {
        seen = seen.output("stream_arn", stream);
    }
    seen.phase = dynamodb::phase(table.table_status());
    Ok(seen)
}

/// One UpdateTable; what it changed is read from its answer.
async fn update_table(
    pass: &Pass,
    id: &ResourceId,
    live: Seen<Config>,
    change: impl FnOnce(UpdateTable) -> UpdateTable + Send,
) -> Result<Seen<Config>, Failure> {
    let update = pass
        .clients(&id.region)
        .dynamodb
        .update_table()
        .table_name(&id.name);
    let answer = pass
        .call("dynamodb", "UpdateTable", &id.region, change(update).send())
        .await?;
    dynamodb::forget(pass, &id.region, &id.name).await;
    let table = answer
        .table_description
        .ok_or_else(|| incomplete("dynamodb:UpdateTable", "TableDescription"))?;
    let mut seen = seen(&table)?;
    seen.owner = live.owner;
    seen.config = Config {
        time_to_live_attribute: live.config.time_to_live_attribute,
        point_in_time_recovery: live.config.point_in_time_recovery,
        tags: live.config.tags,
        ..seen.config
    };
    Ok(seen)
}

type UpdateTable = aws_sdk_dynamodb::operation::update_table::builders::UpdateTableFluentBuilder;

fn attributes(config: &Config) -> impl Iterator<Item = &KeyAttribute> {
    std::iter::once(&config.partition_key).chain(&config.sort_key)
}

fn attribute_definitions(config: &Config) -> Vec<types::AttributeDefinition> {
    attributes(config)
        .map(|attribute| {
            types::AttributeDefinition::builder()
                .attribute_name(&attribute.name)
                .attribute_type(attribute.kind.as_str().into())
                .build()
                .expect(COMPLETE)
        })
        .collect()
}

fn key_schema(config: &Config) -> Vec<types::KeySchemaElement> {
    attributes(config)
        .zip([types::KeyType::Hash, types::KeyType::Range])
        .map(|(attribute, key_type)| {
            types::KeySchemaElement::builder()
                .attribute_name(&attribute.name)
                .key_type(key_type)
                .build()
                .expect(COMPLETE)
        })
        .collect()
}

fn stream(view_type: &str) -> types::StreamSpecification {
    types::StreamSpecification::builder()
        .stream_enabled(true)
        .stream_view_type(view_type.into())
        .build()
        .expect(COMPLETE)
}

/// A table's time to live.
struct Expiry {
    status: types::TimeToLiveStatus,
    attribute: String,
}

impl Expiry {
    /// The attribute by which items expire, or will within the hour.
    fn active(self) -> Option<String> {
        matches!(
            self.status,
            types::TimeToLiveStatus::Enabled | types::TimeToLiveStatus::Enabling
        )
        .then_some(self.attribute)
    }
}

async fn expiry(pass: &Pass, id: &ResourceId) -> Result<Expiry, Failure> {
    let describe = pass
        .clients(&id.region)
        .dynamodb
        .describe_time_to_live()
        .table_name(&id.name)
        .send();
    let answer = pass
        .call("dynamodb", "DescribeTimeToLive", &id.region, describe)
        .await?;
    let description = answer.time_to_live_description;
    Ok(Expiry {
        status: description
            .as_ref()
            .and_then(|description| description.time_to_live_status.clone())
            .unwrap_or(types::TimeToLiveStatus::Disabled),
        attribute: description
            .and_then(|description| description.attribute_name)
            .unwrap_or_default(),
    })
}

/// Brings the time to live one step nearer to `attribute`, and returns the attribute it has then.
///
/// AWS refuses to set what is set already, and to go from one attribute to another: the old one goes off first, which
/// takes up to an hour in which nothing else is accepted.
async fn put_expiry(
    pass: &Pass,
    id: &ResourceId,
    attribute: &str,
) -> Result<Option<String>, Failure> {
    let now = expiry(pass, id).await?;
    let (enabled, of) = match &now.status {
        types::TimeToLiveStatus::Enabled | types::TimeToLiveStatus::Enabling
            if now.attribute == attribute =>
        {
            return Ok(Some(now.attribute));
        }
        types::TimeToLiveStatus::Enabled => (false, now.attribute.as_str()),
        types::TimeToLiveStatus::Disabled => (true, attribute),
        status => {
            return Err(Failure {
                kind: FailureKind::NotYet,
                operation: "dynamodb:UpdateTimeToLive".into(),
                code: status.as_str().into(),
                message: format!(
                    "time to live of table {} by '{}' is still {}, which takes AWS up to an hour; then comes '{attribute}'",
                    id.name,
                    now.attribute,
                    status.as_str()
                ),
            });
        }
    };
    let specification = types::TimeToLiveSpecification::builder()
        .enabled(enabled)
        .attribute_name(of)
        .build()
        .expect(COMPLETE);
    let update = pass
        .clients(&id.region)
        .dynamodb
        .update_time_to_live()
        .table_name(&id.name)
        .time_to_live_specification(specification)
        .send();
    pass.call("dynamodb", "UpdateTimeToLive", &id.region, update)
        .await?;
    Ok(enabled.then(|| attribute.to_owned()))
}

fn key_is_for_life(id: &ResourceId, live: &Config) -> Failure {
    let attributes: Vec<String> = attributes(live)
        .map(|attribute| format!("{} ({})", attribute.name, attribute.kind))
        .collect();
    Failure {
        kind: FailureKind::Invalid,
        operation: "dynamodb:UpdateTable".into(),
        code: "KeyNotChangeable".into(),
        message: format!(
            "key of table {} cannot be changed: AWS keeps the one a table was made with, here {}. Declare that, or a table of another name",
            id.name,
            attributes.join(", ")
        ),
    }
}

fn stream_has_readers(id: &ResourceId, live: &Config, desired: &Config) -> Failure {
    Failure {
        kind: FailureKind::Invalid,
        operation: "dynamodb:UpdateTable".into(),
        code: "StreamViewTypeNotChangeable".into(),
        message: format!(
            "table {} has a stream of {}, which only a new stream can change to {}: its readers would lose it. Turn it off once they can do without",
            id.name, live.stream_view_type, desired.stream_view_type
        ),
    }
}

#[cfg(test)]
mod tests;
