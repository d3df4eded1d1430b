//! CloudFront: the rules, one file for each concern.

mod identities;

use crate::exchange::{Exchange, Outcome};
use crate::refusal::Refusal;

/// What the proxy remembers of CloudFront.
#[derive(Default)]
pub(crate) struct State {
    identities: crate::services::Memory<identities::Identities>,
}

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    if exchange.operation.contains("CloudFrontOriginAccessIdentit") {
        return identities::handle(exchange).await;
    }
    exchange.forward().await
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
