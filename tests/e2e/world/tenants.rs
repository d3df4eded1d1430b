//! Several namespaces in one account, one namespace in the account of another, and the configuration that says so.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use strict_aws::Config;
use testbed::{Aws, Emulator};

use super::World;

impl World {
    /// Another namespace, whose operator acts in this world's account by a proxy of its own. None runs there yet.
    pub async fn beside(&self, name: &str, config: Config) -> Result<Self> {
        let mut world = Self::at(Emulator::shared().await?, name, config).await?;
        let account = world.options.account.as_mut();
        account.context("the account is emulated")?.id = self.account.clone();
        world.account.clone_from(&self.account);
        Ok(world)
    }

    /// From its next start on the operator has this configuration; returns the file's path.
    pub fn configure(&mut self, configuration: &Value) -> Result<String> {
        let path = self.options.directory.join("config.yaml");
        std::fs::write(&path, configuration.to_string())
            .with_context(|| format!("writing {}", path.display()))?;
        let path = path.to_string_lossy().into_owned();
        self.set("MULTIREGION_CONFIG", &path);
        Ok(path)
    }

    /// The same with this for the world's namespace, and a refusal for every other.
    pub fn configure_own(&mut self, account: &Value) -> Result<String> {
        let namespaces = json!({self.namespace.clone(): account});
        self.configure(&json!({"accounts": {"default": "Refuse", "namespaces": namespaces}}))
    }

    /// A policy that would allow everything, as a person makes it for the roles of apps; its ARN.
    pub async fn create_boundary(&self) -> Result<String> {
        let all = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
        ]});
        let policy = json!({"PolicyName": "apps", "PolicyDocument": all.to_string()});
        let made = self
            .aws()
            .call("iam", "CreatePolicy", "us-east-1", &policy)
            .await?;
        let arn = made.pointer("/Policy/Arn").and_then(Value::as_str);
        Ok(arn.context("a policy has an ARN")?.to_owned())
    }

    /// Another account on the same AWS, as its root user, behind this world's proxy.
    pub fn account_of(&self, account: &str) -> Aws {
        Aws::emulated(&self.proxy.url(), account)
    }

    /// Ends the operator, and starts one anew.
    pub async fn restart(&mut self) -> Result<()> {
        let operator = self.operator.take().context("no operator runs")?;
        operator
            .terminate(std::time::Duration::from_secs(30))
            .await?;
        self.start().await
    }
}
