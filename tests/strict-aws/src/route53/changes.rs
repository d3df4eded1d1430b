//! What Route 53 refuses in a batch of changes, each change checked on what the ones before it leave.

use xmltree::Element;

use super::{normal, records};
use crate::call::Service;
use crate::exchange::{Exchange, Outcome};
use crate::refusal::Refusal;
use crate::xml::{items, text_at};

/// A record set, as far as it is compared.
#[derive(Clone, PartialEq)]
struct Record {
    name: String,
    kind: String,
    set: String,
    ttl: String,
    values: Vec<String>,
    alias: Option<(String, String)>,
}

impl Record {
    fn read(element: &Element) -> Self {
        let mut values: Vec<String> = items(element, &["ResourceRecords"])
            .into_iter()
            .map(|item| {
                text_at(item, &["Value"])
                    .to_ascii_lowercase()
                    .trim_end_matches('.')
                    .to_owned()
            })
            .collect();
        values.sort();
        let alias = element.get_child("AliasTarget");
        Self {
            name: normal(&text_at(element, &["Name"])),
            kind: text_at(element, &["Type"]),
            set: text_at(element, &["SetIdentifier"]),
            ttl: text_at(element, &["TTL"]),
            values,
            alias: alias.map(|alias| {
                (
                    text_at(alias, &["HostedZoneId"]),
                    normal(&text_at(alias, &["DNSName"])),
                )
            }),
        }
    }

    fn is_same_set(&self, other: &Self) -> bool {
        (&self.name, &self.kind, &self.set) == (&other.name, &other.kind, &other.set)
    }
}

fn refuse(message: String) -> Refusal {
    Refusal::new(400, "InvalidChangeBatch", format!("[{message}]"))
}

pub(super) async fn check(exchange: &Exchange<'_>, zone: &str) -> Outcome<()> {
    let path = format!("/2013-04-01/hostedzone/{zone}");
    let Some(found) = exchange
        .get_xml(Service::Route53, "us-east-1", &path)
        .await?
    else {
        return Ok(());
    };
    let apex = normal(&text_at(&found, &["HostedZone", "Name"]));
    let mut current: Vec<Record> = records(exchange, zone)
        .await?
        .unwrap_or_default()
        .iter()
        .map(Record::read)
        .collect();
    let batch = exchange.xml()?;
    for change in items(&batch, &["ChangeBatch", "Changes"]) {
        let Some(element) = change.get_child("ResourceRecordSet") else {
            continue;
        };
        apply(
            &mut current,
            &apex,
            &text_at(change, &["Action"]),
            Record::read(element),
        )?;
    }
    Ok(())
}

fn apply(
    current: &mut Vec<Record>,
    apex: &str,
    action: &str,
    record: Record,
) -> Result<(), Refusal> {
    let (name, kind) = (&record.name, &record.kind);
    let told = format!("resource record set [name='{name}', type='{kind}']");
    if name != apex && !name.ends_with(&format!(".{apex}")) {
        return Err(refuse(format!(
            "RRSet with DNS name {name} is not permitted in zone {apex}"
        )));
    }
    let existing = current.iter().position(|other| other.is_same_set(&record));
    match (action, existing) {
        ("DELETE", None) => {
            return Err(refuse(format!(
                "Tried to delete {told} but it was not found"
            )));
        }
        ("DELETE", Some(index)) => {
            if current[index] != record {
                let message = "but the values provided do not match the current values";
                return Err(refuse(format!("Tried to delete {told} {message}")));
            }
            current.remove(index);
            return Ok(());
        }
        ("CREATE", Some(_)) => {
            return Err(refuse(format!(
                "Tried to create {told} but it already exists"
            )));
        }
        _ => {}
    }
    check_cname(current, apex, &record)?;
    check_alias(&record)?;
    match existing {
        Some(index) => current[index] = record,
        None => current.push(record),
    }
    Ok(())
}

/// A CNAME is alone at its name, and never at the zone's own.
fn check_cname(current: &[Record], apex: &str, record: &Record) -> Result<(), Refusal> {
    let (name, kind) = (&record.name, &record.kind);
    let beside = |other: &&Record| other.name == *name && other.kind != *kind;
    if kind == "CNAME" && name == apex {
        return Err(refuse(format!(
            "RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {apex}"
        )));
    }
    if kind == "CNAME" && current.iter().find(beside).is_some() {
        return Err(refuse(format!(
            "RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records with the \
             same DNS name in zone {apex}"
        )));
    }
    if current
        .iter()
        .find(beside)
        .is_some_and(|other| other.kind == "CNAME")
    {
        return Err(refuse(format!(
            "RRSet of type {kind} with DNS name {name} is not permitted because a conflicting RRSet of type  CNAME \
             with the same DNS name already exists in zone {apex}"
        )));
    }
    Ok(())
}

/// All of CloudFront's names are in one zone.
fn check_alias(record: &Record) -> Result<(), Refusal> {
    const CLOUDFRONT: &str = "Z2FDTNDATAQYW2";
    let Some((zone, target)) = &record.alias else {
        return Ok(());
    };
    if target.ends_with(".cloudfront.net.") == (zone == CLOUDFRONT) {
        return Ok(());
    }
    Err(refuse(format!(
        "Tried to create an alias that targets {target}, type {} in zone {zone}, but the alias target name does not lie \
         within the target zone",
        record.kind
    )))
}
