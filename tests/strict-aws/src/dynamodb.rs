//! DynamoDB: what it refuses by the table's settings. What it refuses while something is under way is in [`states`].

mod replication;
mod states;

use serde_json::{Value, json};

use crate::call::Service;
use crate::exchange::{Exchange, Outcome, page_json, with_body};
use crate::refusal::Refusal;

pub(crate) use states::State;

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let body = exchange.json();
    let name = table_name(&body);
    if let Some(answer) = states::deleting(exchange, &name)? {
        return Ok(answer);
    }
    states::refuse_while_changing(exchange, &name, &body)?;
    if exchange.config.strict.dynamodb_validation {
        match exchange.operation {
            "UpdateTable" => check_update(exchange, &name, &body).await?,
            "UpdateTimeToLive" => check_time_to_live(exchange, &name, &body).await?,
            "DeleteTable" => check_seeded(exchange, exchange.region, &name)?,
            _ => {}
        }
    }
    let answer = exchange.forward().await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    states::note(exchange, &name, &body, answer.body());
    replication::note(exchange, &name, &body);
    let answer = replication::shown(exchange, &name, &body, answer);
    let answer = states::shown(exchange, &name, answer);
    if !exchange.config.strict.pages {
        return Ok(answer);
    }
    match exchange.operation {
        "ListTables" => Ok(paged(exchange, answer)),
        "ListTagsOfResource" => {
            let mut shown: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            let first = body["NextToken"]
                .as_str()
                .and_then(|token| token.parse().ok())
                .unwrap_or(0);
            page_json(
                &mut shown,
                "Tags",
                "NextToken",
                first,
                exchange.config.page_size,
            );
            Ok(with_body(answer, shown.to_string()))
        }
        _ => Ok(answer),
    }
}

/// The name of the table that a call is about, which may be told as an ARN.
fn table_name(body: &Value) -> String {
    let told = body["TableName"]
        .as_str()
        .or(body["ResourceArn"].as_str())
        .unwrap_or_default();
    let name = told.rsplit_once(":table/").map_or(told, |(_, name)| name);
    name.split('/').next().unwrap_or_default().to_owned()
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "ValidationException", message)
}

/// A table's description in a region, as the emulator has it.
async fn describe(exchange: &Exchange<'_>, region: &str, name: &str) -> Outcome<Option<Value>> {
    let target = "DynamoDB_20120810.DescribeTable";
    let described = exchange
        .ask_json(
            Service::DynamoDb,
            region,
            target,
            &json!({"TableName": name}),
        )
        .await?;
    Ok(described.map(|mut described| described["Table"].take()))
}

async fn check_update(exchange: &Exchange<'_>, name: &str, body: &Value) -> Outcome<()> {
    let Some(table) = describe(exchange, exchange.region, name).await? else {
        return Ok(());
    };
    let streaming = table["StreamSpecification"]["StreamEnabled"] == true;
    // A stream is switched on once, and off once; a global table keeps it.
    match (&body["StreamSpecification"]["StreamEnabled"], streaming) {
        (Value::Bool(true), true) => {
            return Err(invalid(format!(
                "Table already has an enabled stream: TableName: {name}"
            ))
            .into());
        }
        (Value::Bool(false), false) => {
            return Err(invalid(format!(
                "Table already has a disabled stream: TableName: {name}"
            ))
            .into());
        }
        (Value::Bool(false), true) if has_items(&table["Replicas"]) => {
            return Err(invalid("Cannot disable the stream of a table that has replicas.").into());
        }
        _ => {}
    }
    let updates = body["ReplicaUpdates"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if updates.len() > 1 {
        return Err(invalid(
            "Only one replica can be created, updated or deleted in one UpdateTable.",
        )
        .into());
    }
    for update in updates {
        if update["Create"].is_object() {
            // Replicas are fed by the stream, with both images.
            let view = &table["StreamSpecification"]["StreamViewType"];
            if !streaming || view != "NEW_AND_OLD_IMAGES" {
                let message = "One or more parameter values were invalid: Table must have DynamoDB Streams enabled with \
                               StreamViewType NEW_AND_OLD_IMAGES to add a replica.";
                return Err(invalid(message).into());
            }
        }
        if let Some(region) = update["Delete"]["RegionName"].as_str() {
            check_seeded(exchange, region, name)?;
            let replica = describe(exchange, region, name).await?;
            if replica.is_some_and(|replica| replica["DeletionProtectionEnabled"] == true) {
                let message = "Resource cannot be deleted as it is currently protected against deletion. Disable \
                               deletion protection first.";
                return Err(invalid(message).into());
            }
        }
    }
    Ok(())
}

fn has_items(list: &Value) -> bool {
    list.as_array().is_some_and(|list| !list.is_empty())
}

/// A table from which a replica was seeded stays for 24 hours.
fn check_seeded(exchange: &Exchange<'_>, region: &str, name: &str) -> Result<(), Refusal> {
    if states::seeded_lately(exchange, region, name) {
        return Err(invalid(
            "Replica cannot be deleted because it has acted as a source region for new replica(s) being added to the \
             table in the last 24 hours.",
        ));
    }
    Ok(())
}

/// Time to live is not set to what it is.
async fn check_time_to_live(exchange: &Exchange<'_>, name: &str, body: &Value) -> Outcome<()> {
    let target = "DynamoDB_20120810.DescribeTimeToLive";
    let asked = json!({"TableName": name});
    let Some(current) = exchange
        .ask_json(Service::DynamoDb, exchange.region, target, &asked)
        .await?
    else {
        return Ok(());
    };
    let current = &current["TimeToLiveDescription"];
    let wanted = &body["TimeToLiveSpecification"];
    match (
        current["TimeToLiveStatus"] == "ENABLED",
        wanted["Enabled"] == true,
    ) {
        (false, false) => Err(invalid("TimeToLive is already disabled").into()),
        (true, true) if current["AttributeName"] == wanted["AttributeName"] => {
            Err(invalid("TimeToLive is already enabled").into())
        }
        (true, true) => {
            let attribute = current["AttributeName"].as_str().unwrap_or_default();
            Err(invalid(format!(
                "TimeToLive is active on a different AttributeName: current AttributeName is {attribute}"
            ))
            .into())
        }
        _ => Ok(()),
    }
}

/// Cuts `ListTables`, from the start that the emulator has honoured, to a page.
fn paged(exchange: &Exchange<'_>, answer: crate::exchange::Answer) -> crate::exchange::Answer {
    let Ok(mut body) = serde_json::from_slice::<Value>(answer.body()) else {
        return answer;
    };
    let Some(names) = body["TableNames"].as_array_mut() else {
        return answer;
    };
    if names.len() <= exchange.config.page_size {
        return answer;
    }
    names.truncate(exchange.config.page_size);
    body["LastEvaluatedTableName"] = names.last().cloned().unwrap_or_default();
    with_body(answer, body.to_string())
}
