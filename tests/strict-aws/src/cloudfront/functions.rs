//! CloudFront Functions and the key value stores that they read.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use xmltree::{Element, XMLNode};

use crate::call::Service;
use crate::exchange::{Exchange, Outcome};
use crate::refusal::Refusal;
use crate::services::Memory;
use crate::xml::{self, items, text_at};

/// The largest function, bytes.
const LARGEST: usize = 10 * 1024;

/// When each store was made, by account and name.
pub(super) type Stores = Memory<HashMap<(String, String), Instant>>;

/// A new store is `PROVISIONING` for a while.
pub(super) async fn create_store(exchange: &Exchange<'_>) -> Outcome {
    let name = text_at(&exchange.xml()?, &["Name"]);
    let answer = exchange.forward().await?;
    if answer.status().is_success() {
        let key = (exchange.account.to_owned(), name);
        let mut stores = exchange.state.cloudfront.stores.lock();
        stores.insert(key, Instant::now());
    }
    Ok(super::shown(exchange, answer))
}

fn is_provisioning(exchange: &Exchange<'_>, name: &str) -> bool {
    let delay = exchange.config.delays.key_value_store_provisioning;
    let key = (exchange.account.to_owned(), name.to_owned());
    exchange.config.strict.cloudfront_functions
        && exchange
            .state
            .cloudfront
            .stores
            .lock()
            .get(&key)
            .is_some_and(|made| made.elapsed() < delay)
}

/// Sets the status of each store in an answer.
pub(super) fn show_stores(exchange: &Exchange<'_>, element: &mut Element) {
    if element.name == "KeyValueStore" && is_provisioning(exchange, &text_at(element, &["Name"])) {
        xml::set(element, "Status", "PROVISIONING");
        return;
    }
    for child in element
        .children
        .iter_mut()
        .filter_map(XMLNode::as_mut_element)
    {
        show_stores(exchange, child);
    }
}

/// A function is small, and its stores are there and ready.
pub(super) async fn write(exchange: &Exchange<'_>) -> Outcome {
    if exchange.config.strict.cloudfront_functions {
        let body = exchange.xml()?;
        let code = text_at(&body, &["FunctionCode"]);
        if decoded(&code) > LARGEST {
            let message = "The function code exceeds the maximum size.";
            return Err(Refusal::new(413, "FunctionSizeLimitExceeded", message).into());
        }
        let stores = ["FunctionConfig", "KeyValueStoreAssociations", "Items"];
        for store in items(&body, &stores) {
            check_store(exchange, &text_at(store, &["KeyValueStoreARN"])).await?;
        }
    }
    exchange.forward().await
}

/// The length of what is encoded in base 64.
fn decoded(code: &str) -> usize {
    let digits = code.trim().trim_end_matches('=').len();
    digits * 3 / 4
}

async fn check_store(exchange: &Exchange<'_>, arn: &str) -> Outcome<()> {
    let path = "/2020-05-31/key-value-store";
    let list = exchange
        .get_xml(Service::CloudFront, "us-east-1", path)
        .await?;
    let found = list
        .iter()
        .flat_map(|list| items(list, &["Items"]))
        .find(|store| text_at(store, &["ARN"]) == arn)
        .map(|store| text_at(store, &["Name"]));
    let message = match found {
        None => format!("The key value store {arn} does not exist."),
        Some(name) if is_provisioning(exchange, &name) => {
            format!("The key value store {arn} is not ready.")
        }
        Some(_) => return Ok(()),
    };
    Err(Refusal::new(400, "InvalidArgument", message).into())
}

/// A function that a distribution's behavior names stays.
pub(super) async fn delete(exchange: &Exchange<'_>) -> Outcome {
    let name = exchange.parameter("Name");
    let path = format!("function/{name}/describe?Stage=DEVELOPMENT");
    if exchange.config.strict.cloudfront_in_use
        && let Some(function) = super::current(exchange, &path).await?
    {
        let arn = text_at(&function, &["FunctionMetadata", "FunctionARN"]);
        if is_associated(exchange, &arn).await? {
            let message =
                "Cannot delete the function because it is attached to one or more cache behaviors.";
            return Err(Refusal::new(409, "FunctionInUse", message).into());
        }
    }
    exchange.forward().await
}

async fn is_associated(exchange: &Exchange<'_>, arn: &str) -> Outcome<bool> {
    let Some(list) = super::list_distributions(exchange).await? else {
        return Ok(false);
    };
    for summary in items(&list, &["Items"]) {
        let id = text_at(summary, &["Id"]);
        let path = format!("/2020-05-31/distribution/{id}/config");
        let config = exchange
            .get_xml(Service::CloudFront, "us-east-1", &path)
            .await?;
        let mut named = false;
        if let Some(config) = &config {
            xml::visit(config, &mut |element| {
                named |= element.get_text().is_some_and(|text| text == arn);
            });
        }
        if named {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A behavior has one function on an event at most, of either service, and of CloudFront's own only published ones.
pub(super) async fn check(exchange: &Exchange<'_>, behavior: &Element) -> Outcome<()> {
    let refuse = |message: String| Refusal::new(400, "InvalidFunctionAssociation", message).into();
    let mut events = BTreeSet::new();
    for list in ["LambdaFunctionAssociations", "FunctionAssociations"] {
        for association in items(behavior, &[list, "Items"]) {
            let event = text_at(association, &["EventType"]);
            if !events.insert(event.clone()) {
                return Err(refuse(format!(
                    "A cache behavior cannot have two functions with the event type {event}."
                )));
            }
        }
    }
    for association in items(behavior, &["FunctionAssociations", "Items"]) {
        let arn = text_at(association, &["FunctionARN"]);
        let name = arn.rsplit('/').next().unwrap_or_default();
        let path = format!("/2020-05-31/function/{name}/describe?Stage=LIVE");
        let answer = exchange
            .get(Service::CloudFront, "us-east-1", &path)
            .await?;
        if !answer.status().is_success() {
            return Err(refuse(format!(
                "The function {arn} does not exist or is not published."
            )));
        }
    }
    Ok(())
}
