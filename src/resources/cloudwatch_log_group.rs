//! A Lambda function's log group, made before the function: Lambda makes a missing one that never expires.

use std::collections::{BTreeSet, HashMap};

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
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        // Nothing serving depends on it, and Lambda makes a missing one: where one is known, it is read now and then.
        if let (false, Some(arn), Some(wanted)) = (pass.every_facet(), &hint.known_id, hint.wanted)
        {
            let mut seen = Seen::ours(wanted, arn.clone());
            seen.unread = BTreeSet::from(["retention_days", "tags"]);
            return Ok(Some(seen));
        }
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
            .set_tags(Some(pairs(&desired.tags)));
        pass.call("logs", "CreateLogGroup", &id.region, create.send())
            .await?;
        // A new group never expires.
        if desired.retention_days != 0 {
            put_retention(pass, id, desired.retention_days).await?;
        }
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
                .set_tags(Some(pairs(&desired.tags)));
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

fn pairs(tags: &Tags) -> HashMap<String, String> {
    tags.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::{Asked, owner, recording};

    const ARN: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/shop-primary";

    fn id() -> ResourceId {
        ResourceId::new(
            "cloudwatch_log_group",
            "us-east-1",
            "/aws/lambda/shop-primary",
        )
    }

    /// The group asked for, and one whose name goes on; with `retention` if there is any.
    fn logs(retention: Option<i32>) -> impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static {
        move |asked| {
            let body = match asked.target() {
                "DescribeLogGroups" => {
                    let mut group = json!({
                        "logGroupName": "/aws/lambda/shop-primary", "creationTime": 1, "metricFilterCount": 0,
                        "arn": format!("{ARN}:*"), "logGroupArn": ARN, "storedBytes": 0, "logGroupClass": "STANDARD"
                    });
                    if let Some(days) = retention {
                        group["retentionInDays"] = days.into();
                    }
                    let longer =
                        json!({"logGroupName": "/aws/lambda/shop-primary-2", "arn": "other"});
                    json!({"logGroups": [group, longer], "nextToken": "more"})
                }
                "ListTagsForResource" if asked.body.contains(":*") => json!({"tags": {}}),
                "ListTagsForResource" => json!({"tags": owner().tags()}),
                _ => json!({}),
            };
            (200, body.to_string())
        }
    }

    async fn observed(every_facet: bool, retention: Option<i32>) -> (Seen<Config>, usize) {
        let (pass, asks) = recording(every_facet, logs(retention));
        let hint = Hint {
            known_id: None,
            wanted: None,
        };
        let seen = LogGroup::observe(&pass, &id(), hint).await;
        let calls = asks.lock().expect("no panic").len();
        (seen.expect("it is read").expect("it is there"), calls)
    }

    #[tokio::test]
    async fn the_group_is_told_from_one_whose_name_goes_on() {
        let (seen, calls) = observed(true, Some(30)).await;
        let config = Config {
            retention_days: 30,
            tags: owner().tags(),
        };
        assert_eq!(seen, Seen::ours(config, ARN));
        assert_eq!(calls, 2);
    }

    #[tokio::test]
    async fn a_quick_look_at_one_that_is_known_is_no_call() {
        let (pass, asks) = recording(false, logs(None));
        let wanted = Config {
            retention_days: 30,
            tags: owner().tags(),
        };
        let hint = Hint {
            known_id: Some(ARN.into()),
            wanted: Some(wanted),
        };
        let seen = LogGroup::observe(&pass, &id(), hint).await;
        let seen = seen
            .expect("it is not read")
            .expect("it is taken for there");
        assert_eq!(seen.physical_id, ARN);
        assert_eq!(seen.unread, BTreeSet::from(["retention_days", "tags"]));
        assert!(asks.lock().expect("no panic").is_empty());
    }

    #[tokio::test]
    async fn a_quick_look_is_one_call_and_leaves_the_tags() {
        let (seen, calls) = observed(false, None).await;
        assert_eq!(seen.config.retention_days, 0);
        assert_eq!(seen.unread, BTreeSet::from(["tags"]));
        assert_eq!(calls, 1);
    }

    #[tokio::test]
    async fn no_group_of_the_name_is_none() {
        let (pass, _) = recording(true, |_| (200, r#"{"logGroups":[]}"#));
        let hint = Hint {
            known_id: None,
            wanted: None,
        };
        assert_eq!(LogGroup::observe(&pass, &id(), hint).await, Ok(None));
    }

    #[tokio::test]
    async fn a_group_that_never_expires_is_made_with_one_call() {
        let (pass, asks) = recording(true, logs(None));
        let mut desired = Config {
            retention_days: 0,
            tags: owner().tags(),
        };
        let made = LogGroup::create(&pass, &id(), &desired).await;
        assert_eq!(made, Ok(Seen::ours(desired.clone(), ARN)));
        desired.retention_days = 7;
        let made = LogGroup::create(&pass, &id(), &desired).await;
        assert_eq!(made, Ok(Seen::ours(desired, ARN)));
        let asks = asks.lock().expect("no panic");
        let targets: Vec<_> = asks.iter().map(Asked::target).collect();
        assert_eq!(
            targets,
            ["CreateLogGroup", "CreateLogGroup", "PutRetentionPolicy"]
        );
    }
}
