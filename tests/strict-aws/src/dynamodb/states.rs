//! `CREATING`, `UPDATING` and `DELETING` of tables and replicas, and the conflicts meanwhile.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::call::is_write;
use crate::exchange::{Answer, Exchange, with_body};
use crate::refusal::Refusal;
use crate::services::Memory;

/// What the proxy remembers of tables.
#[derive(Default)]
pub(crate) struct State {
    /// By account, region and name.
    tables: Memory<HashMap<String, Table>>,
    /// The last change of a replica, by account and name: there is one at a time.
    replicas: Memory<HashMap<String, ReplicaChange>>,
    /// What was put into them.
    pub(super) written: Memory<super::replication::Written>,
}

#[derive(Clone, Default)]
struct Table {
    created: Option<Instant>,
    updated: Option<Instant>,
    /// When it was deleted, and its last description.
    deleted: Option<(Instant, Value)>,
    /// When a replica was last seeded from it.
    seeded: Option<Instant>,
}

#[derive(Clone)]
struct ReplicaChange {
    region: String,
    since: Instant,
    creating: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Creating,
    Updating,
    Active,
}

fn key(exchange: &Exchange<'_>, region: &str, name: &str) -> String {
    format!("{}/{region}/{name}", exchange.account)
}

fn group(exchange: &Exchange<'_>, name: &str) -> String {
    format!("{}/{name}", exchange.account)
}

fn table(exchange: &Exchange<'_>, region: &str, name: &str) -> Table {
    exchange
        .state
        .dynamodb
        .tables
        .lock()
        .get(&key(exchange, region, name))
        .cloned()
        .unwrap_or_default()
}

fn replica_change(exchange: &Exchange<'_>, name: &str) -> Option<ReplicaChange> {
    let delay = exchange.config.delays.replica_changing;
    let change = exchange
        .state
        .dynamodb
        .replicas
        .lock()
        .get(&group(exchange, name))
        .cloned();
    change.filter(|change| exchange.config.strict.dynamodb_states && change.since.elapsed() < delay)
}

fn phase(exchange: &Exchange<'_>, region: &str, name: &str) -> Phase {
    if !exchange.config.strict.dynamodb_states {
        return Phase::Active;
    }
    let (table, delays) = (table(exchange, region, name), &exchange.config.delays);
    let change = replica_change(exchange, name);
    let within = |since: Option<Instant>, delay| since.is_some_and(|since| since.elapsed() < delay);
    if within(table.created, delays.table_creating)
        || change
            .as_ref()
            .is_some_and(|change| change.creating && change.region == region)
    {
        Phase::Creating
    } else if change.is_some() || within(table.updated, delays.table_updating) {
        Phase::Updating
    } else {
        Phase::Active
    }
}

pub(super) fn seeded_lately(exchange: &Exchange<'_>, region: &str, name: &str) -> bool {
    let delay = exchange.config.delays.replica_seeded;
    table(exchange, region, name)
        .seeded
        .is_some_and(|seeded| seeded.elapsed() < delay)
}

fn in_use(message: String) -> Refusal {
    Refusal::new(400, "ResourceInUseException", message)
}

/// What a table answers that is being deleted: the emulator has it no more.
pub(super) fn deleting(exchange: &Exchange<'_>, name: &str) -> Result<Option<Answer>, Refusal> {
    let Some((since, description)) = table(exchange, exchange.region, name).deleted else {
        return Ok(None);
    };
    if !exchange.config.strict.dynamodb_states
        || since.elapsed() >= exchange.config.delays.table_deleting
    {
        return Ok(None);
    }
    match exchange.operation {
        "DescribeTable" => {
            let mut answer = Answer::new(json!({"Table": description}).to_string().into());
            let json = hyper::header::HeaderValue::from_static("application/x-amz-json-1.0");
            answer.headers_mut().insert("content-type", json);
            Ok(Some(answer))
        }
        "CreateTable" => Err(in_use(format!("Table already exists: {name}"))),
        "UpdateTable" | "DeleteTable" | "UpdateTimeToLive" | "TagResource" => Err(in_use(format!(
            "Attempt to change a resource which is still in use: Table is being deleted: {name}"
        ))),
        _ => Ok(None),
    }
}

/// A table that is being created takes no change and no item, one that is being updated no further change.
pub(super) fn refuse_while_changing(
    exchange: &Exchange<'_>,
    name: &str,
    body: &Value,
) -> Result<(), Refusal> {
    let operation = exchange.operation;
    if operation == "CreateTable" || operation == "ListTables" {
        return Ok(());
    }
    let control = [
        "UpdateTable",
        "DeleteTable",
        "UpdateTimeToLive",
        "TagResource",
        "UntagResource",
        "UpdateContinuousBackups",
    ];
    let phase = phase(exchange, exchange.region, name);
    let being = match phase {
        Phase::Creating => "created",
        Phase::Updating => "updated",
        Phase::Active => return refuse_while_replicas_change(exchange, name, body),
    };
    let message = format!(
        "Attempt to change a resource which is still in use: Table is being {being}: {name}"
    );
    match (phase, operation) {
        (Phase::Creating, "UpdateContinuousBackups") => {
            let message =
                format!("Backups are being enabled for the table: {name}. Please retry later");
            Err(Refusal::new(
                400,
                "ContinuousBackupsUnavailableException",
                message,
            ))
        }
        (Phase::Creating, operation) if control.contains(&operation) => Err(in_use(message)),
        (Phase::Updating, "UpdateTable" | "DeleteTable" | "UpdateTimeToLive") => {
            Err(in_use(message))
        }
        (Phase::Creating, operation) if is_item_operation(operation) => Err(Refusal::new(
            400,
            "ResourceNotFoundException",
            "Requested resource not found",
        )),
        _ => Ok(()),
    }
}

