//! One statement of a function's resource policy; named `<function>/<Sid>`.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::policy::{self, Document, Effect, Principal, Statement};
use super::{Action, Hint, Kind, Seen, found, incomplete};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, Input, ResourceId};

/// `lambda_permission`; its name is `<function>/<Sid>`. It is ours by that Sid.
pub struct Permission;

/// Managed fields of a permission. AWS can only replace it, by the same Sid.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// `lambda:InvokeFunctionUrl` or `lambda:InvokeFunction`. Observed of a statement that AddPermission as it is used
    /// here could not have written: its raw text.
    pub action: String,
    /// Service, as in `cloudfront.amazonaws.com`.
    pub principal: String,
    /// ARN of the distribution that may invoke.
    pub source_arn: Input,
    /// Condition `lambda:FunctionUrlAuthType`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub function_url_auth_type: Option<String>,
    /// Condition `lambda:InvokedViaFunctionUrl`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub invoked_via_function_url: Option<bool>,
}

#[async_trait]
impl Kind for Permission {
    type Config = Config;

    const NAME: &'static str = "lambda_permission";
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution"];
    const ACTIONS: &'static [Action] = &[Action::on(
        "arn:aws:lambda:*:{account}:function:{prefix}",
        &[
            "lambda:AddPermission",
            "lambda:GetPolicy",
            "lambda:RemovePermission",
        ],
    )];

    fn parent(id: &ResourceId) -> Option<ResourceId> {
        let (function, _) = parts(id);
        Some(ResourceId::new("lambda_function", &id.region, function))
    }

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        _hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let (function, sid) = parts(id);
        // One document for all of a function's permissions; without any there is none, and AWS says 404.
        let fetch = async {
            let get = pass
                .clients(&id.region)
                .lambda
                .get_policy()
                .function_name(function)
                .send();
            let answer = pass.call("lambda", "GetPolicy", &id.region, get).await;
            match found(answer)?.and_then(|answer| answer.policy) {
                Some(text) => Document::parse(&text, "lambda:GetPolicy"),
                None => Ok(Document::default()),
            }
        };
        let document = pass.once(&policy_key(id), fetch).await?;
        Ok(document
            .raw()
            .iter()
            .find(|raw| policy::sid(raw) == sid)
            .map(|raw| seen(id, raw)))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let (function, sid) = parts(id);
        let add = pass
            .clients(&id.region)
            .lambda
            .add_permission()
            .function_name(function)
            .statement_id(sid)
            .action(&desired.action)
            .principal(&desired.principal)
            .source_arn(desired.source_arn.as_str())
            .set_function_url_auth_type(desired.function_url_auth_type.as_deref().map(Into::into))
            .set_invoked_via_function_url(desired.invoked_via_function_url)
            .send();
        let answer = pass.call("lambda", "AddPermission", &id.region, add).await;
        pass.forget(&policy_key(id)).await;
        let statement = answer?.statement.unwrap_or_default();
        let raw: Value = serde_json::from_str(&statement)
            .map_err(|_| incomplete("lambda:AddPermission", "readable statement"))?;
        Ok(seen(id, &raw))
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        // A Sid that is taken is refused, so there is no way around a moment without the statement. What is replaced
        // differs from what lets the distribution in, which so loses nothing that it should have.
        found(remove(pass, id).await)?;
        Self::create(pass, id, desired).await
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        remove(pass, id).await?;
        Ok(Deleted::Gone)
    }
}

async fn remove(pass: &Pass, id: &ResourceId) -> Result<(), Failure> {
    let (function, sid) = parts(id);
    let remove = pass
        .clients(&id.region)
        .lambda
        .remove_permission()
        .function_name(function)
        .statement_id(sid)
        .send();
    let answer = pass
        .call("lambda", "RemovePermission", &id.region, remove)
        .await;
    pass.forget(&policy_key(id)).await;
    answer.map(drop)
}

/// Function and Sid, of which neither has a slash.
fn parts(id: &ResourceId) -> (&str, &str) {
    id.name.split_once('/').unwrap_or((&id.name, ""))
}

fn policy_key(id: &ResourceId) -> String {
    format!("lambda:GetPolicy {} {}", id.region, parts(id).0)
}

fn seen(id: &ResourceId, raw: &Value) -> Seen<Config> {
    let config = read(&Statement::from_json(raw)).unwrap_or_else(|| Config {
        action: raw.to_string(),
        principal: String::new(),
        source_arn: "".into(),
        function_url_auth_type: None,
        invoked_via_function_url: None,
    });
    Seen::ours(config, id.name.as_str())
}

/// The statement as AddPermission writes it, or nothing if there is more or less to it.
fn read(statement: &Statement) -> Option<Config> {
    let Statement {
        effect: Effect::Allow,
        principal: Some(Principal::Service(principal)),
        actions,
        resources: _,
        conditions,
    } = statement
    else {
        return None;
    };
    let mut config = Config {
        action: only(actions)?.clone(),
        principal: principal.clone(),
        source_arn: "".into(),
        function_url_auth_type: None,
        invoked_via_function_url: None,
    };
    for (operator, key, values) in flat(conditions) {
        let value = only(values)?.as_str();
        match (
            operator.to_lowercase().as_str(),
            key.to_lowercase().as_str(),
        ) {
            // Lambda writes `AWS:SourceArn`.
            ("arnlike", "aws:sourcearn") => config.source_arn = value.into(),
            ("stringequals", "lambda:functionurlauthtype") => {
                config.function_url_auth_type = Some(value.to_owned());
            }
            ("bool", "lambda:invokedviafunctionurl") => {
                config.invoked_via_function_url = Some(value.parse().ok()?);
            }
            _ => return None,
        }
    }
    Some(config)
}

