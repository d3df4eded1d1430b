//! The parts of the status that say what there is: address, regions, replication, records, inventory.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::audit::{live, replica_state};
use crate::api::{
    DistributionStatus, DnsRecord, DnsRecordPurpose, DnsStatus, InventoryItem,
    MultiRegionAppStatus, PendingChange, RegionStatus, ReplicationStatus, RetainedItem, Role,
    WriterStatus,
};
use crate::app::{App, Site};
use crate::model::{GLOBAL, Observed, Owner, Phase, ResourceId, Wanted};
use crate::reconcile::Outcome;
use crate::topology::ids;

/// The CRD's bounds.
const LARGEST_INVENTORY: usize = 60;
const MOST_PENDING: usize = 20;

/// All parts but conditions and tokens. What could not be read keeps its previous value.
pub(super) fn fill(
    app: &App,
    wanted: &Wanted,
    outcome: &Outcome,
    previous: &MultiRegionAppStatus,
    now: Timestamp,
) -> MultiRegionAppStatus {
    let distribution = distribution(app, outcome, previous);
    MultiRegionAppStatus {
        url: app.url(
            distribution
                .as_ref()
                .map(|distribution| distribution.domain_name.as_str()),
        ),
        distribution,
        writer: writer(app, outcome, previous, now),
        regions: app
            .sites()
            .map(|site| region(site, outcome, previous))
            .collect(),
        replication: replication(app, outcome),
        dns: dns(app, outcome, previous),
        inventory: inventory(wanted, outcome, previous),
        retained: retained(outcome),
        pending: pending(outcome),
        ..previous.clone()
    }
}

/// Which region takes the writes, as the store has it.
fn writer(
    app: &App,
    outcome: &Outcome,
    previous: &MultiRegionAppStatus,
    now: Timestamp,
) -> Option<WriterStatus> {
    app.dr.as_ref()?;
    let before = previous.writer.as_ref();
    let Some(key) = live(outcome, &ids::writer_key(app)) else {
        return before.cloned();
    };
    let active = match key.outputs.get("writer").map(String::as_str) {
        Some("Primary") => Role::Primary,
        Some("DR") => Role::Dr,
        _ => return before.cloned(),
    };
    let epoch = key
        .outputs
        .get("epoch")
        .and_then(|epoch| epoch.parse().ok())?;
    let store = live(outcome, &ids::key_value_store());
    let store_arn = store.and_then(|store| store.outputs.get("arn").cloned());
    let store_arn = store_arn.or_else(|| before.and_then(|before| before.store_arn.clone()));
    let same = before.filter(|before| (before.active, before.epoch) == (active, epoch));
    Some(match same {
        Some(same) => WriterStatus {
            store_arn,
            ..same.clone()
        },
        None => WriterStatus {
            active,
            epoch,
            since: Some(Time(Timestamp::from_second(now.as_second()).unwrap_or(now))),
            reason: "Read".into(),
            message: "as the key value store has it".into(),
            forced: false,
            store_arn,
        },
    })
}

fn distribution(
    app: &App,
    outcome: &Outcome,
    previous: &MultiRegionAppStatus,
) -> Option<DistributionStatus> {
    let id = ids::distribution(app);
    match outcome.snapshot.get(&id) {
        Some(Observed::Present(live)) => {
            let output = |name: &str| live.outputs.get(name).cloned();
            Some(DistributionStatus {
                id: output("id")?,
                arn: output("arn")?,
                domain_name: output("domain_name")?,
                status: if live.phase == Phase::Ready {
                    "Deployed"
                } else {
                    "InProgress"
                }
                .into(),
            })
        }
        Some(Observed::Unknown(_)) => previous.distribution.clone(),
        Some(Observed::Absent) | None => None,
    }
}

fn region(site: &Site, outcome: &Outcome, previous: &MultiRegionAppStatus) -> RegionStatus {
    let before = previous
        .regions
        .iter()
        .find(|region| region.role == site.role && region.region == site.region);
    let unknown = |id: &ResourceId| matches!(outcome.snapshot.get(id), Some(Observed::Unknown(_)));
    let output = |id: &ResourceId, name: &str, before: Option<&Option<String>>| {
        if unknown(id) {
            before.cloned().flatten()
        } else {
            live(outcome, id)?.outputs.get(name).cloned()
        }
    };
    let bucket = |id: &ResourceId, before: Option<&Option<String>>| {
        if unknown(id) {
            before.cloned().flatten()
        } else {
            live(outcome, id).map(|_| id.name.clone())
        }
    };
    let (function, url) = (ids::function(site), ids::function_url(site));
    RegionStatus {
        role: site.role,
        region: site.region.clone(),
        function_arn: output(&function, "arn", before.map(|before| &before.function_arn)),
        function_url: output(&url, "url", before.map(|before| &before.function_url)),
        code_sha256: output(
            &function,
            "code_sha256",
            before.map(|before| &before.code_sha256),
        ),
        deployment_bucket: bucket(
            &ids::deployment_bucket(site),
            before.map(|before| &before.deployment_bucket),
        ),
        static_bucket: bucket(
            &ids::static_bucket(site),
            before.map(|before| &before.static_bucket),
        ),
        health: before.and_then(|before| before.health),
        last_transition_time: before.and_then(|before| before.last_transition_time.clone()),
    }
}

