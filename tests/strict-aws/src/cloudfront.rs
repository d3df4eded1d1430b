//! CloudFront: its rules, one file for each concern.

mod defaults;
mod functions;
mod identities;
mod lists;
mod references;
mod validation;

use std::collections::HashMap;
use std::time::Instant;

use xmltree::{Element, XMLNode};

use crate::call::Service;
use crate::exchange::{Answer, Exchange, Outcome, with_body};
use crate::refusal::Refusal;
use crate::services::Memory;
use crate::xml;

pub(crate) use identities::{canonical_user_is_principal, identity_is_principal};

/// What the proxy remembers of CloudFront.
#[derive(Default)]
pub(crate) struct State {
    identities: Memory<identities::Identities>,
    /// When each distribution was last changed, by its id.
    changes: Memory<HashMap<String, Instant>>,
    stores: functions::Stores,
}

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let operation = exchange.operation;
    if operation.contains("CloudFrontOriginAccessIdentit") {
        return identities::handle(exchange).await;
    }
    let id = exchange.parameter("Id");
    match operation {
        "CreateDistribution" | "CreateDistributionWithTags" => create(exchange).await,
        "UpdateDistribution" => update(exchange, id).await,
        "DeleteDistribution" => delete(exchange, id).await,
        "AssociateDistributionWebACL" | "DisassociateDistributionWebACL" => {
            let answer = exchange.forward().await?;
            if answer.status().is_success() {
                changed(exchange, id);
            }
            Ok(answer)
        }
        "DeleteCachePolicy" => {
            let message = "Cannot delete the cache policy because it is attached to one or more cache behaviors.";
            delete_unused(exchange, "cache-policy", "CachePolicyInUse", message).await
        }
        "DeleteOriginRequestPolicy" => {
            let message = "Cannot delete the origin request policy because it is attached to one or more cache behaviors.";
            delete_unused(
                exchange,
                "origin-request-policy",
                "OriginRequestPolicyInUse",
                message,
            )
            .await
        }
        "DeleteResponseHeadersPolicy" => {
            let message = "Cannot delete the response headers policy because it is attached to one or more cache behaviors.";
            delete_unused(
                exchange,
                "response-headers-policy",
                "ResponseHeadersPolicyInUse",
                message,
            )
            .await
        }
        "DeleteOriginAccessControl" => {
            let message = "Cannot delete the origin access control because it's in use by one or more distributions.";
            delete_unused(
                exchange,
                "origin-access-control",
                "OriginAccessControlInUse",
                message,
            )
            .await
        }
        "CreateKeyValueStore" => functions::create_store(exchange).await,
        "CreateFunction" | "UpdateFunction" => functions::write(exchange).await,
        "DeleteFunction" => functions::delete(exchange).await,
        "GetDistribution"
        | "GetDistributionConfig"
        | "DescribeKeyValueStore"
        | "UpdateKeyValueStore" => Ok(shown(exchange, exchange.forward().await?)),
        "ListDistributions" => {
            let answer = with_groups(exchange, exchange.forward().await?).await?;
            Ok(shown(exchange, answer))
        }
        operation if operation.starts_with("List") => {
            Ok(shown(exchange, exchange.forward().await?))
        }
        _ => exchange.forward().await,
    }
}

/// A list of distributions with their origin groups, which the emulator leaves out.
async fn with_groups(exchange: &Exchange<'_>, answer: Answer) -> Outcome {
    let Some(mut list) = xml::parse(answer.body()).filter(|_| answer.status().is_success()) else {
        return Ok(answer);
    };
    let Some(items) = list.get_mut_child("Items") else {
        return Ok(answer);
    };
    for summary in items
        .children
        .iter_mut()
        .filter_map(XMLNode::as_mut_element)
    {
        let id = xml::text_at(summary, &["Id"]);
        let path = format!("/2020-05-31/distribution/{id}/config");
        let config = exchange
            .get_xml(Service::CloudFront, "us-east-1", &path)
            .await?;
        if let Some(groups) = config.and_then(|mut config| config.take_child("OriginGroups")) {
            summary.take_child("OriginGroups");
            summary.children.push(XMLNode::Element(groups));
        }
    }
    Ok(with_body(answer, xml::render(&list)))
}

/// A caller reference is used once: a repeated one is an error, whatever the config (the emulator answers the first
/// distribution again).
async fn create(exchange: &Exchange<'_>) -> Outcome {
    if exchange.config.strict.cloudfront_validation {
        let body = exchange.xml()?;
        let config = body.get_child("DistributionConfig").unwrap_or(&body);
        validation::check(config)?;
        let reference = xml::text_at(config, &["CallerReference"]);
        if let Some(other) = by_caller_reference(exchange, &reference).await? {
            let message = format!(
                "The caller reference that you are using to create a distribution is associated with another \
                 distribution. Already exists: {other}"
            );
            return Err(Refusal::new(409, "DistributionAlreadyExists", message).into());
        }
        references::check(exchange, config, "").await?;
    }
    let answer = exchange.forward().await?;
    if answer.status() == 201
        && let Some(distribution) = xml::parse(answer.body())
    {
        changed(exchange, &xml::text_at(&distribution, &["Id"]));
    }
    Ok(shown(exchange, answer))
}

