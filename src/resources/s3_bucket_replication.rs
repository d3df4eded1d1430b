//! Our replication rule on a bucket; others' rules stay. Named as the source bucket.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_s3::types;
use serde::{Deserialize, Serialize};

use super::s3::{COMPLETE, bucket_of};
use super::{Action, Hint, Kind, Seen};
use crate::aws::{Pass, REPLICATION_RULE as RULE};
use crate::model::{DataPolicy, Deleted, Failure, Input, ResourceId};

/// `s3_bucket_replication`; its name is the source bucket's.
pub struct BucketReplication;

/// Managed fields of a replication.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// ARN of the role that S3 assumes. A bucket has one for all its rules.
    pub role_arn: Input,
    /// ARN of the destination bucket. Of a rule that somebody edited, the ARN and in words what is wrong with it.
    pub destination_arn: Input,
    /// Whether S3 promises 15 minutes, and is paid for it.
    pub replication_time_control: bool,
}

/// The only number of minutes that S3 takes.
const MINUTES: i32 = 15;

#[async_trait]
impl Kind for BucketReplication {
    type Config = Config;

    const NAME: &'static str = "s3_bucket_replication";
    const READS_LAG: bool = true;
    const ACTIONS: &'static [Action] = &[
        Action::on(
            "arn:aws:s3:::{prefix}",
            &[
                "s3:GetReplicationConfiguration",
                "s3:PutReplicationConfiguration",
            ],
        ),
        Action {
            names: &["iam:PassRole"],
            resource: "arn:aws:iam::{account}:role/{prefix}",
            condition: Some(("StringEquals", "iam:PassedToService", "s3.amazonaws.com")),
        },
    ];

    fn parent(id: &ResourceId) -> Option<ResourceId> {
        Some(bucket_of(id))
    }

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        _hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let Some(configuration) = read(pass, id).await? else {
            return Ok(None);
        };
        let rule = configuration.rules.iter().find(|rule| is_ours(rule));
        Ok(rule.map(|rule| seen(id, parse(&configuration.role, rule))))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        write(pass, id, desired).await
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        write(pass, id, desired).await
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let Some(mut configuration) = read(pass, id).await? else {
            return Ok(Deleted::Gone);
        };
        configuration.rules.retain(|rule| !is_ours(rule));
        if configuration.rules.is_empty() {
            let delete = pass
                .clients(&id.region)
                .s3
                .delete_bucket_replication()
                .bucket(&id.name)
                .send();
            pass.call("s3", "DeleteBucketReplication", &id.region, delete)
                .await?;
        } else {
            put(pass, id, configuration).await?;
        }
        Ok(Deleted::Gone)
    }
}

fn seen(id: &ResourceId, config: Config) -> Seen<Config> {
    Seen::ours(config, id.name.clone())
}

fn is_ours(rule: &types::ReplicationRule) -> bool {
    rule.id() == Some(RULE)
}

async fn read(
    pass: &Pass,
    id: &ResourceId,
) -> Result<Option<types::ReplicationConfiguration>, Failure> {
    let get = pass
        .clients(&id.region)
        .s3
        .get_bucket_replication()
        .bucket(&id.name)
        .send();
    let answer = pass
        .call("s3", "GetBucketReplication", &id.region, get)
        .await;
    Ok(super::found(answer)?.and_then(|answer| answer.replication_configuration))
}

/// Puts our rule beside the others', with the priority that it has, or else the highest: no two may have the same.
async fn write(pass: &Pass, id: &ResourceId, desired: &Config) -> Result<Seen<Config>, Failure> {
    let mut rules = read(pass, id)
        .await?
        .map(|configuration| configuration.rules)
        .unwrap_or_default();
    let present = rules.iter().find(|rule| is_ours(rule));
    let highest = rules.iter().filter_map(|rule| rule.priority).max();
    let priority = present
        .and_then(|rule| rule.priority)
        .unwrap_or_else(|| highest.unwrap_or_default() + 1);
    rules.retain(|rule| !is_ours(rule));
    rules.push(rule(desired, priority));
    let configuration = types::ReplicationConfiguration::builder()
        .role(desired.role_arn.as_str())
        .set_rules(Some(rules))
        .build()
        .expect(COMPLETE);
    put(pass, id, configuration).await?;
    Ok(seen(id, desired.clone()))
}

