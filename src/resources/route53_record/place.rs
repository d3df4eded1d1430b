//! Where a record is: by its wanted configuration, by the id it had before, or found anew.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aws_sdk_route53::types;

use super::{Config, Target, VALIDATION, answer};
use crate::aws::{Pass, shared};
use crate::model::{Failure, FailureKind, GLOBAL, Input, ResourceId};
use crate::resources::route53::{bare, forget_zones, plain, public_zones};
use crate::resources::{Hint, acm_certificate, cloudfront_distribution};

/// Where a record is, and by what it is ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Without `/hostedzone/`.
    pub zone_id: String,
    /// In lower case, without the trailing dot.
    pub name: String,
    /// As in `AAAA`.
    pub kind: String,
    /// Answers by which it is ours.
    pub ours: BTreeSet<String>,
}

impl Place {
    /// Of a configuration without references.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            zone_id: bare(config.zone_id.as_str()).to_owned(),
            name: plain(config.name.as_str()),
            kind: config.kind.clone(),
            ours: BTreeSet::from([answer(&config.target)]),
        }
    }

    /// From the physical id it had before: zone, name, type, answer.
    fn remembered(physical_id: &str) -> Option<Self> {
        let mut parts = physical_id.splitn(4, '/').map(str::to_owned);
        Some(Self {
            zone_id: parts.next()?,
            name: parts.next()?,
            kind: parts.next()?,
            ours: parts.collect(),
        })
    }
}

/// Where to look for the record; `None` where what it refers to is not known yet, or was never made.
pub(super) async fn locate(
    pass: &Pass,
    id: &ResourceId,
    hint: &Hint<Config>,
) -> Result<Option<Place>, Failure> {
    let remembered = hint.known_id.as_deref().and_then(Place::remembered);
    let Some(wanted) = &hint.wanted else {
        return match remembered {
            Some(place) => Ok(Some(place)),
            None => anew(pass, id).await,
        };
    };
    let known = |input: &Input| matches!(input, Input::Known(_));
    if !known(&wanted.zone_id) || !known(&wanted.name) {
        return Ok(remembered);
    }
    let mut place = Place::of(wanted);
    let (Target::Distribution(target) | Target::Value { value: target, .. }) = &wanted.target;
    if !known(target) {
        place.ours.clear();
    }
    if let Some(before) = remembered
        && (&before.zone_id, &before.name, &before.kind)
            == (&place.zone_id, &place.name, &place.kind)
    {
        place.ours.extend(before.ours);
    }
    Ok(Some(place))
}

/// For a removal of which nothing is known: an app may be deleted by a process that never saw its status.
async fn anew(pass: &Pass, id: &ResourceId) -> Result<Option<Place>, Failure> {
    let Some((domain, purpose)) = id.name.rsplit_once('/') else {
        return Ok(None);
    };
    let (name, kind, ours) = if purpose == VALIDATION {
        match acm_certificate::validation_of_ours(pass, domain).await? {
            Some((name, value)) => (plain(&name), "CNAME", BTreeSet::from([plain(&value)])),
            None => return Ok(None),
        }
    } else {
        let ours = cloudfront_distribution::domain_names(pass).await?;
        (plain(domain), purpose, ours)
    };
    if ours.is_empty() {
        return Ok(None);
    }
    // The zone is the one of the longest suffix; a top-level domain is nobody's.
    let mut suffix = domain;
    while suffix.contains('.') {
        for zone_id in public_zones(pass, suffix).await? {
            let place = Place {
                zone_id,
                name: name.clone(),
                kind: kind.to_owned(),
                ours: ours.clone(),
            };
            if look_up(pass, id, &place).await?.is_some() {
                return Ok(Some(place));
            }
        }
        suffix = suffix.split_once('.').map_or("", |(_, rest)| rest);
    }
    Ok(None)
}

/// Records of a zone from one on.
struct Page {
    records: Vec<types::ResourceRecordSet>,
    /// Where the next page begins; `None` where nothing comes behind this one.
    next: Option<Start>,
}

/// Where a page begins.
#[derive(Default)]
struct Start {
    name: Option<String>,
    kind: Option<types::RrType>,
    /// Of several sets of one name and type.
    identifier: Option<String>,
}

