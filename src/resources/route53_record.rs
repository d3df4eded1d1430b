//! One record set: an alias to the distribution, or a certificate's validation. Named `<domain>/<purpose>`.
//!
//! Records have no tags. One is ours if it answers what we would write, or what it answered when it last was ours;
//! so it is made with CREATE, which never writes over another's, and replaced with UPSERT only where it was seen as ours.

mod changes;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_route53::types;
use serde::{Deserialize, Serialize};

use super::route53::plain;
use super::{Action, Hint, Kind, Seen, acm_certificate};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, Input, Owner, ResourceId};
use place::Place;

/// `route53_record`; its name is the domain and a purpose: `shop.example.com/A`, `…/AAAA`, `…/validation`.
pub struct Record;

/// Managed fields of a record set.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Hosted zone's id, without `/hostedzone/`.
    pub zone_id: Input,
    /// Fully qualified, without the trailing dot.
    pub name: Input,
    /// `A`, `AAAA` or `CNAME`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it answers.
    pub target: Target,
}

/// What a record answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Target {
    /// An alias to a distribution, by its domain name; target health is not evaluated.
    Distribution(Input),
    /// A value with a time to live in seconds.
    Value {
        /// Without the trailing dot.
        value: Input,
        /// Seconds.
        ttl: i64,
    },
}

/// The zone that all of CloudFront's names are in.
const CLOUDFRONT_ZONE: &str = "Z2FDTNDATAQYW2";
/// The purpose of a certificate's validation record.
const VALIDATION: &str = "validation";

#[async_trait]
impl Kind for Record {
    type Config = Config;

    const NAME: &'static str = "route53_record";
    const LOCATED_BY_INPUTS: bool = true;
    const ACTIONS: &'static [Action] = &[
        Action::on(
            "arn:aws:route53:::hostedzone/*",
            &[
                "route53:ChangeResourceRecordSets",
                "route53:ListResourceRecordSets",
            ],
        ),
        Action::on("arn:aws:route53:::change/*", &["route53:GetChange"]),
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let Some(place) = place::locate(pass, id, &hint).await? else {
            return Ok(None);
        };
        let Some(record) = place::look_up(pass, id, &place).await? else {
            return Ok(None);
        };
        let mut seen = seen(&place, read(&place, &record));
        let answer = answer(&seen.config.target);
        if !place.ours.contains(&answer) {
            seen.owner = Owner::Other(format!(
                "the record {} {} → {answer}",
                place.name, place.kind
            ));
        }
        seen.phase = changes::phase(pass, &place).await?;
        Ok(Some(seen))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        put(pass, id, desired, types::ChangeAction::Create).await
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        put(pass, id, desired, types::ChangeAction::Upsert).await
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        if let Some((domain, VALIDATION)) = id.name.rsplit_once('/') {
            if data == DataPolicy::Keep {
                let why = "other certificates of the name may need it";
                return Ok(Deleted::Retained(why.into()));
            }
            if let Some(other) = acm_certificate::other_of(pass, domain).await? {
                return Ok(Deleted::Retained(format!("{other} needs it")));
            }
        }
        let place = Place::of(&live.config);
        // Route 53 wants the record to the letter, foreign facets included.
        let Some(record) = place::look_up(pass, id, &place).await? else {
            return Ok(Deleted::Gone);
        };
        if answer(&read(&place, &record).target) != answer(&live.config.target) {
            return Ok(Deleted::Retained("it was changed meanwhile".into()));
        }
        changes::submit(pass, id, &place, types::ChangeAction::Delete, record).await?;
        Ok(Deleted::Gone)
    }
}

async fn put(
    pass: &Pass,
    id: &ResourceId,
    desired: &Config,
    action: types::ChangeAction,
) -> Result<Seen<Config>, Failure> {
    let place = Place::of(desired);
    let record = write(desired);
    let mut seen = seen(&place, desired.clone());
    seen.phase = changes::submit(pass, id, &place, action, record).await?;
    Ok(seen)
}

/// The physical id has what the record answers, by which it is known again after the distribution was made anew.
fn seen(place: &Place, config: Config) -> Seen<Config> {
    let physical_id = format!(
        "{}/{}/{}/{}",
        place.zone_id,
        place.name,
        place.kind,
        answer(&config.target)
    );
    Seen::ours(config, physical_id)
}

/// What a record answers, as it is compared to tell whose it is: without its time to live.
fn answer(target: &Target) -> String {
    plain(match target {
        Target::Distribution(domain) => domain.as_str(),
        Target::Value { value, .. } => value.as_str(),
    })
}

fn read(place: &Place, record: &types::ResourceRecordSet) -> Config {
    Config {
        zone_id: place.zone_id.as_str().into(),
        name: place.name.as_str().into(),
        kind: place.kind.clone(),
        target: read_target(record),
    }
}

fn read_target(record: &types::ResourceRecordSet) -> Target {
    if let Some(alias) = record.alias_target() {
        let domain = plain(alias.dns_name());
        let zone = alias.hosted_zone_id();
        return Target::Distribution(Input::Known(if !zone.ends_with(CLOUDFRONT_ZONE) {
            format!("{domain} in zone {zone}")
        } else if let Some(set) = record.set_identifier() {
            format!("{domain} ({set})")
        } else {
            domain
        }));
    }
    let values: Vec<String> = record
        .resource_records()
        .iter()
        .map(|record| plain(record.value()))
        .collect();
    let mut value = values.join(" ");
    if let Some(set) = record.set_identifier() {
        value = format!("{value} ({set})");
    }
    Target::Value {
        value: value.into(),
        ttl: record.ttl().unwrap_or_default(),
    }
}

fn write(desired: &Config) -> types::ResourceRecordSet {
    const COMPLETE: &str = "every required member is set";
    let record = types::ResourceRecordSet::builder()
        .name(desired.name.as_str())
        .r#type(desired.kind.as_str().into());
    match &desired.target {
        Target::Distribution(domain) => record.alias_target(
            types::AliasTarget::builder()
                .hosted_zone_id(CLOUDFRONT_ZONE)
                .dns_name(domain.as_str())
                .evaluate_target_health(false)
                .build()
                .expect(COMPLETE),
        ),
        Target::Value { value, ttl } => record.ttl(*ttl).resource_records(
            types::ResourceRecord::builder()
                .value(value.as_str())
                .build()
                .expect(COMPLETE),
        ),
    }
    .build()
    .expect(COMPLETE)
}