async fn put(
    pass: &Pass,
    id: &ResourceId,
    configuration: types::ReplicationConfiguration,
) -> Result<(), Failure> {
    let put = pass
        .clients(&id.region)
        .s3
        .put_bucket_replication()
        .bucket(&id.name)
        .replication_configuration(configuration)
        .send();
    pass.call("s3", "PutBucketReplication", &id.region, put)
        .await
        .map(drop)
}

/// Our rule: everything, delete markers too, with metrics. Without a Filter it would be of the old schema, which has no
/// metrics, and without metrics no lag is ever published.
fn rule(config: &Config, priority: i32) -> types::ReplicationRule {
    let minutes = types::ReplicationTimeValue::builder()
        .minutes(MINUTES)
        .build();
    // A threshold is wanted with time control, and refused without.
    let threshold = config.replication_time_control.then(|| minutes.clone());
    let metrics = types::Metrics::builder()
        .status(types::MetricsStatus::Enabled)
        .set_event_threshold(threshold)
        .build()
        .expect(COMPLETE);
    let time = config.replication_time_control.then(|| {
        types::ReplicationTime::builder()
            .status(types::ReplicationTimeStatus::Enabled)
            .time(minutes.clone())
            .build()
            .expect(COMPLETE)
    });
    let destination = types::Destination::builder()
        .bucket(config.destination_arn.as_str())
        .metrics(metrics)
        .set_replication_time(time)
        .build()
        .expect(COMPLETE);
    let markers = types::DeleteMarkerReplication::builder()
        .status(types::DeleteMarkerReplicationStatus::Enabled)
        .build();
    types::ReplicationRule::builder()
        .id(RULE)
        .priority(priority)
        .filter(types::ReplicationRuleFilter::builder().prefix("").build())
        .status(types::ReplicationRuleStatus::Enabled)
        .delete_marker_replication(markers)
        .destination(destination)
        .build()
        .expect(COMPLETE)
}

/// What our rule says.
fn parse(role: &str, found: &types::ReplicationRule) -> Config {
    let destination = found.destination.as_ref();
    let time = destination.and_then(|destination| destination.replication_time.as_ref());
    let bucket = destination.map_or("", |destination| destination.bucket());
    let mut config = Config {
        role_arn: role.into(),
        destination_arn: bucket.into(),
        replication_time_control: time
            .is_some_and(|time| time.status == types::ReplicationTimeStatus::Enabled),
    };
    let expected = rule(&config, found.priority.unwrap_or_default());
    if normal(found) != expected {
        // The configuration has no field for what else a rule may say; this makes it a difference that reads well.
        let what = if found.status == types::ReplicationRuleStatus::Enabled {
            "edited"
        } else {
            "disabled"
        };
        config.destination_arn = format!("{bucket} (by a rule that was {what})").into();
    }
    config
}

