//! The heartbeats themselves: one fixed item of a table for each direction, one fixed object of the static bucket.
//!
//! An item has the time it was sent in it, by the operator's clock, which also reads it on the other side.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::Blob;
use jiff::Timestamp;

use crate::api::{AttributeType, Table};
use crate::app::App;
use crate::aws::{HEARTBEAT_OBJECT as OBJECT, Pass, WRITTEN_BY};
use crate::model::{Failure, FailureKind};

/// When an object was sent, in milliseconds since 1970.
const SENT_METADATA: &str = "multiregion-sent";
/// Begins the partition key of every heartbeat item; the region it is sent from follows.
pub const PARTITION: &str = "multiregion/heartbeat/";
/// What the sort key is, where it is a string.
const SORT: &str = "heartbeat";
/// When it was sent, in milliseconds since 1970.
const SENT: &str = "multiregion_sent";
/// An item that nobody renews goes after a day, where the table has a time to live.
const LIVES_SECONDS: i64 = 86_400;

/// Whether a heartbeat fits into the table: its partition key has to be a string.
pub fn fits(table: &Table) -> bool {
    table.key.partition.r#type == AttributeType::String
}

fn key(table: &Table, from: &str) -> HashMap<String, AttributeValue> {
    let mut key = HashMap::from([(
        table.key.partition.name.clone(),
        AttributeValue::S(format!("{PARTITION}{from}")),
    )]);
    if let Some(sort) = &table.key.sort {
        let value = match sort.r#type {
            AttributeType::String => AttributeValue::S(SORT.into()),
            AttributeType::Number => AttributeValue::N("0".into()),
            AttributeType::Binary => AttributeValue::B(Blob::new(SORT)),
        };
        key.insert(sort.name.clone(), value);
    }
    key
}

/// One heartbeat: what it is written to, in which direction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Beat {
    /// An item of a global table.
    Table {
        /// The table's name in AWS.
        name: String,
        /// Its key.
        table: Table,
        /// The region it is written in.
        from: String,
        /// The region it is looked for in.
        to: String,
    },
    /// An object of the static bucket.
    Static {
        /// The primary's bucket.
        bucket: String,
        /// Its region.
        from: String,
        /// The replica.
        replica: String,
        /// Its region.
        to: String,
    },
}

/// All heartbeats of an app: both directions of each table that one fits into, and the static files' one.
pub fn of(app: &App) -> Vec<Beat> {
    let Some(dr) = &app.dr else {
        return Vec::new();
    };
    let mut beats = Vec::new();
    for table in app.tables.iter().filter(|table| fits(&table.spec)) {
        for (from, to) in [(&app.primary, dr), (dr, &app.primary)] {
            beats.push(Beat::Table {
                name: table.name.clone(),
                table: table.spec.clone(),
                from: from.region.clone(),
                to: to.region.clone(),
            });
        }
    }
    beats.push(Beat::Static {
        bucket: app.primary.static_bucket.clone(),
        from: app.primary.region.clone(),
        replica: dr.static_bucket.clone(),
        to: dr.region.clone(),
    });
    beats
}

impl Beat {
    /// As the status names it: source, from, to.
    pub fn row(&self) -> (String, String, String) {
        let (source, from, to) = match self {
            Self::Table { name, from, to, .. } => (format!("dynamodb/{name}"), from, to),
            Self::Static {
                bucket, from, to, ..
            } => (format!("s3/{bucket}"), from, to),
        };
        (source, from.clone(), to.clone())
    }

    /// Whether it is the static files'.
    pub fn is_static(&self) -> bool {
        matches!(self, Self::Static { .. })
    }

    /// Writes it.
    pub async fn send(&self, pass: &Pass, sent: Timestamp) -> Result<(), Failure> {
        match self {
            Self::Table {
                name, table, from, ..
            } => send(pass, name, table, from, sent).await,
            Self::Static { bucket, from, .. } => put(pass, from, bucket, sent).await,
        }
    }

    /// The newest one that shows where it is to come.
    pub async fn look(&self, pass: &Pass) -> Result<Option<Timestamp>, Failure> {
        match self {
            Self::Table {
                name,
                table,
                from,
                to,
            } => look(pass, name, table, from, to).await,
            Self::Static { replica, to, .. } => head(pass, to, replica).await,
        }
    }

    /// The newest one that the source itself shows; of a table's only.
    pub async fn look_at_source(&self, pass: &Pass) -> Result<Option<Timestamp>, Failure> {
        match self {
            Self::Table {
                name, table, from, ..
            } => look(pass, name, table, from, from).await,
            Self::Static { .. } => Ok(None),
        }
    }