type Conditions = BTreeMap<String, BTreeMap<String, BTreeSet<Input>>>;

fn flat(conditions: &Conditions) -> impl Iterator<Item = (&str, &str, &BTreeSet<Input>)> {
    conditions.iter().flat_map(|(operator, keys)| {
        keys.iter()
            .map(move |(key, values)| (operator.as_str(), key.as_str(), values))
    })
}

fn only<T: Ord>(set: &BTreeSet<T>) -> Option<&T> {
    set.first().filter(|_| set.len() == 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::{Answer, recording};

    const DISTRIBUTION: &str = "arn:aws:cloudfront::123456789012:distribution/E1";

    fn id(sid: &str) -> ResourceId {
        ResourceId::new(
            "lambda_permission",
            "us-east-1",
            format!("shop-primary/{sid}"),
        )
    }

    fn hint() -> Hint<Config> {
        Hint {
            known_id: None,
            wanted: None,
        }
    }

    fn statement(sid: &str, action: &str, conditions: Value) -> Value {
        json!({
            "Sid": sid, "Effect": "Allow", "Principal": {"Service": "cloudfront.amazonaws.com"}, "Action": action,
            "Resource": "arn:aws:lambda:us-east-1:123456789012:function:shop-primary", "Condition": conditions,
        })
    }

    fn policy() -> String {
        let source = json!({"AWS:SourceArn": DISTRIBUTION});
        let document = json!({"Version": "2012-10-17", "Id": "default", "Statement": [
            statement("ByUrl", "lambda:InvokeFunctionUrl",
                json!({"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}, "ArnLike": source})),
            statement("ByFunction", "lambda:InvokeFunction",
                json!({"Bool": {"lambda:InvokedViaFunctionUrl": "true"}, "ArnLike": source})),
            statement("Wider", "lambda:InvokeFunction",
                json!({"StringEquals": {"AWS:SourceAccount": "123456789012"}})),
        ]});
        json!({"Policy": document.to_string(), "RevisionId": "r1"}).to_string()
    }

    #[tokio::test]
    async fn all_permissions_of_a_function_are_read_with_one_call() {
        let (pass, asks) = recording(true, |_| (200, policy()));
        let mut configs = Vec::new();
        for sid in ["ByUrl", "ByFunction"] {
            let seen = Permission::observe(&pass, &id(sid), hint()).await;
            configs.push(seen.expect("it is read").expect("it is there").config);
        }
        let by_url = Config {
            action: "lambda:InvokeFunctionUrl".into(),
            principal: "cloudfront.amazonaws.com".into(),
            source_arn: DISTRIBUTION.into(),
            function_url_auth_type: Some("AWS_IAM".into()),
            invoked_via_function_url: None,
        };
        let by_function = Config {
            action: "lambda:InvokeFunction".into(),
            function_url_auth_type: None,
            invoked_via_function_url: Some(true),
            ..by_url.clone()
        };
        assert_eq!(configs, [by_url, by_function]);
        let absent = Permission::observe(&pass, &id("Absent"), hint()).await;
        assert_eq!(absent, Ok(None));
        assert_eq!(asks.lock().expect("no panic").len(), 1);
    }

    #[tokio::test]
    async fn a_statement_that_is_not_as_we_write_them_differs() {
        let (pass, _) = recording(true, |_| (200, policy()));
        let seen = Permission::observe(&pass, &id("Wider"), hint()).await;
        let config = seen.expect("it is read").expect("it is there").config;
        assert!(config.action.contains("SourceAccount"), "{config:?}");
    }

    #[tokio::test]
    async fn a_function_without_a_policy_has_no_permission() {
        let (pass, asks) = recording(true, |_| {
            Answer::json_error("ResourceNotFoundException", "no policy is associated")
        });
        for sid in ["ByUrl", "ByFunction"] {
            let seen = Permission::observe(&pass, &id(sid), hint()).await;
            assert_eq!(seen, Ok(None));
        }
        assert_eq!(asks.lock().expect("no panic").len(), 1);
        assert_eq!(
            Permission::parent(&id("ByUrl")),
            Some(ResourceId::new(
                "lambda_function",
                "us-east-1",
                "shop-primary"
            ))
        );
    }

    #[tokio::test]
    async fn after_a_write_the_policy_is_read_again() {
        let (pass, asks) = recording(true, |asked| match asked.method.as_str() {
            "POST" => {
                let condition = json!({"ArnLike": {"AWS:SourceArn": DISTRIBUTION}});
                let statement = statement("New", "lambda:InvokeFunction", condition).to_string();
                (201, json!({"Statement": statement}).to_string())
            }
            _ => (200, policy()),
        });
        let desired = Config {
            action: "lambda:InvokeFunction".into(),
            principal: "cloudfront.amazonaws.com".into(),
            source_arn: DISTRIBUTION.into(),
            function_url_auth_type: None,
            invoked_via_function_url: None,
        };
        let looks = async || Permission::observe(&pass, &id("New"), hint()).await;
        assert_eq!(looks().await, Ok(None));
        let made = Permission::create(&pass, &id("New"), &desired).await;
        assert_eq!(made.expect("made").config, desired);
        assert_eq!(looks().await, Ok(None));
        assert_eq!(asks.lock().expect("no panic").len(), 3);
    }
}
