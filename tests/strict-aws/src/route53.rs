//! Route 53: batches that contradict the zone, one change at a time, changes that take a while, lists in pages.
//! (The five requests a second are in [`crate::limits`].)

mod changes;

use std::collections::HashMap;
use std::time::Instant;

use xmltree::{Element, XMLNode};

use crate::call::Service;
use crate::exchange::{Answer, Exchange, Outcome, with_body};
use crate::identify::query;
use crate::refusal::Refusal;
use crate::services::Memory;
use crate::xml::{self, text_at};

/// What the proxy remembers of changes.
#[derive(Default)]
pub(crate) struct State {
    /// When each zone was last changed.
    zones: Memory<HashMap<String, Instant>>,
    /// When each change was submitted, by its id.
    changes: Memory<HashMap<String, Instant>>,
}

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let strict = &exchange.config.strict;
    match exchange.operation {
        "ChangeResourceRecordSets" => {
            let zone = exchange.parameter("Id").trim_start_matches("/hostedzone/");
            if strict.route53_in_flight {
                check_in_flight(exchange, zone)?;
            }
            if strict.route53_validation {
                changes::check(exchange, zone).await?;
            }
            let answer = exchange.forward().await?;
            if answer.status().is_success() {
                exchange
                    .state
                    .route53
                    .zones
                    .lock()
                    .insert(zone.to_owned(), Instant::now());
            }
            Ok(with_status(exchange, answer))
        }
        "GetChange" | "CreateHostedZone" | "DeleteHostedZone" => {
            Ok(with_status(exchange, exchange.forward().await?))
        }
        "ListHostedZones" | "ListResourceRecordSets" if strict.pages => {
            let answer = exchange.forward().await?;
            Ok(paged(exchange, answer))
        }
        "ListHostedZonesByName" if strict.pages => by_name(exchange).await,
        _ => exchange.forward().await,
    }
}

/// All record sets of a zone; `None` if there is no such zone.
pub(crate) async fn records(exchange: &Exchange<'_>, zone: &str) -> Outcome<Option<Vec<Element>>> {
    let (mut found, mut from) = (Vec::new(), String::new());
    loop {
        let path = format!("/2013-04-01/hostedzone/{zone}/rrset{from}");
        let Some(list) = exchange
            .get_xml(Service::Route53, "us-east-1", &path)
            .await?
        else {
            return Ok(None);
        };
        found.extend(
            xml::items(&list, &["ResourceRecordSets"])
                .into_iter()
                .cloned(),
        );
        if text_at(&list, &["IsTruncated"]) != "true" {
            return Ok(Some(found));
        }
        let (name, kind) = (
            text_at(&list, &["NextRecordName"]),
            text_at(&list, &["NextRecordType"]),
        );
        from = format!("?name={name}&type={kind}");
    }
}