fn is_item_operation(operation: &str) -> bool {
    let items = [
        "GetItem",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "Query",
        "Scan",
    ];
    items.contains(&operation)
        || (operation.starts_with("Batch") && is_write(crate::Service::DynamoDb, "", operation))
}

/// A replica is only added or taken away while the table is active in all its regions.
fn refuse_while_replicas_change(
    exchange: &Exchange<'_>,
    name: &str,
    body: &Value,
) -> Result<(), Refusal> {
    for update in body["ReplicaUpdates"].as_array().into_iter().flatten() {
        let action = update.as_object().and_then(|update| update.values().next());
        let region = action
            .and_then(|action| action["RegionName"].as_str())
            .unwrap_or_default();
        if !region.is_empty() && phase(exchange, region, name) != Phase::Active {
            return Err(in_use(format!(
                "Attempt to change a resource which is still in use: Replica is being updated: {region}"
            )));
        }
    }
    Ok(())
}

/// Remembers what a call has changed.
pub(super) fn note(exchange: &Exchange<'_>, name: &str, body: &Value, answer: &[u8]) {
    let now = Instant::now();
    let mut tables = exchange.state.dynamodb.tables.lock();
    match exchange.operation {
        "CreateTable" => {
            let created = Table {
                created: Some(now),
                ..Table::default()
            };
            tables.insert(key(exchange, exchange.region, name), created);
        }
        "DeleteTable" => {
            let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
            let mut description = answer["TableDescription"].clone();
            description["TableStatus"] = "DELETING".into();
            let deleted = Table {
                deleted: Some((now, description)),
                ..Table::default()
            };
            tables.insert(key(exchange, exchange.region, name), deleted);
        }
        "UpdateTable" => {
            tables
                .entry(key(exchange, exchange.region, name))
                .or_default()
                .updated = Some(now);
            for update in body["ReplicaUpdates"].as_array().into_iter().flatten() {
                let creating = update["Create"].is_object();
                let action = if creating {
                    &update["Create"]
                } else {
                    &update["Delete"]
                };
                let Some(region) = action["RegionName"].as_str() else {
                    continue;
                };
                let change = ReplicaChange {
                    region: region.to_owned(),
                    since: now,
                    creating,
                };
                exchange
                    .state
                    .dynamodb
                    .replicas
                    .lock()
                    .insert(group(exchange, name), change);
                if creating {
                    tables
                        .entry(key(exchange, exchange.region, name))
                        .or_default()
                        .seeded = Some(now);
                }
                tables.remove(&key(exchange, region, name));
            }
        }
        _ => {}
    }
}

/// An answer with the state of the table and its replicas in it.
pub(super) fn shown(exchange: &Exchange<'_>, name: &str, answer: Answer) -> Answer {
    let field = match exchange.operation {
        "DescribeTable" => "Table",
        "CreateTable" | "UpdateTable" | "DeleteTable" => "TableDescription",
        _ => return answer,
    };
    if !exchange.config.strict.dynamodb_states {
        return answer;
    }
    let Ok(mut body) = serde_json::from_slice::<Value>(answer.body()) else {
        return answer;
    };
    let table = &mut body[field];
    match phase(exchange, exchange.region, name) {
        Phase::Creating => table["TableStatus"] = "CREATING".into(),
        Phase::Updating if exchange.operation != "DeleteTable" => {
            table["TableStatus"] = "UPDATING".into()
        }
        _ => {}
    }
    if let Some(change) =
        replica_change(exchange, name).filter(|change| change.region != exchange.region)
    {
        show_replica(table, &change);
    }
    with_body(answer, body.to_string())
}

/// A replica shows as soon as it is being created, and until it is gone.
fn show_replica(table: &mut Value, change: &ReplicaChange) {
    let status = if change.creating {
        "CREATING"
    } else {
        "DELETING"
    };
    if !table["Replicas"].is_array() {
        table["Replicas"] = json!([]);
    }
    let Some(replicas) = table["Replicas"].as_array_mut() else {
        return;
    };
    match replicas
        .iter_mut()
        .find(|replica| replica["RegionName"] == change.region.as_str())
    {
        Some(replica) => replica["ReplicaStatus"] = status.into(),
        None => replicas.push(json!({"RegionName": change.region, "ReplicaStatus": status})),
    }
}
