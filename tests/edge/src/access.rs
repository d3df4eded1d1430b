//! Whether a resource's policy admits a caller: the evaluation that S3 and Lambda do at CloudFront's request.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pattern;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    /// CloudFront for an origin access control.
    CloudFront,
    /// An origin access identity, by its id and its canonical user.
    Identity { id: String, canonical_user: String },
    /// Nobody that is known.
    Anonymous,
}

/// What is asked of a policy.
pub(crate) struct Ask<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) action: &'a str,
    pub(crate) resource: &'a str,
    /// Condition keys, lower case.
    pub(crate) context: &'a BTreeMap<&'static str, String>,
}

impl Ask<'_> {
    /// Whether a policy document allows it and no statement of it denies it.
    pub(crate) fn is_allowed(&self, policy: &Value) -> bool {
        let statements = list(&policy["Statement"]);
        let applies = |effect: &str| {
            statements
                .iter()
                .any(|statement| statement["Effect"] == effect && self.applies(statement))
        };
        applies("Allow") && !applies("Deny")
    }

    fn applies(&self, statement: &Value) -> bool {
        self.principal(&statement["Principal"])
            && texts(&statement["Action"])
                .iter()
                // Actions do not mind case.
                .any(|action| {
                    pattern::matches(
                        &action.to_ascii_lowercase(),
                        &self.action.to_ascii_lowercase(),
                    )
                })
            && texts(&statement["Resource"])
                .iter()
                .any(|resource| pattern::matches(resource, self.resource))
            && self.conditions(&statement["Condition"])
    }

    fn principal(&self, wanted: &Value) -> bool {
        if wanted == "*" || texts(&wanted["AWS"]).iter().any(|one| one == "*") {
            return true;
        }
        match self.principal {
            Principal::CloudFront => texts(&wanted["Service"])
                .iter()
                .any(|one| one == "cloudfront.amazonaws.com"),
            Principal::Identity { id, canonical_user } => {
                let user =
                    format!("arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity {id}");
                texts(&wanted["AWS"]).contains(&user)
                    || texts(&wanted["CanonicalUser"]).contains(canonical_user)
            }
            Principal::Anonymous => false,
        }
    }

    fn conditions(&self, conditions: &Value) -> bool {
        let Some(operators) = conditions.as_object() else {
            return true;
        };
        operators.iter().all(|(operator, keys)| {
            keys.as_object().is_some_and(|keys| {
                keys.iter()
                    .all(|(key, values)| self.condition(operator, key, &texts(values)))
            })
        })
    }

    /// One condition. An operator that is not known here holds for nobody: what cannot be judged is not let through.
    fn condition(&self, operator: &str, key: &str, wanted: &[String]) -> bool {
        let found = self.context.get(key.to_ascii_lowercase().as_str());
        let (operator, if_exists) = match operator.strip_suffix("IfExists") {
            Some(operator) => (operator, true),
            None => (operator, false),
        };
        let Some(found) = found else {
            return if_exists || operator.contains("Not");
        };
        let any = |equal: &dyn Fn(&str) -> bool| wanted.iter().any(|one| equal(one));
        match operator {
            "StringEquals" => any(&|one| one == found),
            "StringNotEquals" => !any(&|one| one == found),
            "StringEqualsIgnoreCase" | "Bool" => any(&|one| one.eq_ignore_ascii_case(found)),
            "StringLike" | "ArnLike" | "ArnEquals" => any(&|one| pattern::matches(one, found)),
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => {
                !any(&|one| pattern::matches(one, found))
            }
            _ => false,
        }
    }
}

/// A list, or the one thing that stands for a list of one.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    }
}

fn texts(value: &Value) -> Vec<String> {
    list(value)
        .into_iter()
        .map(|item| {
            item.as_str()
                .map_or_else(|| item.to_string(), str::to_owned)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OURS: &str = "arn:aws:cloudfront::111122223333:distribution/E1";

    fn allowed(policy: &Value, principal: &Principal, action: &str, resource: &str) -> bool {
        let context = BTreeMap::from([
            ("aws:sourcearn", OURS.to_owned()),
            ("aws:sourceaccount", "111122223333".to_owned()),
            ("aws:securetransport", "true".to_owned()),
        ]);
        let ask = Ask {
            principal,
            action,
            resource,
            context: &context,
        };
        ask.is_allowed(policy)
    }

    fn bucket_policy(source: &str) -> Value {
        json!({"Statement": [
            {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
             "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
            {"Effect": "Allow", "Principal": {"Service": "cloudfront.amazonaws.com"}, "Action": "s3:GetObject",
             "Resource": "arn:aws:s3:::b/*", "Condition": {"StringEquals": {"AWS:SourceArn": source}}},
        ]})
    }

    #[test]
    fn a_statement_admits_one_distribution_to_one_action() {
        let cloudfront = Principal::CloudFront;
        let ours = bucket_policy(OURS);
        assert!(allowed(
            &ours,
            &cloudfront,
            "s3:GetObject",
            "arn:aws:s3:::b/app.js"
        ));
        assert!(!allowed(
            &ours,
            &cloudfront,
            "s3:ListBucket",
            "arn:aws:s3:::b"
        ));
        assert!(!allowed(
            &ours,
            &cloudfront,
            "s3:GetObject",
            "arn:aws:s3:::other/app.js"
        ));
        assert!(!allowed(
            &ours,
            &Principal::Anonymous,
            "s3:GetObject",
            "arn:aws:s3:::b/app.js"
        ));
        let another = bucket_policy("arn:aws:cloudfront::111122223333:distribution/E2");
        assert!(!allowed(
            &another,
            &cloudfront,
            "s3:GetObject",
            "arn:aws:s3:::b/app.js"
        ));
    }

    #[test]
    fn a_denial_wins() {
        let mut policy = bucket_policy(OURS);
        policy["Statement"][0]["Condition"]["Bool"]["aws:SecureTransport"] = json!("true");
        assert!(!allowed(
            &policy,
            &Principal::CloudFront,
            "s3:GetObject",
            "arn:aws:s3:::b/app.js"
        ));
    }

    #[test]
    fn an_identity_is_named_as_a_user_or_by_its_canonical_user() {
        let identity = Principal::Identity {
            id: "E9".to_owned(),
            canonical_user: "abc".to_owned(),
        };
        let policy = |principal: Value| {
            json!({"Statement": {"Effect": "Allow", "Principal": principal, "Action": ["s3:Get*"],
                                 "Resource": "arn:aws:s3:::b/*"}})
        };
        let admits = |principal: Value| {
            allowed(
                &policy(principal),
                &identity,
                "s3:GetObject",
                "arn:aws:s3:::b/x",
            )
        };
        assert!(admits(json!({"CanonicalUser": "abc"})));
        assert!(admits(
            json!({"AWS": "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E9"})
        ));
        assert!(!admits(
            json!({"AWS": "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E8"})
        ));
        assert!(!admits(json!({"Service": "cloudfront.amazonaws.com"})));
    }

    #[test]
    fn what_cannot_be_judged_is_not_let_through() {
        let mut policy = bucket_policy(OURS);
        policy["Statement"][1]["Condition"] = json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}});
        assert!(!allowed(
            &policy,
            &Principal::CloudFront,
            "s3:GetObject",
            "arn:aws:s3:::b/x"
        ));
    }
}
