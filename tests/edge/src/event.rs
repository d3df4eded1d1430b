//! A request as a CloudFront Function gets it, and what becomes of what the function gives back.

use bytes::Bytes;
use hyper::{HeaderMap, Response};
use serde_json::{Map, Value, json};

use base64::Engine;

use crate::distribution::{Distribution, Group};
use crate::origin::set;
use crate::runtime::Ran;
use crate::viewer::Viewer;

/// What a function decided.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The request goes on, changed perhaps, and to the origins that the function chose.
    GoOn(Viewer, Option<Route>),
    /// The function answers.
    Answer(Response<Bytes>),
}

/// The origins that are asked, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    One(String),
    Group(Group),
}

/// A viewer-request event.
pub(crate) fn of(distribution: &Distribution, viewer: &Viewer, id: &str) -> Value {
    let mut headers = Map::new();
    for name in viewer.headers.keys().filter(|name| *name != "cookie") {
        let values = viewer.headers.get_all(name).iter();
        let values: Vec<String> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        headers.insert(name.to_string(), multiple(&values));
    }
    let pairs = viewer.query.split('&').filter(|pair| !pair.is_empty());
    let cookies = viewer.headers.get_all("cookie").iter();
    let cookies: Vec<&str> = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .collect();
    json!({
        "version": "1.0",
        "context": {
            "distributionDomainName": distribution.domain,
            "distributionId": distribution.id,
            "eventType": "viewer-request",
            "requestId": id,
        },
        "viewer": {"ip": viewer.ip},
        "request": {
            "method": viewer.method,
            "uri": viewer.path,
            "querystring": grouped(pairs),
            "headers": headers,
            "cookies": grouped(cookies.into_iter()),
        },
    })
}

/// Reads what a function gave back.
///
/// # Errors
/// If it is neither a request nor a response, with what is wrong with it.
pub(crate) fn decision(ran: &Ran, viewer: &Viewer) -> Result<Decision, String> {
    let result = &ran.result;
    if result.get("statusCode").is_some() {
        return response(result).map(Decision::Answer);
    }
    let path = result["uri"].as_str().filter(|uri| uri.starts_with('/'));
    let path = path.ok_or("the function returned neither a request nor a response")?;
    if result["method"] != viewer.method.as_str() {
        return Err("the function changed the method".to_owned());
    }
    let mut headers = HeaderMap::new();
    each(&result["headers"], |name, value| {
        if let (Ok(name), Ok(value)) = (name.parse::<hyper::header::HeaderName>(), value.parse()) {
            headers.append(name, value);
        }
    });
    let mut cookies = Vec::new();
    each(&result["cookies"], |name, value| {
        cookies.push(format!("{name}={value}"))
    });
    if !cookies.is_empty() {
        set(&mut headers, "cookie", &cookies.join("; "));
    }
    let mut query = Vec::new();
    each(&result["querystring"], |name, value| {
        query.push(if value.is_empty() {
            name.to_owned()
        } else {
            format!("{name}={value}")
        });
    });
    let changed = Viewer {
        path: path.to_owned(),
        query: query.join("&"),
        headers,
        ..viewer.clone()
    };
    Ok(Decision::GoOn(changed, route(&ran.origin)))
}

fn route(origin: &Value) -> Option<Route> {
    if let Some(id) = origin["select"].as_str() {
        return Some(Route::One(id.to_owned()));
    }
    let origins = origin["group"].as_array()?;
    let statuses = origin["statuses"].as_array()?;
    Some(Route::Group(Group {
        origins: origins
            .iter()
            .filter_map(|id| id.as_str().map(str::to_owned))
            .collect(),
        statuses: statuses
            .iter()
            .filter_map(|status| u16::try_from(status.as_u64()?).ok())
            .collect(),
    }))
}