impl Start {
    fn at(name: &str, kind: Option<types::RrType>) -> Self {
        Self {
            name: Some(name.to_owned()),
            kind,
            identifier: None,
        }
    }
}

/// Key of the page in [`Pass::once`].
fn page_key(id: &ResourceId, zone_id: &str) -> String {
    format!("route53:ListResourceRecordSets {zone_id} {}", domain(id))
}

fn domain(id: &ResourceId) -> &str {
    id.name
        .rsplit_once('/')
        .map_or(&id.name, |(domain, _)| domain)
}

/// Drops what was read of the records around `id`, after a change.
pub(super) async fn forget(pass: &Pass, id: &ResourceId, zone_id: &str) {
    pass.forget(&page_key(id, zone_id)).await;
    pass.changed(&shared::RECORDS, zone_id);
}

/// The record at `place`, whatever it answers.
///
/// A zone is listed in the order of its reversed names, so the page that begins with the app's domain has its A and AAAA
/// records and, unless there are hundreds of names below it, the validation record too: one call for all of an app's
/// records, however large the zone is.
pub(super) async fn look_up(
    pass: &Pass,
    id: &ResourceId,
    place: &Place,
) -> Result<Option<types::ResourceRecordSet>, Failure> {
    match Box::pin(whole_zone(pass, &place.zone_id)).await {
        Err(failure) if failure.kind == FailureKind::NotFound => {
            forget_zones(pass);
            return Ok(None);
        }
        Err(failure) => return Err(failure),
        Ok(Some(zone)) => {
            let key = (place.name.clone(), place.kind.clone());
            return Ok(zone.get(&key).cloned());
        }
        Ok(None) => {}
    }
    let domain = plain(domain(id));
    let find = |page: &Page| {
        page.records
            .iter()
            .find(|record| plain(record.name()) == place.name && *record.r#type() == kind(place))
            .cloned()
    };
    let fetch = list(pass, &place.zone_id, Start::at(&domain, None));
    let page: Arc<Page> = match pass.once(&page_key(id, &place.zone_id), fetch).await {
        Err(failure) if failure.kind == FailureKind::NotFound => {
            forget_zones(pass);
            return Ok(None);
        }
        page => page?,
    };
    let record = find(&page);
    if record.is_some() || page.next.is_none() && place.name.ends_with(&domain) {
        return Ok(record);
    }
    let start = Start::at(&place.name, Some(kind(place)));
    let page = list(pass, &place.zone_id, start).await?;
    Ok(find(&page))
}

fn kind(place: &Place) -> types::RrType {
    place.kind.as_str().into()
}

/// A zone's records by name and type.
type Zone = HashMap<(String, String), types::ResourceRecordSet>;

/// The zone as it was read for all its apps, where a pass believes that.
async fn whole_zone(pass: &Pass, zone_id: &str) -> Result<Option<Arc<Zone>>, Failure> {
    let fetch = |most: usize| async move {
        let (mut zone, mut start) = (Zone::new(), Start::default());
        for _ in 0..most {
            let page = list(pass, zone_id, start).await?;
            for record in page.records {
                let key = (plain(record.name()), record.r#type().as_str().to_owned());
                zone.entry(key).or_insert(record);
            }
            let Some(next) = page.next else {
                return Ok(Some(zone));
            };
            start = next;
        }
        Ok(None)
    };
    pass.listed(&shared::RECORDS, zone_id, fetch).await
}

async fn list(pass: &Pass, zone_id: &str, start: Start) -> Result<Page, Failure> {
    let clients = pass.clients(GLOBAL);
    let list = clients
        .route53
        .list_resource_record_sets()
        .hosted_zone_id(zone_id)
        .set_start_record_name(start.name)
        .set_start_record_type(start.kind)
        .set_start_record_identifier(start.identifier)
        .send();
    let page = pass
        .call("route53", "ListResourceRecordSets", GLOBAL, list)
        .await?;
    Ok(Page {
        next: page.is_truncated.then_some(Start {
            name: page.next_record_name,
            kind: page.next_record_type,
            identifier: page.next_record_identifier,
        }),
        records: page.resource_record_sets,
    })
}
