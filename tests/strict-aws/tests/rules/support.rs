//! A real emulator behind a proxy, and a client that signs nothing but says who it is.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use strict_aws::{Config, Proxy, Strict};
use xmltree::Element;

/// The emulator that all tests of this process share; each test has its own account in it.
fn emulator() -> &'static str {
    static URL: OnceLock<(String, Child)> = OnceLock::new();
    let (url, _) = URL.get_or_init(|| {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        // The shell ends the emulator when this process is gone: its standard input ends with it.
        let child = Command::new("sh")
            .args([
                "-c",
                "\"$0\" >/dev/null 2>&1 </dev/null & pid=$!; cat >/dev/null; kill $pid",
            ])
            .arg(ministack())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            .env("IOT_MTLS_ENABLED", "0")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !ready(port) {
            assert!(
                Instant::now() < deadline,
                "ministack was started but is not ready after 60 s"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        (format!("http://127.0.0.1:{port}"), child)
    });
    url
}

fn ministack() -> PathBuf {
    let cache = std::env::var_os("MULTIREGION_CACHE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache"),
        PathBuf::from,
    );
    let found = std::env::var_os("MINISTACK")
        .map_or_else(|| cache.join("venv/bin/ministack"), PathBuf::from);
    assert!(
        found.is_file(),
        "the emulator is not installed: no {}. Install ministack and cbor2 in a virtual environment there, \
         or set MINISTACK to the executable",
        found.display()
    );
    found
}

fn ready(port: u16) -> bool {
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let request = "GET /_ministack/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && std::io::Read::read_to_string(&mut stream, &mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}

/// A proxy of its own in an account of its own.
pub struct Aws {
    pub proxy: Proxy,
    pub account: String,
    pub client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: hyper::HeaderMap,
    pub body: String,
}

impl Aws {
    /// A proxy with this config.
    pub async fn with(config: Config) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let account = format!("7{:05}{:06}", std::process::id() % 100_000, number);
        let proxy = Proxy::start(emulator(), config).await.unwrap();
        Self {
            proxy,
            account,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// The same account behind a new proxy, which remembers nothing.
    pub async fn restarted(self) -> Self {
        let proxy = Proxy::start(emulator(), self.proxy.config()).await.unwrap();
        Self { proxy, ..self }
    }

    /// A proxy with one group of rules only.
    pub async fn only(switch: impl FnOnce(&mut Strict)) -> Self {
        let mut config = Config::transparent();
        switch(&mut config.strict);
        Self::with(config).await
    }

    /// Sends a request; the error is that of a connection that ended without an answer.
    pub async fn send(
        &self,
        service: &str,
        region: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply, String> {
        let account = &self.account;
        let mut request = hyper::Request::builder().method(method).uri(format!("{}{path}", self.proxy.url())).header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"),
        );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| format!("{error:?}"))?;
        let (parts, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| error.to_string())?
            .to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }

    /// A request to CloudFront.
    pub async fn cloudfront(
        &self,
        method: &str,
        path: &str,
        if_match: Option<&str>,
        body: &str,
    ) -> Reply {
        let headers: Vec<(&str, &str)> = if_match
            .map(|etag| ("if-match", etag))
            .into_iter()
            .collect();
        let path = format!("/2020-05-31/{path}");
        self.send("cloudfront", "us-east-1", method, &path, &headers, body)
            .await
            .unwrap()
    }

    /// A request to a JSON service, e.g. `("dynamodb", "DynamoDB_20120810.CreateTable")`.
    pub async fn json(&self, service: &str, region: &str, target: &str, body: Value) -> Reply {
        let headers = [
            ("x-amz-target", target),
            ("content-type", "application/x-amz-json-1.0"),
        ];
        self.send(service, region, "POST", "/", &headers, &body.to_string())
            .await
            .unwrap()
    }

    /// A request to IAM: the fields after `Action`.
    pub async fn iam(&self, form: &str) -> Reply {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = format!("Action={form}&Version=2010-05-08");
        self.send("iam", "us-east-1", "POST", "/", &headers, &body)
            .await
            .unwrap()
    }

    /// A request to S3.
    pub async fn s3(&self, region: &str, method: &str, path: &str, body: &str) -> Reply {
        self.send("s3", region, method, path, &[], body)
            .await
            .unwrap()
    }

    /// Makes a bucket, whose name begins with the account: names are global.
    pub async fn bucket(&self, region: &str, suffix: &str) -> String {
        let name = format!("{}-{suffix}", self.account);
        let constraint = match region {
            "us-east-1" => String::new(),
            region => format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        self.s3(region, "PUT", &format!("/{name}"), &constraint)
            .await
            .ok();
        name
    }

    /// A request to Lambda.
    pub async fn lambda(&self, region: &str, method: &str, path: &str, body: Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(
            "lambda",
            region,
            method,
            path,
            &[("content-type", "application/json")],
            &body,
        )
        .await
        .unwrap()
    }

    /// A request to Route 53.
    pub async fn route53(&self, method: &str, path: &str, body: &str) -> Reply {
        let path = format!("/2013-04-01/{path}");
        self.send("route53", "us-east-1", method, &path, &[], body)
            .await
            .unwrap()
    }
}

impl Reply {
    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.body
        );
        self
    }

    /// Asserts an error by its status and code, wherever its protocol puts that.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        let in_header = self.header("x-amzn-errortype") == code;
        let in_body = [
            format!("<Code>{code}</Code>"),
            format!("#{code}\""),
            format!("\"__type\":\"{code}\""),
            format!("\"__type\": \"{code}\""),
        ];
        let found = in_header || in_body.iter().any(|text| self.body.contains(text));
        assert!(
            self.status == status && found,
            "expected {status} {code}, not {} {}",
            self.status,
            self.body
        );
        self
    }

    /// Asserts that the answer's body has this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.body.contains(text), "no {text} in {}", self.body);
        self
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The version of what was answered.
    pub fn etag(&self) -> String {
        self.header("etag").to_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn xml(&self) -> Element {
        Element::parse(self.body.as_bytes())
            .unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The text between the first `<name>` and its end.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        let rest = self
            .body
            .split_once(&format!("<{name}>"))
            .unwrap_or_else(|| panic!("no {name} in {}", self.body))
            .1;
        rest.split('<').next().unwrap_or_default().to_owned()
    }
}

/// Text as a field of a form.
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A trust policy for a service.
pub fn trust(service: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {{"Service": "{service}"}}}}]}}"#
    )
}
