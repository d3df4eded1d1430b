//! AWS calls from the outside: what a person would do by hand in the console.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::process::Command;

use crate::emulator::SECRET_ACCESS_KEY;
use crate::kubectl::run;
use crate::setup;

/// Calls to any service and operation, through botocore.
#[derive(Clone, Debug)]
pub struct Aws {
    /// Endpoint and account of an emulator; absent, the environment's own credentials and AWS itself.
    pub emulated: Option<Account>,
}

/// An account of an emulator.
#[derive(Clone, Debug)]
pub struct Account {
    /// Where it answers.
    pub endpoint_url: String,
    /// Its 12 digits, which are its root user's access key id too.
    pub id: String,
}

impl Aws {
    /// An emulator's account, as its root user.
    pub fn emulated(endpoint_url: &str, account: &str) -> Self {
        Self {
            emulated: Some(Account {
                endpoint_url: endpoint_url.to_owned(),
                id: account.to_owned(),
            }),
        }
    }

    /// One call: service and operation as botocore and AWS name them (`lambda`, `UpdateFunctionConfiguration`).
    ///
    /// # Errors
    /// When AWS refuses (its code and message), or Python cannot be run.
    pub async fn call(
        &self,
        service: &str,
        operation: &str,
        region: &str,
        parameters: &Value,
    ) -> Result<Value> {
        let tools = setup::tools().await?;
        let mut command = Command::new(&tools.python);
        if let Some(account) = &self.emulated {
            forget_credentials(command.as_std_mut());
            command.envs(account_environment(account));
        }
        command
            .arg(crate::paths::repository().join("tools/aws.py"))
            .args([service, operation, "-", "--region", region])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let output = run(command, Some(&parameters.to_string()))
            .await
            .context("running tools/aws.py")?;
        if !output.success() {
            bail!(
                "{service} {operation} in {region}: {}",
                output.stderr.trim()
            );
        }
        serde_json::from_str(&output.stdout)
            .with_context(|| format!("reading {service} {operation}'s answer"))
    }
}

/// What an AWS client needs to be an account's root user.
pub(crate) fn account_environment(account: &Account) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", account.endpoint_url.as_str()),
        ("AWS_ACCESS_KEY_ID", account.id.as_str()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Takes every AWS setting of this machine's user out of a command's environment, the files in the home directory
/// included: nothing that was meant for an emulator may reach a real account.
pub(crate) fn forget_credentials(command: &mut std::process::Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_")) {
            command.env_remove(name);
        }
    }
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
}
