//! What S3 refuses in a bucket's policy: what is no JSON, principals that do not exist, resources of other buckets.

use serde_json::Value;

use crate::cloudfront;
use crate::exchange::{Exchange, Outcome};
use crate::iam::{one_or_list, principal_exists, statements};
use crate::refusal::Refusal;

fn malformed(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "MalformedPolicy", message)
}

pub(super) async fn check(exchange: &Exchange<'_>) -> Outcome<()> {
    let document: Option<Value> = serde_json::from_slice(exchange.request.body()).ok();
    let Some(document) = document.filter(Value::is_object) else {
        return Err(malformed("Policies must be valid JSON and the first byte must be '{'").into());
    };
    if statements(&document).is_empty() {
        return Err(malformed("Missing required field Statement").into());
    }
    for statement in statements(&document) {
        for field in ["Effect", "Principal", "Action", "Resource"] {
            if statement[field].is_null() && statement[format!("Not{field}")].is_null() {
                return Err(malformed(format!("Missing required field {field}")).into());
            }
        }
        check_principals(exchange, &statement["Principal"]).await?;
        check_resources(exchange, &statement["Resource"])?;
    }
    Ok(())
}

async fn check_principals(exchange: &Exchange<'_>, principals: &Value) -> Outcome<()> {
    let kinds = match principals {
        Value::Object(kinds) => kinds,
        Value::String(all) if all == "*" => return Ok(()),
        Value::Null => return Ok(()),
        _ => return Err(malformed("Invalid principal in policy").into()),
    };
    for (kind, principals) in kinds {
        for principal in one_or_list(principals) {
            let principal = principal.as_str().unwrap_or_default();
            let exists = match (kind.as_str(), identity(principal)) {
                ("AWS", Some(id)) => cloudfront::identity_is_principal(exchange, id),
                ("CanonicalUser", _) => {
                    cloudfront::canonical_user_is_principal(exchange, principal)
                }
                ("AWS" | "Service", None) => {
                    !principal.is_empty() && principal_exists(exchange, kind, principal).await?
                }
                _ => false,
            };
            if !exists {
                return Err(malformed("Invalid principal in policy")
                    .detail("Detail", principal)
                    .into());
            }
        }
    }
    Ok(())
}

/// The id of an origin access identity in its principal's name.
fn identity(principal: &str) -> Option<&str> {
    principal.strip_prefix("arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity ")
}

/// A bucket's policy is of that bucket and its objects.
fn check_resources(exchange: &Exchange<'_>, resources: &Value) -> Result<(), Refusal> {
    let bucket = format!("arn:aws:s3:::{}", exchange.parameter("Bucket"));
    let own = |resource: &str| resource == bucket || resource.starts_with(&format!("{bucket}/"));
    if one_or_list(resources)
        .into_iter()
        .all(|resource| resource.as_str().is_some_and(own))
    {
        return Ok(());
    }
    Err(malformed("Policy has invalid resource"))
}
