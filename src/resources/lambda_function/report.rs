//! What AWS reports of a function. The SDK has a type for it in each of four answers, with the same fields.

use std::collections::BTreeMap;

use aws_sdk_lambda::types;
use sha2::{Digest, Sha256};

use super::{Code, Config};
use crate::model::{Failure, FailureKind, Phase};
use crate::resources::{Seen, Tags};

/// The parts of an answer that matter here.
pub(super) struct Report {
    pub arn: String,
    pub code_sha256: String,
    pub role: String,
    pub runtime: String,
    pub handler: String,
    pub architecture: String,
    pub memory_size: i32,
    pub timeout: i32,
    pub environment: BTreeMap<String, String>,
    pub phase: Phase,
}

/// A [`Report`] out of any of the four answers.
macro_rules! report {
    ($answer:expr) => {{
        let answer = $answer;
        $crate::resources::lambda_function::report::environment(answer.environment).map(
            |environment| $crate::resources::lambda_function::report::Report {
                arn: answer.function_arn.unwrap_or_default(),
                code_sha256: answer.code_sha256.unwrap_or_default(),
                role: answer.role.unwrap_or_default(),
                runtime: $crate::resources::lambda_function::report::runtime(
                    answer.runtime,
                    answer.last_update_status.as_ref(),
                    answer.last_update_status_reason.as_deref(),
                ),
                handler: answer.handler.unwrap_or_default(),
                architecture: $crate::resources::lambda_function::report::architecture(
                    answer.architectures.as_deref(),
                ),
                memory_size: answer.memory_size.unwrap_or_default(),
                timeout: answer.timeout.unwrap_or_default(),
                environment,
                phase: $crate::resources::lambda_function::report::phase(
                    answer.state.as_ref(),
                    answer.state_reason_code.as_ref(),
                    answer.state_reason.as_deref(),
                    answer.last_update_status.as_ref(),
                ),
            },
        )
    }};
}
pub(super) use report;

impl Report {
    /// As seen, with what AWS tells elsewhere.
    pub fn seen(self, code: Code, tags: Tags) -> Seen<Config> {
        let config = Config {
            role_arn: self.role.into(),
            runtime: self.runtime,
            handler: self.handler,
            architecture: self.architecture,
            memory_size: self.memory_size,
            timeout: self.timeout,
            environment: self.environment,
            code,
            tags,
        };
        let release = release(&config, &self.code_sha256);
        let mut seen = Seen::ours(config, self.arn.clone())
            .output("arn", self.arn)
            .output("code_sha256", self.code_sha256.clone());
        // While AWS changes it, it may still run what it ran before.
        if self.phase == Phase::Ready {
            seen = seen
                .output("running_sha256", self.code_sha256)
                .output("release", release);
        }
        Seen {
            phase: self.phase,
            ..seen
        }
    }
}

/// What tells one function from another that behaves differently: the same of two functions that are the same but for
/// where they are.
fn release(config: &Config, code_sha256: &str) -> String {
    let Config {
        role_arn,
        runtime,
        handler,
        architecture,
        memory_size,
        timeout,
        environment,
        code: _,
        tags: _,
    } = config;
    let all = serde_json::json!([
        role_arn,
        runtime,
        handler,
        architecture,
        memory_size,
        timeout,
        environment,
        code_sha256,
    ]);
    hex::encode(&Sha256::digest(all.to_string())[..16])
}

/// The variables, unless AWS could not decrypt them: then there is nothing to compare, and nothing to write over.
pub(super) fn environment(
    environment: Option<types::EnvironmentResponse>,
) -> Result<BTreeMap<String, String>, Failure> {
    let Some(environment) = environment else {
        return Ok(BTreeMap::new());
    };
    if let Some(error) = environment.error() {
        return Err(Failure {
            kind: FailureKind::Denied,
            operation: "lambda:GetFunction".into(),
            code: error.error_code().unwrap_or_default().to_owned(),
            message: format!(
                "the environment variables cannot be decrypted: {}",
                error.message().unwrap_or_default()
            ),
        });
    }
    Ok(environment
        .variables
        .unwrap_or_default()
        .into_iter()
        .collect())
}

/// The runtime, with the reason beside it if the last update failed: AWS then goes on with what was before, reports
/// what was asked for, and only another update of the configuration mends it.
pub(super) fn runtime(
    runtime: Option<types::Runtime>,
    last_update: Option<&types::LastUpdateStatus>,
    reason: Option<&str>,
) -> String {
    let runtime = runtime.map_or_else(String::new, |runtime| runtime.as_str().to_owned());
    match last_update {
        Some(types::LastUpdateStatus::Failed) => format!(
            "{runtime} (the last update failed: {})",
            reason.unwrap_or("no reason given")
        ),
        _ => runtime,
    }
}

/// AWS leaves out the default.
pub(super) fn architecture(architectures: Option<&[types::Architecture]>) -> String {
    architectures
        .and_then(<[_]>::first)
        .map_or("x86_64", types::Architecture::as_str)
        .to_owned()
}

pub(super) fn phase(
    state: Option<&types::State>,
    code: Option<&types::StateReasonCode>,
    reason: Option<&str>,
    last_update: Option<&types::LastUpdateStatus>,
) -> Phase {
    match (state, last_update) {
        (Some(types::State::Pending), _) => Phase::Pending(format!(
            "Active ({})",
            code.map_or("Pending", types::StateReasonCode::as_str)
        )),
        // Only the creation ends so; an idle function (Inactive) wakes with its next call.
        (Some(types::State::Failed), _) => Phase::Failed(format!(
            "{}: {}",
            code.map_or("Failed", types::StateReasonCode::as_str),
            reason.unwrap_or("no reason given")
        )),
        (Some(types::State::Deleting), _) => Phase::Deleting,
        (_, Some(types::LastUpdateStatus::InProgress)) => {
            Phase::Pending("Updated (InProgress)".into())
        }
        _ => Phase::Ready,
    }
}
