//! STS: no rules, but sessions' keys have to be known by their account.

use crate::exchange::{Exchange, Outcome};
use crate::xml;

pub(crate) async fn handle(exchange: &Exchange<'_>) -> Outcome {
    let answer = exchange.forward().await?;
    if exchange.operation.starts_with("AssumeRole") && answer.status().is_success() {
        remember_session(exchange, answer.body());
    }
    Ok(answer)
}

/// `arn:aws:sts::<account>:assumed-role/<role>/<session>` tells the account of the new key.
fn remember_session(exchange: &Exchange<'_>, body: &[u8]) -> Option<()> {
    let document = xml::parse(body)?;
    let result = xml::elements(&document).find(|element| element.name.ends_with("Result"))?;
    let key = xml::text_at(result, &["Credentials", "AccessKeyId"]);
    let arn = xml::text_at(result, &["AssumedRoleUser", "Arn"]);
    let account = arn.split(':').nth(4)?.to_owned();
    exchange.state.sessions.lock().insert(key, account);
    Some(())
}
