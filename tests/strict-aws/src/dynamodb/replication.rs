//! What a global table shows in one region of what was written in another, some time later.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::exchange::{Answer, Exchange, with_body};

/// Items as they were put: when, in which region.
type Puts = Vec<(Instant, String, Value)>;
/// Puts by account and table.
pub(super) type Written = HashMap<(String, String), Puts>;

/// So many puts of a table are remembered.
const REMEMBERED: usize = 500;

/// Remembers a put that the emulator has taken.
pub(super) fn note(exchange: &Exchange<'_>, table: &str, body: &Value) {
    if exchange.operation != "PutItem" {
        return;
    }
    let mut written = exchange.state.dynamodb.written.lock();
    let key = (exchange.account.to_owned(), table.to_owned());
    let puts = written.entry(key).or_default();
    if puts.len() == REMEMBERED {
        puts.remove(0);
    }
    let region = exchange.region.to_owned();
    puts.push((Instant::now(), region, body["Item"].clone()));
}

/// The item as this region has it: the emulator replicates at once.
pub(super) fn shown(exchange: &Exchange<'_>, table: &str, body: &Value, answer: Answer) -> Answer {
    let delay = exchange.config.delays.replication;
    if exchange.operation != "GetItem" || delay.is_zero() {
        return answer;
    }
    let Some(key) = body["Key"].as_object() else {
        return answer;
    };
    let written = exchange.state.dynamodb.written.lock();
    let table = (exchange.account.to_owned(), table.to_owned());
    let puts = written.get(&table).into_iter().flatten();
    let mut puts = puts.filter(|(_, _, item)| key.iter().all(|(name, value)| item[name] == *value));
    let Some(newest) = puts.next_back() else {
        return answer;
    };
    let arrived = |(at, region, _): &&(Instant, String, Value)| {
        region == exchange.region || at.elapsed() >= delay
    };
    if arrived(&newest) {
        return answer;
    }
    let body = match puts.rfind(arrived) {
        Some((_, _, item)) => json!({"Item": item}),
        None => json!({}),
    };
    drop(written);
    with_body(answer, body.to_string())
}
