//! The proxy's own API under `/_strict/`, for other processes.
//!
//! | request | effect |
//! |---|---|
//! | `GET /_strict/ready` | 200 as soon as the proxy serves |
//! | `GET /_strict/calls` | the calls so far |
//! | `DELETE /_strict/calls` | forgets them |
//! | `GET /_strict/config` | the present config |
//! | `PUT /_strict/config` | replaces it; what is absent takes its default |
//! | `POST /_strict/config` | merges into it: `{"delays": {"stale_reads": 0}}` |
//! | `POST /_strict/faults` | adds a fault, or a list of them |
//! | `DELETE /_strict/faults` | takes all faults away |

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::config::Config;
use crate::exchange::{Answer, Request};
use crate::fault::Fault;
use crate::server::Shared;

/// The answer to a request of this API; `None` if it is not one.
pub(crate) fn answer(shared: &Shared, request: &Request) -> Option<Answer> {
    let path = request.uri().path().strip_prefix("/_strict/")?;
    let answered = match (request.method(), path) {
        (&Method::GET, "ready") => Ok(json!({"ready": true})),
        (&Method::GET, "calls") => Ok(json!(shared.recorder.calls())),
        (&Method::DELETE, "calls") => {
            shared.recorder.clear();
            Ok(json!({}))
        }
        (&Method::GET, "config") => Ok(json!(*shared.config())),
        (&Method::PUT, "config") => {
            serde_json::from_slice(request.body()).map(|config| set(shared, config))
        }
        (&Method::POST, "config") => {
            merged(shared, request.body()).map(|config| set(shared, config))
        }
        (&Method::POST, "faults") => faults(request.body()).map(|mut faults| {
            shared.configure(|config| config.faults.append(&mut faults));
            json!(shared.config().faults)
        }),
        (&Method::DELETE, "faults") => {
            shared.configure(|config| config.faults.clear());
            Ok(json!([]))
        }
        _ => {
            return Some(json_answer(
                StatusCode::NOT_FOUND,
                &json!({"error": "no such request"}),
            ));
        }
    };
    Some(match answered {
        Ok(body) => json_answer(StatusCode::OK, &body),
        Err(error) => json_answer(
            StatusCode::BAD_REQUEST,
            &json!({"error": error.to_string()}),
        ),
    })
}

fn set(shared: &Shared, config: Config) -> Value {
    let shown = json!(config);
    shared.configure(|current| *current = config);
    shown
}

fn merged(shared: &Shared, body: &Bytes) -> serde_json::Result<Config> {
    let mut config = json!(*shared.config());
    merge(&mut config, serde_json::from_slice(body)?);
    serde_json::from_value(config)
}

fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch,
    }
}

fn faults(body: &Bytes) -> serde_json::Result<Vec<Fault>> {
    match serde_json::from_slice(body)? {
        list @ Value::Array(_) => serde_json::from_value(list),
        one => Ok(vec![serde_json::from_value(one)?]),
    }
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Answer::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