/// Both directions of each table, and the one direction of the static bucket.
fn replication(app: &App, outcome: &Outcome) -> Vec<ReplicationStatus> {
    let Some(dr) = &app.dr else { return Vec::new() };
    let row = |source: String, from: &Site, to: &Site, state: &str| ReplicationStatus {
        source,
        from: from.region.clone(),
        to: to.region.clone(),
        lag_seconds: None,
        state: state.into(),
    };
    let mut rows = Vec::new();
    for table in &app.tables {
        let id = ResourceId::new("dynamodb_table_replica", &dr.region, &table.name);
        let state = if replica_state(outcome, &id).is_ok() {
            "NoData"
        } else {
            "ReplicaNotActive"
        };
        let source = format!("dynamodb/{}", table.name);
        rows.push(row(source.clone(), &app.primary, dr, state));
        rows.push(row(source, dr, &app.primary, state));
    }
    rows.push(row(
        format!("s3/{}", app.primary.static_bucket),
        &app.primary,
        dr,
        "NoData",
    ));
    rows
}

/// The records that a person has to make, where DNS is not in Route 53.
fn dns(app: &App, outcome: &Outcome, previous: &MultiRegionAppStatus) -> Option<DnsStatus> {
    let domain = app
        .domain
        .as_ref()
        .filter(|domain| domain.hosted_zone.is_none())?;
    let certificate = ids::certificate(app)?;
    let mut records = Vec::new();
    if domain.certificate_arn.is_none() {
        match outcome.snapshot.get(&certificate) {
            Some(Observed::Present(live)) => {
                let output = |name: &str| live.outputs.get(name).cloned();
                if let (Some(name), Some(value)) =
                    (output("validation_name"), output("validation_value"))
                {
                    let r#type = output("validation_type").unwrap_or_else(|| "CNAME".into());
                    records.push(DnsRecord {
                        name,
                        r#type,
                        value,
                        purpose: DnsRecordPurpose::Validation,
                    });
                }
            }
            Some(Observed::Unknown(_)) => {
                let before = previous.dns.iter().flat_map(|dns| &dns.records);
                records.extend(
                    before
                        .filter(|record| record.purpose == DnsRecordPurpose::Validation)
                        .cloned(),
                );
            }
            Some(Observed::Absent) | None => {}
        }
    }
    if let Some(distribution) = distribution(app, outcome, previous) {
        records.push(DnsRecord {
            name: domain.name.clone(),
            r#type: "CNAME".into(),
            value: distribution.domain_name,
            purpose: DnsRecordPurpose::Alias,
        });
    }
    Some(DnsStatus { records })
}

/// What is there and ours, with the ids that AWS chose; what could not be read stays listed.
///
/// Resources that are no longer declared come first: only the inventory knows of them.
fn inventory(
    wanted: &Wanted,
    outcome: &Outcome,
    previous: &MultiRegionAppStatus,
) -> Vec<InventoryItem> {
    let before: BTreeMap<ResourceId, &InventoryItem> = previous
        .inventory
        .iter()
        .map(|item| (resource_id(item), item))
        .collect();
    let mut items: Vec<(bool, InventoryItem)> = Vec::new();
    let declared: BTreeSet<&ResourceId> =
        wanted.desired.iter().map(|desired| &desired.id).collect();
    for (id, observed) in &outcome.snapshot {
        let item = match observed {
            Observed::Present(live) if live.owner == Owner::Ours => InventoryItem {
                kind: id.kind.clone(),
                region: Some(id.region.clone()).filter(|region| region != GLOBAL),
                name: id.name.clone(),
                id: Some(live.physical_id.clone())
                    .filter(|physical| *physical != id.name && !physical.is_empty()),
            },
            Observed::Unknown(_) => match before.get(id) {
                Some(item) => (*item).clone(),
                None => continue,
            },
            Observed::Present(_) | Observed::Absent => continue,
        };
        items.push((declared.contains(id), item));
    }
    items.sort_by_key(|(declared, _)| *declared);
    items
        .into_iter()
        .map(|(_, item)| item)
        .take(LARGEST_INVENTORY)
        .collect()
}

fn retained(outcome: &Outcome) -> Vec<RetainedItem> {
    outcome
        .plan
        .retained
        .iter()
        .map(|(id, reason)| RetainedItem {
            kind: id.kind.clone(),
            region: Some(id.region.clone()).filter(|region| region != GLOBAL),
            name: id.name.clone(),
            reason: reason.clone(),
        })
        .collect()
}

fn pending(outcome: &Outcome) -> Vec<PendingChange> {
    outcome
        .plan
        .steps
        .iter()
        .take(MOST_PENDING)
        .map(|step| PendingChange {
            resource: step.id.to_string(),
            change: step.summary(),
            waiting_on: Some(step.state.to_string()).filter(|reason| !reason.is_empty()),
        })
        .collect()
}

fn resource_id(item: &InventoryItem) -> ResourceId {
    ResourceId::new(
        &item.kind,
        item.region.as_deref().unwrap_or(GLOBAL),
        &item.name,
    )
}

/// The inventory as the engine takes it: ids, with the physical id where AWS chose one.
pub fn inventory_ids(status: &MultiRegionAppStatus) -> BTreeMap<ResourceId, Option<String>> {
    status
        .inventory
        .iter()
        .map(|item| (resource_id(item), item.id.clone()))
        .collect()
}
