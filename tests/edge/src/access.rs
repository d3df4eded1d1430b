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
        // Actions do not mind case.
        let action = self.action.to_ascii_lowercase();
        let acts = |value: &Value| {
            texts(value)
                .iter()
                .any(|one| pattern::matches(&one.to_ascii_lowercase(), &action))
        };
        let covers = |value: &Value| {
            texts(value)
                .iter()
                .any(|one| pattern::matches(one, self.resource))
        };
        stated(statement, "Principal", |value| self.principal(value))
            && stated(statement, "Action", acts)
            && stated(statement, "Resource", covers)
            && self
                .conditions(&statement["Condition"])
                .unwrap_or(statement["Effect"] == "Deny")
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

    /// Whether all conditions hold; `None` if one of them cannot be judged. Then a statement denies and does not allow.
    fn conditions(&self, conditions: &Value) -> Option<bool> {
        for (operator, keys) in conditions.as_object().into_iter().flatten() {
            for (key, values) in keys.as_object().into_iter().flatten() {
                if !self.condition(operator, key, &texts(values))? {
                    return Some(false);
                }
            }
        }
        Some(true)
    }

    fn condition(&self, operator: &str, key: &str, wanted: &[String]) -> Option<bool> {
        let found = self.context.get(key.to_ascii_lowercase().as_str());
        let (operator, if_exists) = match operator.strip_suffix("IfExists") {
            Some(operator) => (operator, true),
            None => (operator, false),
        };
        let any = |equal: &dyn Fn(&str, &str) -> bool| {
            found.map(|found| wanted.iter().any(|one| equal(one, found)))
        };
        let (holds, negated) = match operator {
            "StringEquals" => (any(&|one, found| one == found), false),
            "StringNotEquals" => (any(&|one, found| one == found), true),
            "StringEqualsIgnoreCase" | "Bool" => {
                (any(&|one, found| one.eq_ignore_ascii_case(found)), false)
            }
            "StringLike" | "ArnLike" | "ArnEquals" => (any(&pattern::matches), false),
            "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (any(&pattern::matches), true),
            _ => return None,
        };
        // A key that the request lacks equals nothing.
        Some(holds.map_or(if_exists || negated, |holds| holds != negated))
    }
}

/// Whether a part of a statement holds, which may be stated by its opposite (`NotPrincipal`).
fn stated(statement: &Value, part: &str, holds: impl Fn(&Value) -> bool) -> bool {
    match statement.get(part) {
        Some(value) => holds(value),
        None => statement
            .get(format!("Not{part}"))
            .is_some_and(|value| !holds(value)),
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
        let unknown = json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}});
        for statement in [0, 1] {
            let mut policy = bucket_policy(OURS);
            policy["Statement"][statement]["Condition"] = unknown.clone();
            assert!(
                !allowed(
                    &policy,
                    &Principal::CloudFront,
                    "s3:GetObject",
                    "arn:aws:s3:::b/x"
                ),
                "{statement}"
            );
        }
    }

    #[test]
    fn a_denial_of_all_but_one_is_of_cloudfront() {
        let mut policy = bucket_policy(OURS);
        let admin = json!({"AWS": "arn:aws:iam::111122223333:role/admin"});
        policy["Statement"][0] =
            json!({"Effect": "Deny", "NotPrincipal": admin, "Action": "s3:*", "Resource": "*"});
        assert!(!allowed(
            &policy,
            &Principal::CloudFront,
            "s3:GetObject",
            "arn:aws:s3:::b/x"
        ));
        policy["Statement"][0]["NotPrincipal"] = json!({"Service": "cloudfront.amazonaws.com"});
        assert!(allowed(
            &policy,
            &Principal::CloudFront,
            "s3:GetObject",
            "arn:aws:s3:::b/x"
        ));
    }
}
