//! The URL of a Lambda function; its name is the function's.

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_lambda::types;
use serde::{Deserialize, Serialize};

use super::{Action, Hint, Kind, Seen, found};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, Phase, ResourceId};

/// `lambda_function_url`; its name is the function's. It has no tags: it is whose the function is.
pub struct FunctionUrl;

/// Managed fields of a function URL.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// `AWS_IAM`: only signed requests.
    pub auth_type: String,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub invoke_mode: String,
}

#[async_trait]
impl Kind for FunctionUrl {
    type Config = Config;

    const NAME: &'static str = "lambda_function_url";
    /// `url` as in `https://abc.lambda-url.us-east-1.on.aws/`, `host` as in `abc.lambda-url.us-east-1.on.aws`. A URL
    /// made again has another host.
    const OUTPUTS: &'static [&'static str] = &["url", "host"];
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution"];
    const ACTIONS: &'static [Action] = &[Action::on(
        "arn:aws:lambda:*:{account}:function:{prefix}",
        &[
            "lambda:CreateFunctionUrlConfig",
            "lambda:DeleteFunctionUrlConfig",
            "lambda:GetFunctionUrlConfig",
            "lambda:UpdateFunctionUrlConfig",
        ],
    )];

    fn parent(id: &ResourceId) -> Option<ResourceId> {
        Some(ResourceId::new(
            "lambda_function",
            &id.region,
            id.name.as_str(),
        ))
    }

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        _hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let get = pass
            .clients(&id.region)
            .lambda
            .get_function_url_config()
            .function_name(&id.name)
            .send();
        let answer = pass
            .call("lambda", "GetFunctionUrlConfig", &id.region, get)
            .await;
        Ok(found(answer)?.map(|answer| {
            seen(
                &answer.function_url,
                &answer.auth_type,
                answer.invoke_mode.as_ref(),
            )
        }))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let create = pass
            .clients(&id.region)
            .lambda
            .create_function_url_config()
            .function_name(&id.name)
            .auth_type(desired.auth_type.as_str().into())
            .invoke_mode(desired.invoke_mode.as_str().into())
            .send();
        let answer = pass
            .call("lambda", "CreateFunctionUrlConfig", &id.region, create)
            .await?;
        Ok(seen(
            &answer.function_url,
            &answer.auth_type,
            answer.invoke_mode.as_ref(),
        ))
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let clients = pass.clients(&id.region);
        let mut update = clients
            .lambda
            .update_function_url_config()
            .function_name(&id.name);
        if changed.contains("auth_type") {
            update = update.auth_type(desired.auth_type.as_str().into());
        }
        if changed.contains("invoke_mode") {
            update = update.invoke_mode(desired.invoke_mode.as_str().into());
        }
        let answer = pass
            .call(
                "lambda",
                "UpdateFunctionUrlConfig",
                &id.region,
                update.send(),
            )
            .await?;
        Ok(seen(
            &answer.function_url,
            &answer.auth_type,
            answer.invoke_mode.as_ref(),
        ))
    }

    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        _live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let delete = pass
            .clients(&id.region)
            .lambda
            .delete_function_url_config()
            .function_name(&id.name)
            .send();
        pass.call("lambda", "DeleteFunctionUrlConfig", &id.region, delete)
            .await?;
        Ok(Deleted::Gone)
    }
}

fn seen(
    url: &str,
    auth_type: &types::FunctionUrlAuthType,
    invoke_mode: Option<&types::InvokeMode>,
) -> Seen<Config> {
    let host = url
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let config = Config {
        auth_type: auth_type.as_str().to_owned(),
        // URLs from before there was a choice have none.
        invoke_mode: invoke_mode.map_or("BUFFERED", |mode| mode.as_str()).into(),
    };
    Seen {
        phase: Phase::Ready,
        ..Seen::ours(config, url)
            .output("url", url)
            .output("host", host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{Answer, pass_answering};

    const OLD: &str = r#"{"FunctionUrl":"https://abc123.lambda-url.us-east-1.on.aws/","FunctionArn":
        "arn:aws:lambda:us-east-1:123456789012:function:shop-primary","AuthType":"AWS_IAM","Cors":
        {"AllowOrigins":["*"]},"CreationTime":"2022-05-01T00:00:00Z","LastModifiedTime":"2022-05-01T00:00:00Z"}"#;

    fn id() -> ResourceId {
        ResourceId::new("lambda_function_url", "us-east-1", "shop-primary")
    }

    fn hint() -> Hint<Config> {
        Hint {
            known_id: None,
            wanted: None,
        }
    }

    #[tokio::test]
    async fn an_old_url_is_buffered_and_its_host_is_bare() {
        let pass = pass_answering(|_| (200, OLD));
        let seen = FunctionUrl::observe(&pass, &id(), hint()).await;
        let seen = seen.expect("it is read").expect("it is there");
        let expected = Config {
            auth_type: "AWS_IAM".into(),
            invoke_mode: "BUFFERED".into(),
        };
        assert_eq!(seen.config, expected);
        assert_eq!(
            seen.outputs["url"],
            "https://abc123.lambda-url.us-east-1.on.aws/"
        );
        assert_eq!(seen.outputs["host"], "abc123.lambda-url.us-east-1.on.aws");
    }

    #[tokio::test]
    async fn a_function_without_url_has_none() {
        let pass = pass_answering(|_| {
            Answer::json_error("ResourceNotFoundException", "The resource does not exist")
        });
        assert_eq!(FunctionUrl::observe(&pass, &id(), hint()).await, Ok(None));
    }
}
