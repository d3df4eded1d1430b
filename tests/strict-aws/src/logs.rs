//! CloudWatch Logs: lists in pages.

use crate::exchange::{Exchange, Outcome, page_json, with_body};

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    if exchange.operation != "DescribeLogGroups" || !exchange.config.strict.pages {
        return exchange.forward().await;
    }
    let answer = exchange.forward().await?;
    if !answer.status().is_success() {
        return Ok(answer);
    }
    // The whole list, whatever page was asked for.
    let mut asked = exchange.json();
    let first = asked["nextToken"]
        .as_str()
        .and_then(|token| token.parse().ok())
        .unwrap_or(0);
    if let Some(asked) = asked.as_object_mut() {
        asked.remove("nextToken");
        asked.insert("limit".to_owned(), 50.into());
    }
    let target = "Logs_20140328.DescribeLogGroups";
    let whole = exchange
        .ask_json(exchange.service, exchange.region, target, &asked)
        .await?;
    let Some(mut body) = whole else {
        return Ok(answer);
    };
    page_json(
        &mut body,
        "logGroups",
        "nextToken",
        first,
        exchange.config.page_size,
    );
    Ok(with_body(answer, body.to_string()))
}
