//! A Lambda function, its configuration and its code.
//!
//! AWS takes one change of a function at a time and is busy for a while after each. So a step changes either the
//! configuration or the code, and comes back with the phase AWS reports; the rest is for the next step.

mod code;
mod report;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_lambda::operation::get_function::GetFunctionOutput;
use aws_sdk_lambda::types;
use serde::{Deserialize, Serialize};

use super::{Action, Hint, Kind, Seen, Tags, found, incomplete};
use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, FailureKind, Input, Owner, ResourceId};
pub use code::VERSION as VERSION_TAG;
use report::report;

/// `lambda_function`; its name is the function's, as in `shop-primary`.
pub struct Function;

/// Managed fields of a function.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// ARN of the execution role.
    pub role_arn: Input,
    /// As in `nodejs24.x`.
    pub runtime: String,
    /// As in `index.handler`.
    pub handler: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// MiB.
    pub memory_size: i32,
    /// Seconds.
    pub timeout: i32,
    /// Environment variables; their values are never printed.
    pub environment: BTreeMap<String, String>,
    /// What it runs.
    pub code: Code,
    /// Owner's and user's tags.
    pub tags: Tags,
}

/// The zip a function runs: one version of one object in a bucket of the function's region.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Code {
    /// Bucket. AWS does not tell where code came from: observed as it is wanted, the version says all.
    pub bucket: String,
    /// Key; observed as it is wanted.
    pub key: String,
    /// S3 version id. Observed from the function's tag, as long as the tag's hash is that of the code AWS runs;
    /// `unrecorded` otherwise, so that code changed by hand is a difference.
    pub version: Input,
}

/// What UpdateFunctionConfiguration changes; [`CODE`] is UpdateFunctionCode's.
const CONFIGURATION: [&str; 6] = [
    "role_arn",
    "runtime",
    "handler",
    "memory_size",
    "timeout",
    "environment",
];
/// AWS changes the architecture together with the code, which has to fit it.
const CODE: [&str; 2] = ["architecture", "code"];

#[async_trait]
impl Kind for Function {
    type Config = Config;

