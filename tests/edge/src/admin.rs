//! The edge's own API under `/_edge/`, for other processes.
//!
//! | request | effect |
//! |---|---|
//! | `GET /_edge/ready` | 200 as soon as the edge serves |
//! | `GET /_edge/state` | the faults, and how the stores behave |
//! | `POST /_edge/faults` | adds one: `{"region": "us-east-1", "fault": "black_hole"}`, also by `origin` or `host` |
//! | `DELETE /_edge/faults` | heals everything, or `?region=us-east-1`, `?origin=`, `?host=` |
//! | `PUT /_edge/store` | `{"reachable": false, "delay": 1.5}`: stores out of reach, changes late by so many seconds |
//! | `DELETE /_edge/cache` | forgets what is cached |
//! | `POST /_edge/clock` | `{"advance": 10}`: what is cached grows older by so many seconds |
//! | `POST /_edge/refresh` | has everything read again that was read from the API |

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fault::{Fault, Target};
use crate::origin::set;
use crate::serve::Shared;

#[derive(Deserialize)]
struct NewFault {
    #[serde(flatten)]
    target: Target,
    fault: Fault,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    reachable: Option<bool>,
    /// Seconds.
    delay: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    /// Seconds.
    advance: f64,
}

/// The answer to a request of this API; `None` if it is not one.
pub(crate) fn answer(shared: &Shared, request: &Request<Bytes>) -> Option<Response<Bytes>> {
    let path = request.uri().path().strip_prefix("/_edge/")?;
    let (status, body) = match act(shared, request, path) {
        Ok(Some(body)) => (StatusCode::OK, body),
        Ok(None) => (StatusCode::NOT_FOUND, json!({"error": "no such request"})),
        Err(error) => (
            StatusCode::BAD_REQUEST,
            json!({"error": format!("{error:#}")}),
        ),
    };
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    set(answer.headers_mut(), "content-type", "application/json");
    Some(answer)
}

fn act(shared: &Shared, request: &Request<Bytes>, path: &str) -> anyhow::Result<Option<Value>> {
    let body = request.body();
    match (request.method(), path) {
        (&Method::GET, "ready") => return Ok(Some(json!({"ready": true}))),
        (&Method::GET, "state") => {}
        (&Method::POST, "faults") => {
            let NewFault { target, fault } = serde_json::from_slice(body)?;
            shared.faults.set(target, fault);
        }
        (&Method::DELETE, "faults") => match request.uri().query() {
            None => shared.faults.heal_all(),
            Some(query) => shared.faults.heal(&target(query)?),
        },
        (&Method::PUT, "store") => {
            let store: Store = serde_json::from_slice(body)?;
            let delay = store.delay.map(Duration::try_from_secs_f64).transpose()?;
            shared.stores.configure(|settings| {
                settings.reachable = store.reachable.unwrap_or(settings.reachable);
                settings.delay = delay.unwrap_or(settings.delay);
            });
        }
        (&Method::DELETE, "cache") => shared.cache.clear(),
        (&Method::POST, "clock") => {
            let clock: Clock = serde_json::from_slice(body)?;
            shared.advance(Duration::try_from_secs_f64(clock.advance)?);
        }
        (&Method::POST, "refresh") => shared.registry.expire(),
        _ => return Ok(None),
    }
    Ok(Some(state(shared)))
}

fn state(shared: &Shared) -> Value {
    let faults = shared.faults.all().into_iter().map(|(target, fault)| {
        let mut shown = json!(target);
        shown["fault"] = json!(fault);
        shown
    });
    let stores = shared.stores.settings();
    json!({
        "faults": faults.collect::<Vec<_>>(),
        "store": {"reachable": stores.reachable, "delay": stores.delay.as_secs_f64()},
    })
}

fn target(query: &str) -> anyhow::Result<Target> {
    let (kind, name) = query
        .split_once('=')
        .context("a fault is healed by origin=, host= or region=")?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8()?;
    Ok(serde_json::from_value(json!({ kind: name }))?)
}
