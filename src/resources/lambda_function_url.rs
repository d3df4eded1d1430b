//! The URL of a Lambda function; its name is the function's.

use serde::{Deserialize, Serialize};

/// Managed fields of a function URL.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// `AWS_IAM`: only signed requests.
    pub auth_type: String,
    /// `BUFFERED` or `RESPONSE_STREAM`.
    pub invoke_mode: String,
}