/// The distribution that was made with a caller reference. A list does not tell it: each one's config is read.
async fn by_caller_reference(exchange: &Exchange<'_>, reference: &str) -> Outcome<Option<String>> {
    let Some(list) = list_distributions(exchange).await? else {
        return Ok(None);
    };
    for summary in xml::items(&list, &["Items"]) {
        let id = xml::text_at(summary, &["Id"]);
        let path = format!("/2020-05-31/distribution/{id}/config");
        let config = exchange
            .get_xml(Service::CloudFront, "us-east-1", &path)
            .await?;
        if config.is_some_and(|config| xml::text_at(&config, &["CallerReference"]) == reference) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

pub(crate) async fn list_distributions(exchange: &Exchange<'_>) -> Outcome<Option<Element>> {
    exchange
        .get_xml(Service::CloudFront, "us-east-1", "/2020-05-31/distribution")
        .await
}

async fn update(exchange: &Exchange<'_>, id: &str) -> Outcome {
    if exchange.config.strict.cloudfront_validation
        && let Some(current) = current(exchange, &format!("distribution/{id}/config")).await?
    {
        let config = exchange.xml()?;
        // Its caller reference is a distribution's for life.
        if xml::text_at(&config, &["CallerReference"])
            != xml::text_at(&current, &["CallerReference"])
        {
            let message = "You cannot update Origin or CallerReference.";
            return Err(Refusal::new(400, "IllegalUpdate", message).into());
        }
        validation::check(&config)?;
        if exchange.config.strict.cloudfront_defaults {
            validation::check_complete(&config)?;
        }
        references::check(exchange, &config, id).await?;
    }
    let answer = exchange.forward().await?;
    if answer.status().is_success() {
        // An identical config is deployed again all the same.
        changed(exchange, id);
    }
    Ok(shown(exchange, answer))
}

/// A distribution is disabled *and deployed* before it goes. Until the disabling is deployed, CloudFront says that it
/// was not disabled.
async fn delete(exchange: &Exchange<'_>, id: &str) -> Outcome {
    if in_progress(exchange, id)
        && current(exchange, &format!("distribution/{id}"))
            .await?
            .is_some()
    {
        let message = "The distribution you are trying to delete has not been disabled.";
        return Err(Refusal::new(409, "DistributionNotDisabled", message).into());
    }
    let answer = exchange.forward().await?;
    if answer.status().is_success() {
        exchange.state.cloudfront.changes.lock().remove(id);
    }
    Ok(answer)
}

/// Deletes what no distribution names; of what one does, the code says so.
async fn delete_unused(exchange: &Exchange<'_>, kind: &str, code: &str, message: &str) -> Outcome {
    let id = exchange.parameter("Id");
    if exchange.config.strict.cloudfront_in_use
        && current(exchange, &format!("{kind}/{id}")).await?.is_some()
        && let Some(list) = list_distributions(exchange).await?
    {
        let mut used = false;
        xml::visit(&list, &mut |element| {
            used |= element.get_text().is_some_and(|text| text == id)
        });
        if used {
            return Err(Refusal::new(409, code, message).into());
        }
    }
    exchange.forward().await
}

/// What is at a path, if the request's `If-Match` is of its present version. If not, the emulator itself refuses.
async fn current(exchange: &Exchange<'_>, path: &str) -> Outcome<Option<Element>> {
    let answer = exchange
        .get(
            Service::CloudFront,
            "us-east-1",
            &format!("/2020-05-31/{path}"),
        )
        .await?;
    let etag = answer
        .headers()
        .get("etag")
        .and_then(|etag| etag.to_str().ok());
    let matches =
        answer.status().is_success() && etag.is_some() && etag == exchange.header("if-match");
    Ok(matches.then(|| xml::parse(answer.body())).flatten())
}

fn changed(exchange: &Exchange<'_>, id: &str) {
    exchange
        .state
        .cloudfront
        .changes
        .lock()
        .insert(id.to_owned(), Instant::now());
}

fn in_progress(exchange: &Exchange<'_>, id: &str) -> bool {
    let delay = exchange.config.delays.distribution_in_progress;
    exchange.config.strict.cloudfront_in_progress
        && exchange
            .state
            .cloudfront
            .changes
            .lock()
            .get(id)
            .is_some_and(|change| change.elapsed() < delay)
}

/// An answer as AWS would give it: with the status of what is being deployed, with all defaults, in pages.
fn shown(exchange: &Exchange<'_>, answer: Answer) -> Answer {
    let strict = &exchange.config.strict;
    let shows = strict.cloudfront_in_progress
        || strict.cloudfront_functions
        || strict.cloudfront_defaults
        || strict.pages;
    if !shows || !answer.status().is_success() {
        return answer;
    }
    let Some(mut root) = xml::parse(answer.body()) else {
        return answer;
    };
    show_progress(exchange, &mut root);
    functions::show_stores(exchange, &mut root);
    if strict.cloudfront_defaults {
        defaults::complete_document(&mut root);
    }
    if strict.pages && root.get_child("Quantity").is_some() {
        lists::page(exchange, &mut root);
    }
    with_body(answer, xml::render(&root))
}

fn show_progress(exchange: &Exchange<'_>, element: &mut Element) {
    if ["Distribution", "DistributionSummary"].contains(&element.name.as_str()) {
        if in_progress(exchange, &xml::text_at(element, &["Id"])) {
            xml::set(element, "Status", "InProgress");
        }
        return;
    }
    for child in element
        .children
        .iter_mut()
        .filter_map(XMLNode::as_mut_element)
    {
        show_progress(exchange, child);
    }
}

/// AWS's answer to a change without `If-Match`.
fn missing_if_match() -> Refusal {
    let message = "The If-Match version is missing or not valid for the resource.";
    Refusal::new(400, "InvalidIfMatchVersion", message)
}

/// AWS's answer to a change of a version that is no longer the present one.
fn stale_if_match() -> Refusal {
    let message =
        "The precondition given in one or more of the request-header fields evaluated to false.";
    Refusal::new(412, "PreconditionFailed", message)
}