/// A rule without what AWS may add, or words in several ways, without changing its meaning.
fn normal(found: &types::ReplicationRule) -> types::ReplicationRule {
    let mut rule = found.clone();
    // "Everything" comes back with an empty prefix, or as an empty filter.
    if let Some(filter) = &mut rule.filter {
        filter.prefix.get_or_insert_default();
        if filter.tag.is_some() || filter.and.is_some() {
            filter.prefix = None;
        }
    }
    if let Some(destination) = &mut rule.destination {
        // As the objects' own, which is what no word of it means.
        destination
            .storage_class
            .take_if(|class| *class == types::StorageClass::Standard);
        let disabled = types::ReplicationTimeStatus::Disabled;
        destination
            .replication_time
            .take_if(|time| time.status == disabled);
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{Answer, pass_answering};

    const THEIRS: &str = "<Rule><ID>theirs</ID><Priority>1</Priority><Filter><Prefix>a/</Prefix></Filter><Status>Enabled\
        </Status><DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication><Destination>\
        <Bucket>arn:aws:s3:::other</Bucket></Destination></Rule>";
    const METRICS: &str = "<Metrics><Status>Enabled</Status></Metrics>";
    const TIME_CONTROL: &str = "<Metrics><EventThreshold><Minutes>15</Minutes></EventThreshold><Status>Enabled</Status>\
        </Metrics><ReplicationTime><Time><Minutes>15</Minutes></Time><Status>Enabled</Status></ReplicationTime>";

    /// Our rule in AWS's order of elements.
    fn ours(head: &str, destination: &str) -> String {
        format!(
            "<Rule><ID>multiregion</ID><Priority>7</Priority>{head}<DeleteMarkerReplication><Status>Enabled</Status>\
             </DeleteMarkerReplication><Destination><Bucket>arn:aws:s3:::shop-static-dr</Bucket>{destination}\
             </Destination></Rule>"
        )
    }

    async fn observe(rules: String) -> Option<Config> {
        let pass = pass_answering(move |_| {
            let role = "<Role>arn:aws:iam::123456789012:role/shop-s3-replication-role</Role>";
            (
                200,
                format!("<ReplicationConfiguration>{role}{rules}</ReplicationConfiguration>"),
            )
        });
        let id = ResourceId::new("s3_bucket_replication", "eu-west-1", "shop-static");
        let hint = Hint {
            known_id: None,
            wanted: None,
        };
        let seen = BucketReplication::observe(&pass, &id, hint).await;
        seen.expect("it is readable").map(|seen| seen.config)
    }

    fn config(replication_time_control: bool) -> Config {
        Config {
            role_arn: "arn:aws:iam::123456789012:role/shop-s3-replication-role".into(),
            destination_arn: "arn:aws:s3:::shop-static-dr".into(),
            replication_time_control,
        }
    }

    const EVERYTHING: &str = "<Filter><Prefix/></Filter><Status>Enabled</Status>";

    #[tokio::test]
    async fn our_rule_is_read_in_every_form_that_means_the_same() {
        for (head, destination, time_control) in [
            (EVERYTHING, METRICS.to_owned(), false),
            (
                "<Filter></Filter><Status>Enabled</Status>",
                METRICS.into(),
                false,
            ),
            (
                EVERYTHING,
                format!("<StorageClass>STANDARD</StorageClass>{METRICS}"),
                false,
            ),
            (
                EVERYTHING,
                format!(
                    "{METRICS}<ReplicationTime><Status>Disabled</Status><Time><Minutes>15</Minutes></Time></ReplicationTime>"
                ),
                false,
            ),
            (EVERYTHING, TIME_CONTROL.into(), true),
        ] {
            let seen = observe(format!("{THEIRS}{}", ours(head, &destination))).await;
            assert_eq!(seen, Some(config(time_control)), "{head}{destination}");
        }
        assert_eq!(observe(THEIRS.into()).await, None);
    }

    #[tokio::test]
    async fn what_somebody_made_of_our_rule_is_a_difference() {
        let elsewhere = "<Account>210987654321</Account>";
        for (head, destination, word) in [
            (
                "<Filter><Prefix/></Filter><Status>Disabled</Status>",
                METRICS,
                "disabled",
            ),
            (
                "<Filter><Prefix>a/</Prefix></Filter><Status>Enabled</Status>",
                METRICS,
                "edited",
            ),
            (
                "<Filter><Tag><Key>a</Key><Value>b</Value></Tag></Filter><Status>Enabled</Status>",
                METRICS,
                "edited",
            ),
            (EVERYTHING, "", "edited"),
            (EVERYTHING, &format!("{METRICS}{elsewhere}"), "edited"),
        ] {
            let seen = observe(ours(head, destination)).await.expect("a rule");
            let expected = format!("arn:aws:s3:::shop-static-dr (by a rule that was {word})");
            assert_eq!(
                seen.destination_arn.as_str(),
                expected,
                "{head}{destination}"
            );
        }
    }

    #[tokio::test]
    async fn no_configuration_is_none() {
        let pass = pass_answering(|_| {
            Answer::xml_error(404, "ReplicationConfigurationNotFoundError", "none")
        });
        let id = ResourceId::new("s3_bucket_replication", "eu-west-1", "shop-static");
        let hint = Hint {
            known_id: None,
            wanted: None,
        };
        let seen = BucketReplication::observe(&pass, &id, hint).await;
        assert_eq!(seen, Ok(None));
    }
}
