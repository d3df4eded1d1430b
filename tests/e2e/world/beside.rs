//! What goes on beside the operator: AWS past the proxy, the commands, the endpoints, what was told to people.

use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::wait::{self, Seen};
use testbed::{Aws, SECRET_ACCESS_KEY};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{BINARY, World};

impl World {
    /// The account past the proxy, its faults and its rules: what goes on in AWS while the operator cannot reach it.
    pub fn aws_itself(&self) -> Aws {
        Aws::emulated(&self.emulator_url, &self.account)
    }

    /// Where the operator will look for a shared credentials file; there is none yet. Call before it starts.
    pub fn credentials_file(&mut self) -> PathBuf {
        let path = self.options.directory.join("credentials");
        self.set("AWS_SHARED_CREDENTIALS_FILE", &path.to_string_lossy());
        path
    }

    /// Adds a variable to the operator's environment from its next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.options
            .environment
            .push((name.to_owned(), value.to_owned()));
    }

    /// Has the operator's log be for machines, from its next start on.
    pub fn log_as_json(&mut self) {
        let arguments = self.options.arguments.iter_mut();
        for argument in arguments.filter(|argument| *argument == "text") {
            *argument = "json".into();
        }
    }

    /// Runs `multiregion` to its end as a person with this account's credentials would.
    pub async fn multiregion(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<std::process::Output> {
        let mut command = tokio::process::Command::new(BINARY);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.options.kubeconfig)
            .env("AWS_ENDPOINT_URL", self.proxy.url())
            .env("AWS_ACCESS_KEY_ID", &self.account)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .envs(environment.iter().copied())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        output
            .with_context(|| format!("multiregion {}", arguments.join(" ")))?
            .context("running multiregion")
    }

    /// Writes a manifest of an app in this namespace to a file.
    pub fn manifest(&self, file: &str, name: &str, spec: &Value) -> Result<String> {
        let object = json!({
            "apiVersion": "multiregion.dev/v1alpha1",
            "kind": "MultiRegionApp",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        });
        let path = self.options.directory.join(file);
        std::fs::write(&path, object.to_string())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Status and body of a path of the operator's own server.
    pub async fn ask(&self, path: &str) -> Result<(u16, String)> {
        let operator = self.operator.as_ref().context("no operator runs")?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(5))
            .build()?;
        let answer = client
            .get(format!("{}{path}", operator.url()))
            .send()
            .await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// How many passes the operator has ended.
    pub async fn passes(&self) -> Result<u64> {
        let (_, metrics) = self.ask("/metrics").await?;
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix("multiregion_reconcile_seconds_count "));
        Ok(count.unwrap_or("0").parse()?)
    }

    /// Sets an annotation, which starts a pass, and waits for the end of that. The status may come a moment later.
    pub async fn annotate_and_pass(&self, name: &str, annotation: &str) -> Result<()> {
        let before = self.passes().await?;
        self.annotate(name, annotation).await?;
        wait::until("a pass", Duration::from_secs(60), || async {
            let now = self.passes().await?;
            Ok(Seen::when(now > before, now.to_string()))
        })
        .await
    }

    /// All that the operator has logged in this world.
    pub fn log(&self) -> String {
        let default = self.options.directory.join("operator.log");
        let log = self.options.log_file.clone().unwrap_or(default);
        std::fs::read_to_string(log).unwrap_or_default()
    }

    /// The events of this namespace, as the API server has them.
    pub async fn events(&self) -> Result<String> {
        self.kubectl(&["get", "events.events.k8s.io", "-o", "json"], None)
            .await
    }

    /// SIGTERM once the operator has made so many writes, or has none left to make; says how long it took to end, with
    /// exit status 0.
    pub async fn terminate_after_writes(
        &mut self,
        writes: usize,
        timeout: Duration,
    ) -> Result<Duration> {
        self.proxy.clear_calls();
        let enough = wait::until("writes to stop in", Duration::from_secs(3), || async {
            Ok(Seen::when(self.proxy.writes().len() >= writes, "fewer"))
        });
        let _ = enough.await;
        let operator = self.operator.take().context("no operator runs")?;
        let asked = Instant::now();
        let status = operator.terminate(timeout).await?;
        ensure!(status.code() == Some(0), "it ended with {status}");
        Ok(asked.elapsed())
    }

    /// How many there are of what AWS chooses the ids of, and of functions: one of each for one app.
    pub async fn assert_nothing_twice(&self) -> Result<()> {
        for (service, operation, region, list) in [
            (
                "cloudfront",
                "ListDistributions",
                "us-east-1",
                "/DistributionList/Items",
            ),
            (
                "cloudfront",
                "ListOriginAccessControls",
                "us-east-1",
                "/OriginAccessControlList/Items",
            ),
            ("lambda", "ListFunctions", "us-east-1", "/Functions"),
            ("lambda", "ListFunctions", "us-west-2", "/Functions"),
        ] {
            let listed = self
                .aws_itself()
                .call(service, operation, region, &json!({}))
                .await?;
            let count = listed
                .pointer(list)
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            // One control for functions, one for buckets.
            let expected = usize::from(operation == "ListOriginAccessControls") + 1;
            ensure!(
                count == expected,
                "{operation} in {region}: {count} of them"
            );
        }
        Ok(())
    }

    /// What a function has for a field of its configuration.
    pub async fn function_field(&self, region: &str, name: &str, field: &str) -> Result<Value> {
        let configuration = self
            .aws_itself()
            .call(
                "lambda",
                "GetFunctionConfiguration",
                region,
                &json!({"FunctionName": name}),
            )
            .await?;
        Ok(configuration[field].clone())
    }

    /// Changes a function's memory by hand, past the proxy, and waits until AWS is done with it.
    pub async fn set_memory(&self, region: &str, name: &str, mebibytes: u32) -> Result<()> {
        let change = json!({"FunctionName": name, "MemorySize": mebibytes});
        self.aws_itself()
            .call("lambda", "UpdateFunctionConfiguration", region, &change)
            .await?;
        wait::until("the change of memory", Duration::from_secs(30), || async {
            let status = self
                .function_field(region, name, "LastUpdateStatus")
                .await?;
            Ok(Seen::when(status == "Successful", status.to_string()))
        })
        .await
    }

    /// Waits until a function has this much memory.
    pub async fn until_memory(
        &self,
        region: &str,
        name: &str,
        mebibytes: u32,
        timeout: Duration,
    ) -> Result<()> {
        wait::until("the function's memory", timeout, || async {
            let seen = self.function_field(region, name, "MemorySize").await?;
            Ok(Seen::when(seen == json!(mebibytes), seen.to_string()))
        })
        .await
        .with_context(|| self.log_tail())
    }

    /// Puts a zip with this `index.js` where the app `shop`'s code is, as its user does; returns the version.
    pub async fn put_code(&self, source: &str) -> Result<String> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        archive.start_file(
            "index.js",
            SimpleFileOptions::default().unix_permissions(0o644),
        )?;
        archive.write_all(source.as_bytes())?;
        self.put_zip(archive.finish()?.into_inner()).await
    }

    /// Puts these bytes there.
    pub async fn put_zip(&self, bytes: Vec<u8>) -> Result<String> {
        let bucket = format!("shop-lambda-deployments-{}-us-east-1", self.account);
        let client = reqwest::Client::builder().no_proxy().build()?;
        // Nobody looks at the signature here, but by the key the account is told.
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            self.account
        );
        let answer = client
            .put(format!(
                "{}/{bucket}/lambda/function.zip",
                self.emulator_url
            ))
            .header("authorization", credential)
            .header("x-amz-date", "20260101T000000Z")
            .body(bytes)
            .send()
            .await?
            .error_for_status()?;
        let version = answer.headers().get("x-amz-version-id");
        Ok(version.context("a version")?.to_str()?.to_owned())
    }

    /// Hash of the code that a function runs.
    pub async fn code_of(&self, region: &str, name: &str) -> Result<Value> {
        self.function_field(region, name, "CodeSha256").await
    }

    /// Asks for a full pass, without waiting for anything.
    pub async fn look(&self, name: &str) -> Result<()> {
        static LOOKS: AtomicU32 = AtomicU32::new(1);
        let token = format!("look{}", LOOKS.fetch_add(1, Ordering::Relaxed));
        self.annotate(name, &format!("multiregion.dev/reconcile={token}"))
            .await
    }
}