    const NAME: &'static str = "lambda_function";
    const OUTPUTS: &'static [&'static str] = &["arn", "code_sha256", "running_sha256", "release"];
    // A URL goes with its function on AWS; taken away first, it goes everywhere.
    const DELETED_AFTER: &'static [&'static str] =
        &["cloudfront_distribution", "lambda_function_url"];
    const ACTIONS: &'static [Action] = &[
        Action::on(
            "arn:aws:lambda:*:{account}:function:{prefix}",
            &[
                "lambda:CreateFunction",
                "lambda:DeleteFunction",
                "lambda:GetFunction",
                // Without it GetFunction leaves the tags out.
                "lambda:ListTags",
                "lambda:TagResource",
                "lambda:UpdateFunctionCode",
                "lambda:UpdateFunctionConfiguration",
            ],
        ),
        // Lambda reads the zip with the rights of whoever asks it to.
        Action::on(
            "arn:aws:s3:::{prefix}/*",
            &["s3:GetObject", "s3:GetObjectVersion"],
        ),
        Action {
            names: &["iam:PassRole"],
            resource: "arn:aws:iam::{account}:role/{prefix}",
            condition: Some((
                "StringEquals",
                "iam:PassedToService",
                "lambda.amazonaws.com",
            )),
        },
    ];

    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let Some(answer) = found(get(pass, &id.region, &id.name).await)? else {
            return Ok(None);
        };
        let tags = tags_of(&answer)?;
        let report = report!(
            answer
                .configuration
                .clone()
                .ok_or_else(|| incomplete("lambda:GetFunction", "configuration"))?
        )?;
        let wanted = hint.wanted.map(|wanted| wanted.code);
        let code = Code {
            version: code::recorded(&tags, &report.code_sha256).into(),
            ..wanted.unwrap_or(Code {
                bucket: String::new(),
                key: String::new(),
                version: "".into(),
            })
        };
        let owner = pass.owner_by_tags(
            tags.iter()
                .map(|(key, value)| (key.as_str(), value.as_str())),
        );
        Ok(Some(Seen {
            owner,
            ..report.seen(code, tags)
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
            .create_function()
            .function_name(&id.name)
            .role(desired.role_arn.as_str())
            .runtime(desired.runtime.as_str().into())
            .handler(&desired.handler)
            .architectures(desired.architecture.as_str().into())
            .memory_size(desired.memory_size)
            .timeout(desired.timeout)
            .environment(environment(desired))
            .code(code::location(&desired.code))
            .set_tags(Some(pairs(&desired.tags)))
            .send();
        let answer = pass
            .call("lambda", "CreateFunction", &id.region, create)
            .await
            .map_err(|failure| without_values(failure, desired))?;
        let seen = report!(answer)?.seen(desired.code.clone(), desired.tags.clone());
        code::record(pass, id, seen).await
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let mut live = Seen {
            owner: Owner::Ours,
            ..live
        };
        if changed.contains("tags") {
            tag(pass, id, &live.physical_id, &desired.tags).await?;
            live.config.tags.extend(desired.tags.clone());
        }
        let any = |names: &[&str]| names.iter().any(|name| changed.contains(*name));
        if any(&CONFIGURATION) {
            return update_configuration(pass, id, live, desired, changed).await;
        }
        if any(&CODE) {
            return code::update(pass, id, live, desired, changed.contains("architecture")).await;
        }
        Ok(live)
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
            .delete_function()
            .function_name(&id.name)
            .send();
        pass.call("lambda", "DeleteFunction", &id.region, delete)
            .await?;
        Ok(Deleted::Gone)
    }
}

/// The function, asked for once a pass: its tags tell its own and those of its invalidations.
async fn get(pass: &Pass, region: &str, name: &str) -> Result<Arc<GetFunctionOutput>, Failure> {
    let fetch = async {
        let get = pass
            .clients(region)
            .lambda
            .get_function()
            .function_name(name)
            .send();
        pass.call("lambda", "GetFunction", region, get).await
    };
    let key = format!("lambda:GetFunction {region} {name}");
    pass.once(&key, fetch).await
}

/// A function without tags is nobody's; one whose tags may not be read is not.
fn tags_of(answer: &GetFunctionOutput) -> Result<Tags, Failure> {
    if let Some(error) = &answer.tags_error {
        return Err(Failure {
            kind: FailureKind::Denied,
            operation: "lambda:ListTags".into(),
            code: error.error_code.clone(),
            message: error.message.clone(),
        });
    }
    let tags = answer.tags.iter().flatten();
    Ok(tags
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect())
}

/// The tags of the function as they were when this pass first read it.
pub(super) async fn tags(pass: &Pass, region: &str, name: &str) -> Result<Tags, Failure> {
    match found(get(pass, region, name).await)? {
        Some(answer) => tags_of(&answer),
        None => Ok(Tags::new()),
    }
}

async fn update_configuration(
    pass: &Pass,
    id: &ResourceId,
    live: Seen<Config>,
    desired: &Config,
    changed: &BTreeSet<String>,
) -> Result<Seen<Config>, Failure> {
    let clients = pass.clients(&id.region);
    let mut update = clients
        .lambda
        .update_function_configuration()
        .function_name(&id.name);
    for field in changed {
        update = match field.as_str() {
            "role_arn" => update.role(desired.role_arn.as_str()),
            "runtime" => update.runtime(desired.runtime.as_str().into()),
            "handler" => update.handler(&desired.handler),
            "memory_size" => update.memory_size(desired.memory_size),
            "timeout" => update.timeout(desired.timeout),
            "environment" => update.environment(environment(desired)),
            _ => update,
        };
    }
    let answer = pass
        .call(
            "lambda",
            "UpdateFunctionConfiguration",
            &id.region,
            update.send(),
        )
        .await
        .map_err(|failure| without_values(failure, desired))?;
    Ok(report!(answer)?.seen(live.config.code, live.config.tags))
}

/// Adds `tags` to those the function has; others' stay.
async fn tag(pass: &Pass, id: &ResourceId, arn: &str, tags: &Tags) -> Result<(), Failure> {
    let tag = pass
        .clients(&id.region)
        .lambda
        .tag_resource()
        .resource(arn)
        .set_tags(Some(pairs(tags)))
        .send();
    pass.call("lambda", "TagResource", &id.region, tag)
        .await
        .map(drop)
}

fn environment(config: &Config) -> types::Environment {
    types::Environment::builder()
        .set_variables(Some(pairs(&config.environment)))
        .build()
}

fn pairs(map: &BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// `failure` without the values of environment variables, which AWS repeats in what it says of an invalid one.
fn without_values(mut failure: Failure, config: &Config) -> Failure {
    if !failure.message.to_lowercase().contains("environment") {
        return failure;
    }
    // The longest first: a value may be part of another.
    let mut values: Vec<&String> = config.environment.values().collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    for value in values.into_iter().filter(|value| !value.is_empty()) {
        failure.message = failure.message.replace(value.as_str(), "(not shown)");
    }
    failure
}
