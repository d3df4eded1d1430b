//! A Lambda function's log group, made before the function so that its retention is ours and not "never".

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Action, Hint, Kind, Seen, Tags};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, Owner, Phase, ResourceId};

/// `cloudwatch_log_group`; its name is the group's, as in `/aws/lambda/shop-primary`.
pub struct LogGroup;

/// Managed fields of a log group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Days; 0 is "never expire".
    pub retention_days: i32,
    /// Owner's and user's tags.
    pub tags: Tags,
}

#[async_trait]
impl Kind for LogGroup {
    type Config = Config;

    const NAME: &'static str = "cloudwatch_log_group";
    const DELETED_AFTER: &'static [&'static str] = &["lambda_function"];
    const HOLDS_DATA: bool = true;
    const ACTIONS: &'static [Action] = &[
        Action::on("*", &["logs:DescribeLogGroups"]),
        Action::on(
            "arn:aws:logs:*:{account}:log-group:/aws/lambda/{prefix}",
            &[
                "logs:CreateLogGroup",
                "logs:DeleteLogGroup",
                "logs:ListTagsForResource",
                "logs:PutRetentionPolicy",
                "logs:DeleteRetentionPolicy",
                "logs:TagResource",
            ],
        ),
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        _hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let logs = &pass.clients(&id.region).logs;
        let describe = logs
            .describe_log_groups()
            .log_group_name_prefix(&id.name)
            .send();
        let page = pass
            .call("logs", "DescribeLogGroups", &id.region, describe)
            .await?;
        // The list is by prefix; of all names with this prefix the name itself sorts first.
        let Some(group) = page
            .log_groups()
            .iter()
            .find(|group| group.log_group_name() == Some(&id.name))
        else {
            return Ok(None);
        };
        // Older API versions give the ARN with a trailing `:*`, which the tagging API refuses.
        let arn = group
            .arn()
            .unwrap_or_default()
            .trim_end_matches(":*")
            .to_owned();
        let mut seen = Seen::ours(
            Config {
                retention_days: group.retention_in_days().unwrap_or(0),
                tags: Tags::new(),
            },
            arn.clone(),
        );
        if pass.every_facet() {
            let list = logs.list_tags_for_resource().resource_arn(&arn).send();
            let tags = pass
                .call("logs", "ListTagsForResource", &id.region, list)
                .await?;
            let tags = tags.tags().cloned().unwrap_or_default();
            seen.owner = pass.owner_by_tags(
                tags.iter()
                    .map(|(key, value)| (key.as_str(), value.as_str())),
            );
            seen.config.tags = tags.into_iter().collect();
        } else {
            seen.unread.insert("tags");
        }
        Ok(Some(seen))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let logs = &pass.clients(&id.region).logs;
        let create = logs
            .create_log_group()
            .log_group_name(&id.name)
            .set_tags(Some(
                desired
                    .tags
                    .iter()
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            ));
        pass.call("logs", "CreateLogGroup", &id.region, create.send())
            .await?;
        put_retention(pass, id, desired.retention_days).await?;
        Ok(Seen::ours(desired.clone(), arn(pass, id).await?))
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        if changed.contains("retention_days") {
            put_retention(pass, id, desired.retention_days).await?;
        }
        if changed.contains("tags") {
            let tag = pass
                .clients(&id.region)
                .logs
                .tag_resource()
                .resource_arn(&live.physical_id)
                .set_tags(Some(
                    desired
                        .tags
                        .iter()
                        .map(|(key, value)| (key.clone(), value.clone()))
                        .collect(),
                ));
            pass.call("logs", "TagResource", &id.region, tag.send())
                .await?;
        }
        Ok(Seen {
            config: desired.clone(),
            owner: Owner::Ours,
            phase: Phase::Ready,
            ..live
        })
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        if data == DataPolicy::Keep {
            return Ok(Deleted::Retained("logs are kept".into()));
        }
        let delete = pass
            .clients(&id.region)
            .logs
            .delete_log_group()
            .log_group_name(&id.name)
            .send();
        pass.call("logs", "DeleteLogGroup", &id.region, delete)
            .await?;
        Ok(Deleted::Gone)
    }
}

async fn put_retention(pass: &Pass, id: &ResourceId, days: i32) -> Result<(), Failure> {
    let logs = &pass.clients(&id.region).logs;
    if days == 0 {
        let delete = logs
            .delete_retention_policy()
            .log_group_name(&id.name)
            .send();
        return pass
            .call("logs", "DeleteRetentionPolicy", &id.region, delete)
            .await
            .map(drop);
    }
    let put = logs
        .put_retention_policy()
        .log_group_name(&id.name)
        .retention_in_days(days)
        .send();
    pass.call("logs", "PutRetentionPolicy", &id.region, put)
        .await
        .map(drop)
}

async fn arn(pass: &Pass, id: &ResourceId) -> Result<String, Failure> {
    let account = pass.aws().account(pass, &id.region).await?;
    Ok(format!(
        "arn:aws:logs:{}:{account}:log-group:{}",
        id.region, id.name
    ))
}