fn response(result: &Value) -> Result<Response<Bytes>, String> {
    let status = result["statusCode"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok());
    let status = status.filter(|status| (200..600).contains(status));
    let status = status.ok_or("the function's statusCode is none")?;
    let body = match &result["body"] {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        body => {
            let data = body["data"]
                .as_str()
                .ok_or("the function's body has no data")?;
            match body["encoding"].as_str() {
                Some("base64") => base64::engine::general_purpose::STANDARD
                    .decode(data)
                    .map_err(|error| error.to_string())?,
                Some("text") => data.as_bytes().to_vec(),
                _ => return Err("the function's body has no encoding".to_owned()),
            }
        }
    };
    let mut answer = Response::builder()
        .status(status)
        .body(Bytes::from(body))
        .map_err(|error| error.to_string())?;
    let headers = answer.headers_mut();
    each(&result["headers"], |name, value| set(headers, name, value));
    each(&result["cookies"], |name, value| {
        if let Ok(value) = format!("{name}={value}").parse() {
            headers.append("set-cookie", value);
        }
    });
    Ok(answer)
}

/// Names with values, as the event has them: `{name: {value, multiValue}}`.
fn grouped<'a>(pairs: impl Iterator<Item = &'a str>) -> Value {
    let mut values: Vec<(&str, Vec<String>)> = Vec::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value.to_owned()),
            None => values.push((name, vec![value.to_owned()])),
        }
    }
    let named = values
        .iter()
        .map(|(name, values)| ((*name).to_owned(), multiple(values)));
    Value::Object(named.collect())
}

fn multiple(values: &[String]) -> Value {
    let last = values.last().cloned().unwrap_or_default();
    if values.len() < 2 {
        return json!({ "value": last });
    }
    let all: Vec<Value> = values
        .iter()
        .map(|value| json!({ "value": value }))
        .collect();
    json!({ "value": last, "multiValue": all })
}

/// Every name and value of such an object, those with several values several times.
fn each(object: &Value, mut take: impl FnMut(&str, &str)) {
    for (name, entry) in object.as_object().into_iter().flatten() {
        match entry["multiValue"].as_array() {
            Some(values) => {
                for value in values {
                    take(name, value["value"].as_str().unwrap_or_default());
                }
            }
            None => take(name, entry["value"].as_str().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::tests::get;

    fn ran(result: Value, origin: Value) -> Ran {
        Ran { result, origin }
    }

    #[test]
    fn a_request_comes_back_with_what_the_function_changed() {
        let viewer = get(
            "/api/cart",
            "a=1&a=2&b",
            &[("cookie", "s=1; t=2"), ("x-one", "1")],
        );
        let request = json!({
            "method": "GET", "uri": "/api/basket", "headers": {"x-two": {"value": "2"}},
            "cookies": {"s": {"value": "1"}},
            "querystring": {"a": {"value": "2", "multiValue": [{"value": "1"}, {"value": "2"}]}, "b": {"value": ""}},
        });
        let chosen = json!({"group": ["one", "two"], "statuses": [500, 503]});
        let Ok(Decision::GoOn(changed, Some(Route::Group(group)))) =
            decision(&ran(request, chosen), &viewer)
        else {
            unreachable!("a request and a group");
        };
        assert_eq!(
            (changed.path.as_str(), changed.query.as_str()),
            ("/api/basket", "a=1&a=2&b")
        );
        assert_eq!(changed.headers["cookie"], "s=1");
        assert!(changed.headers.contains_key("x-two") && !changed.headers.contains_key("x-one"));
        assert_eq!(group.origins, ["one", "two"]);
        assert_eq!(group.statuses, [500, 503].into());
    }

    #[test]
    fn what_is_neither_request_nor_response_is_refused() {
        let viewer = get("/", "", &[]);
        for result in [
            json!(null),
            json!({}),
            json!({"uri": "x", "method": "GET"}),
            json!({"uri": "/", "method": "POST"}),
            json!({"statusCode": 42}),
            json!({"statusCode": 200, "body": {"data": "x"}}),
        ] {
            assert!(
                decision(&ran(result.clone(), Value::Null), &viewer).is_err(),
                "{result}"
            );
        }
    }
}
