//! `spec.function`: the Lambda function and its code.

use super::rules::rules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The Lambda function that answers dynamic requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Function {
    /// Lambda runtime, such as nodejs24.x.
    #[schemars(length(max = 64), extend("x-kubernetes-validations" = rules([(
        "self.matches('^[a-z][a-z0-9]*([.][a-z0-9]+)*$')",
        "must be a Lambda runtime identifier such as nodejs24.x",
    )])))]
    pub runtime: String,
    /// Instruction set.
    pub architecture: Architecture,
    /// Entry point in the code, `<file>.<export>`.
    #[schemars(length(max = 128), extend("x-kubernetes-validations" = rules([(
        r"self.matches('^[^\\s]+$')",
        "must not contain spaces, such as index.handler",
    )])))]
    pub handler: String,
    /// Memory, in MiB.
    #[serde(rename = "memorySizeMiB")]
    #[schemars(range(min = 128, max = 10240))]
    pub memory_size_mib: i32,
    /// Longest time for one request, in seconds. CloudFront waits 120 at most.
    #[schemars(range(min = 1, max = 115))]
    pub timeout_seconds: i32,
    /// Environment variables besides NODE_ENV, NITRO_PRESET, PRIMARY_REGION, DR_REGION, PROJECT_NAME, DYNAMODB_TABLE (the first
    /// table) and TABLE_<NAME>. At most 2048 characters in all.
    #[schemars(
        extend("maxProperties" = 100, "additionalProperties" = {"type": "string", "maxLength": 2048}),
        extend("x-kubernetes-validations" = rules([
            (
                "self.all(k, !(k in ['NODE_ENV', 'NITRO_PRESET', 'PRIMARY_REGION', 'DR_REGION', 'PROJECT_NAME', 'DYNAMODB_TABLE', '_HANDLER', '_X_AMZN_TRACE_ID', 'LAMBDA_TASK_ROOT', 'LAMBDA_RUNTIME_DIR']) && !k.startsWith('AWS_') && !k.startsWith('TABLE_'))",
                "has a reserved name: NODE_ENV, NITRO_PRESET, PRIMARY_REGION, DR_REGION, PROJECT_NAME, DYNAMODB_TABLE and TABLE_* are set for you, AWS_*, LAMBDA_TASK_ROOT, LAMBDA_RUNTIME_DIR, _HANDLER and _X_AMZN_TRACE_ID by Lambda: rename it",
            ),
            (
                "self.all(k, k in ['_HANDLER', '_X_AMZN_TRACE_ID'] || k.matches('^[A-Za-z][A-Za-z0-9_]+$'))",
                "names are at least two letters, digits and _, starting with a letter: rename what is not",
            ),
            (
                "self.map(k, size(k) + size(self[k])).sum() <= 2048",
                "names and values have at most 2048 characters together: move large values to where the function can read them",
            ),
        ]))
    )]
    pub environment: BTreeMap<String, String>,
    /// The code, in the deployment bucket of the primary region.
    pub code: FunctionCode,
    /// How long logs are kept, in days.
    #[schemars(extend("enum" = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]))]
    pub log_retention_days: i32,
}

impl Default for Function {
    fn default() -> Self {
        Self {
            runtime: "nodejs24.x".into(),
            architecture: Architecture::default(),
            handler: "index.handler".into(),
            memory_size_mib: 512,
            timeout_seconds: 10,
            environment: BTreeMap::new(),
            code: FunctionCode::default(),
            log_retention_days: 30,
        }
    }
}

/// The function's code, in the deployment bucket of the primary region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionCode {
    /// Key of the zip file.
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-validations" = rules([(
        "!self.startsWith('/')",
        "must not start with a slash, such as lambda/function.zip",
    )])))]
    pub key: String,
    /// S3 version id to run. Absent: always the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub version: Option<String>,
}

impl Default for FunctionCode {
    fn default() -> Self {
        Self {
            key: "lambda/function.zip".into(),
            version: None,
        }
    }
}

/// Instruction set of the function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    /// Intel and AMD.
    #[default]
    #[serde(rename = "x86_64")]
    X86_64,
    /// Graviton.
    #[serde(rename = "arm64")]
    Arm64,
}
