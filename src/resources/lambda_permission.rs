//! One statement of a function's resource policy; named `<function>/<Sid>`.

use crate::model::Input;
use serde::{Deserialize, Serialize};

/// Managed fields of a permission. AWS can only replace it, by the same Sid.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// `lambda:InvokeFunctionUrl` or `lambda:InvokeFunction`.
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
