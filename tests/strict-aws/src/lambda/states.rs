//! `Pending` after a function's creation, `InProgress` after an update, and the conflicts meanwhile.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;

use crate::exchange::{Answer, Exchange, with_body};
use crate::refusal::Refusal;
use crate::services::Memory;

/// What the proxy remembers of functions, by account, region and name.
#[derive(Default)]
pub(crate) struct State(Memory<HashMap<String, Changes>>);

#[derive(Clone, Copy, Default)]
struct Changes {
    created: Option<Instant>,
    updated: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Pending,
    Updating,
    Settled,
}

fn key(exchange: &Exchange<'_>, name: &str) -> String {
    format!("{}/{}/{name}", exchange.account, exchange.region)
}

pub(super) fn created(exchange: &Exchange<'_>, name: &str) {
    let changes = Changes {
        created: Some(Instant::now()),
        updated: None,
    };
    exchange
        .state
        .lambda
        .0
        .lock()
        .insert(key(exchange, name), changes);
}

pub(super) fn updated(exchange: &Exchange<'_>, name: &str) {
    exchange
        .state
        .lambda
        .0
        .lock()
        .entry(key(exchange, name))
        .or_default()
        .updated = Some(Instant::now());
}

pub(super) fn deleted(exchange: &Exchange<'_>, name: &str) {
    exchange.state.lambda.0.lock().remove(&key(exchange, name));
}

fn phase(exchange: &Exchange<'_>, name: &str) -> Phase {
    if !exchange.config.strict.lambda_states {
        return Phase::Settled;
    }
    let changes = exchange
        .state
        .lambda
        .0
        .lock()
        .get(&key(exchange, name))
        .copied()
        .unwrap_or_default();
    let delays = &exchange.config.delays;
    if changes
        .created
        .is_some_and(|created| created.elapsed() < delays.function_pending)
    {
        Phase::Pending
    } else if changes
        .updated
        .is_some_and(|updated| updated.elapsed() < delays.function_updating)
    {
        Phase::Updating
    } else {
        Phase::Settled
    }
}

fn conflict(message: String) -> Refusal {
    Refusal::new(409, "ResourceConflictException", message)
}

pub(super) fn refuse_while_pending(exchange: &Exchange<'_>, name: &str) -> Result<(), Refusal> {
    if phase(exchange, name) == Phase::Pending {
        let message = "The operation cannot be performed at this time. The function is currently in the following \
                       state: Pending";
        return Err(conflict(message.to_owned()));
    }
    Ok(())
}

/// `Pending` keeps out every change; after an update only deleting is possible, until it is done.
pub(super) fn refuse_while_changing(exchange: &Exchange<'_>, name: &str) -> Result<(), Refusal> {
    refuse_while_pending(exchange, name)?;
    if phase(exchange, name) == Phase::Updating && exchange.operation != "DeleteFunction" {
        let (account, region) = (exchange.account, exchange.region);
        return Err(conflict(format!(
            "The operation cannot be performed at this time. An update is in progress for resource: \
             arn:aws:lambda:{region}:{account}:function:{name}"
        )));
    }
    Ok(())
}

/// An answer with each function's state in it.
pub(super) fn shown(exchange: &Exchange<'_>, answer: Answer) -> Answer {
    const SHOWING: [&str; 6] = [
        "CreateFunction",
        "GetFunction",
        "GetFunctionConfiguration",
        "ListFunctions",
        "UpdateFunctionCode",
        "UpdateFunctionConfiguration",
    ];
    if !exchange.config.strict.lambda_states || !SHOWING.contains(&exchange.operation) {
        return answer;
    }
    let Ok(mut body) = serde_json::from_slice::<Value>(answer.body()) else {
        return answer;
    };
    let configurations: Vec<&mut Value> = match exchange.operation {
        "GetFunction" => vec![&mut body["Configuration"]],
        "ListFunctions" => body["Functions"]
            .as_array_mut()
            .into_iter()
            .flatten()
            .collect(),
        _ => vec![&mut body],
    };
    for configuration in configurations {
        let name = configuration["FunctionName"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let phase = phase(exchange, &name);
        if phase == Phase::Pending {
            configuration["State"] = "Pending".into();
            configuration["StateReason"] = "The function is being created.".into();
            configuration["StateReasonCode"] = "Creating".into();
        }
        if phase != Phase::Settled {
            configuration["LastUpdateStatus"] = "InProgress".into();
            configuration["LastUpdateStatusReason"] = "The function is being created.".into();
            configuration["LastUpdateStatusReasonCode"] = "Creating".into();
        }
    }
    with_body(answer, body.to_string())
}