/// Whether a CNAME with this value is in a zone of the account.
pub(crate) async fn has_cname(exchange: &Exchange<'_>, name: &str, value: &str) -> Outcome<bool> {
    let listed = exchange
        .get_xml(Service::Route53, "us-east-1", "/2013-04-01/hostedzone")
        .await?;
    for zone in listed
        .iter()
        .flat_map(|list| xml::items(list, &["HostedZones"]))
    {
        let parent = normal(&text_at(zone, &["Name"]));
        if !normal(name).ends_with(&format!(".{parent}")) {
            continue;
        }
        let id = text_at(zone, &["Id"]);
        let records = records(exchange, id.trim_start_matches("/hostedzone/"))
            .await?
            .unwrap_or_default();
        let fits = |record: &Element| {
            text_at(record, &["Type"]) == "CNAME"
                && normal(&text_at(record, &["Name"])) == normal(name)
                && xml::items(record, &["ResourceRecords"])
                    .iter()
                    .any(|item| normal(&text_at(item, &["Value"])) == normal(value))
        };
        if records.iter().any(fits) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A name without case, with its dot at the end.
fn normal(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if name.ends_with('.') {
        name
    } else {
        format!("{name}.")
    }
}

/// While a change of a zone is being taken in, another one is not.
fn check_in_flight(exchange: &Exchange<'_>, zone: &str) -> Result<(), Refusal> {
    let delay = exchange.config.delays.record_change_in_flight;
    if exchange
        .state
        .route53
        .zones
        .lock()
        .get(zone)
        .is_some_and(|since| since.elapsed() < delay)
    {
        let message =
            "The request was rejected because Route 53 was still processing a prior request.";
        return Err(Refusal::new(400, "PriorRequestNotComplete", message));
    }
    Ok(())
}

/// A change is `PENDING` until all of Route 53's servers have it.
fn with_status(exchange: &Exchange<'_>, answer: Answer) -> Answer {
    if !exchange.config.strict.route53_in_flight || !answer.status().is_success() {
        return answer;
    }
    let Some(mut root) = xml::parse(answer.body()) else {
        return answer;
    };
    let Some(change) = root.get_mut_child("ChangeInfo") else {
        return answer;
    };
    let id = text_at(change, &["Id"]);
    let submitted = exchange.operation != "GetChange";
    let mut changes = exchange.state.route53.changes.lock();
    if submitted {
        changes.insert(id.clone(), Instant::now());
    }
    let delay = exchange.config.delays.record_change_pending;
    let pending = submitted
        || changes
            .get(&id)
            .is_some_and(|since| since.elapsed() < delay);
    xml::set(change, "Status", if pending { "PENDING" } else { "INSYNC" });
    with_body(answer, xml::render(&root))
}

/// Cuts a list, from where the emulator has begun it, to a page.
fn paged(exchange: &Exchange<'_>, answer: Answer) -> Answer {
    let list_name = if exchange.operation == "ListHostedZones" {
        "HostedZones"
    } else {
        "ResourceRecordSets"
    };
    let Some(mut root) = xml::parse(answer.body()).filter(|_| answer.status().is_success()) else {
        return answer;
    };
    let Some(list) = root.get_mut_child(list_name) else {
        return answer;
    };
    let rest = cut(list, exchange.config.page_size);
    let last = xml::elements(list)
        .last()
        .map(|item| text_at(item, &["Id"]))
        .unwrap_or_default();
    if let Some(next) = rest.first() {
        xml::set(&mut root, "IsTruncated", "true");
        if list_name == "HostedZones" {
            xml::set(
                &mut root,
                "NextMarker",
                last.trim_start_matches("/hostedzone/"),
            );
        } else {
            xml::set(&mut root, "NextRecordName", &text_at(next, &["Name"]));
            xml::set(&mut root, "NextRecordType", &text_at(next, &["Type"]));
        }
        xml::set(
            &mut root,
            "MaxItems",
            &exchange.config.page_size.to_string(),
        );
    }
    with_body(answer, xml::render(&root))
}

/// Leaves a page of a list, and gives what came after it.
fn cut(list: &mut Element, size: usize) -> Vec<Element> {
    let all: Vec<Element> = xml::elements(list).cloned().collect();
    let (page, rest) = all.split_at(size.min(all.len()));
    list.children = page.iter().cloned().map(XMLNode::Element).collect();
    rest.to_vec()
}

/// Zones by name, begun where the last page ended: the next page's first name and id are told. (The emulator tells the
/// last page's, and drops zones with lower ids.)
async fn by_name(exchange: &Exchange<'_>) -> Outcome {
    let answer = exchange.forward().await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    let query = query(exchange.request);
    let start = query
        .get("dnsname")
        .map(|name| normal(name))
        .unwrap_or_default();
    let id = query.get("hostedzoneid").cloned().unwrap_or_default();
    let path = format!("/2013-04-01/hostedzonesbyname?dnsname={start}");
    let whole = exchange
        .get_xml(Service::Route53, "us-east-1", &path)
        .await?;
    let Some(mut root) = whole else {
        return Ok(answer);
    };
    let Some(list) = root.get_mut_child("HostedZones") else {
        return Ok(answer);
    };
    let position = |zone: &Element| {
        (
            normal(&text_at(zone, &["Name"])),
            text_at(zone, &["Id"])
                .trim_start_matches("/hostedzone/")
                .to_owned(),
        )
    };
    let mut zones: Vec<Element> = xml::elements(list).cloned().collect();
    zones.sort_by_key(position);
    zones.retain(|zone| position(zone) >= (start.clone(), id.clone()));
    list.children = zones.into_iter().map(XMLNode::Element).collect();
    let next = cut(list, exchange.config.page_size).first().map(position);
    xml::set(&mut root, "IsTruncated", &next.is_some().to_string());
    xml::set(
        &mut root,
        "MaxItems",
        &exchange.config.page_size.to_string(),
    );
    if let Some((name, id)) = next {
        xml::set(&mut root, "NextDNSName", &name);
        xml::set(&mut root, "NextHostedZoneId", &id);
    }
    Ok(with_body(answer, xml::render(&root)))
}