    /// Takes it away, on both sides.
    pub async fn remove(&self, pass: &Pass) -> Result<(), Failure> {
        match self {
            Self::Table {
                name, table, from, ..
            } => remove(pass, name, table, from).await,
            Self::Static {
                bucket,
                from,
                replica,
                to,
            } => {
                erase(pass, from, bucket).await?;
                erase(pass, to, replica).await
            }
        }
    }
}

/// Writes the heartbeat of `sent` into `name` in the region `from`.
async fn send(
    pass: &Pass,
    name: &str,
    table: &Table,
    from: &str,
    sent: Timestamp,
) -> Result<(), Failure> {
    let mut item = key(table, from);
    let number = |value: i64| AttributeValue::N(value.to_string());
    item.insert(SENT.into(), number(sent.as_millisecond()));
    if let Some(attribute) = &table.time_to_live_attribute {
        item.insert(attribute.clone(), number(sent.as_second() + LIVES_SECONDS));
    }
    let put = pass.clients(from).dynamodb.put_item();
    let put = put.table_name(name).set_item(Some(item)).send();
    pass.call("dynamodb", "PutItem", from, put).await.map(drop)
}

/// The heartbeat of the region `from` that `name` shows in the region `to`.
async fn look(
    pass: &Pass,
    name: &str,
    table: &Table,
    from: &str,
    to: &str,
) -> Result<Option<Timestamp>, Failure> {
    let get = pass.clients(to).dynamodb.get_item();
    // Of the replica's own, what it has is asked, not what one of its copies had a moment ago.
    let get = get
        .table_name(name)
        .set_key(Some(key(table, from)))
        .consistent_read(true)
        .send();
    let answer = pass.call("dynamodb", "GetItem", to, get).await?;
    let sent = answer
        .item
        .as_ref()
        .and_then(|item| item.get(SENT)?.as_n().ok()?.parse().ok())
        .and_then(|sent| Timestamp::from_millisecond(sent).ok());
    Ok(sent)
}

/// Takes the heartbeat of the region `from` away; the replicas follow.
async fn remove(pass: &Pass, name: &str, table: &Table, from: &str) -> Result<(), Failure> {
    let delete = pass.clients(from).dynamodb.delete_item();
    let delete = delete
        .table_name(name)
        .set_key(Some(key(table, from)))
        .send();
    match pass.call("dynamodb", "DeleteItem", from, delete).await {
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(()),
        answer => answer.map(drop),
    }
}

async fn put(pass: &Pass, region: &str, bucket: &str, sent: Timestamp) -> Result<(), Failure> {
    let put = pass.clients(region).s3.put_object();
    let put = put
        .bucket(bucket)
        .key(OBJECT)
        .metadata(SENT_METADATA, sent.as_millisecond().to_string())
        .metadata(WRITTEN_BY, "heartbeat")
        .send();
    pass.call("s3", "PutObject", region, put).await.map(drop)
}

async fn head(pass: &Pass, region: &str, bucket: &str) -> Result<Option<Timestamp>, Failure> {
    let head = pass.clients(region).s3.head_object();
    let head = head.bucket(bucket).key(OBJECT).send();
    match pass.call("s3", "HeadObject", region, head).await {
        Ok(object) => Ok(object
            .metadata()
            .and_then(|metadata| metadata.get(SENT_METADATA)?.parse().ok())
            .and_then(|sent| Timestamp::from_millisecond(sent).ok())),
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// All versions of the heartbeat object, and no other.
async fn erase(pass: &Pass, region: &str, bucket: &str) -> Result<(), Failure> {
    loop {
        let list = pass.clients(region).s3.list_object_versions();
        let list = list.bucket(bucket).prefix(OBJECT).send();
        let page = match pass.call("s3", "ListObjectVersions", region, list).await {
            Err(failure) if failure.kind == FailureKind::NotFound => return Ok(()),
            answer => answer?,
        };
        let versions = page
            .versions()
            .iter()
            .map(|one| (one.key(), one.version_id()));
        let markers = page
            .delete_markers()
            .iter()
            .map(|one| (one.key(), one.version_id()));
        let ours: Vec<&str> = versions
            .chain(markers)
            .filter(|(key, _)| *key == Some(OBJECT))
            .map(|(_, version)| version.unwrap_or("null"))
            .collect();
        if ours.is_empty() {
            return Ok(());
        }
        for version in ours {
            let delete = pass.clients(region).s3.delete_object();
            let delete = delete.bucket(bucket).key(OBJECT).version_id(version).send();
            pass.call("s3", "DeleteObject", region, delete).await?;
        }
    }
}
