//! The emulator, an account of a test's own in it, and an edge before it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edge::Edge;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use testbed::Emulator;
use xmltree::Element;

use crate::config::Config;
use crate::server::Server;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Reply {
    /// A header's value; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Status, the origin that answered, and the attempts at each origin.
    pub fn told(&self) -> (u16, &str, &str) {
        (
            self.status,
            self.header("x-edge-origin"),
            self.header("x-edge-attempts"),
        )
    }

    /// The text at a path in the XML body.
    pub fn xml(&self, path: &str) -> String {
        let root = Element::parse(self.body.as_bytes()).unwrap();
        let found = path
            .split('/')
            .try_fold(&root, |element, name| element.get_child(name));
        found.unwrap().get_text().unwrap().into_owned()
    }
}

/// An account with an edge.
pub struct World {
    pub edge: Edge,
    pub account: String,
    endpoint: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl World {
    /// An edge that finds these servers, each by the name `<id>.origin.test`.
    pub async fn new(servers: &[(&str, &Server)]) -> Self {
        let endpoint = Emulator::shared().await.unwrap().url();
        Self::at(&endpoint, servers).await
    }

    /// The same, with the API at an endpoint: that of a proxy.
    pub async fn at(endpoint: &str, servers: &[(&str, &Server)]) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let account = format!("8{:05}{number:06}", std::process::id() % 100_000);
        let hosts: BTreeMap<String, SocketAddr> = servers
            .iter()
            .map(|(id, server)| (format!("{id}.origin.test"), server.address))
            .collect();
        let config = edge::Config {
            refresh: Duration::ZERO,
            hosts,
            ..edge::Config::new(endpoint, &account)
        };
        Self {
            edge: Edge::start(config).await.unwrap(),
            account,
            endpoint: endpoint.to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    async fn send(&self, request: hyper::http::request::Builder, body: impl Into<Bytes>) -> Reply {
        let request = request.body(Full::new(body.into())).unwrap();
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    /// A request to the API.
    pub async fn api(
        &self,
        service: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        // The stores' API is of no region.
        let region = if service == "cloudfront-keyvaluestore" {
            "*"
        } else {
            "us-east-1"
        };
        let credential = format!("{}/20260101/{region}/{service}/aws4_request", self.account);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint))
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
                ),
            );
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = self.send(request, body).await;
        assert!(reply.status < 300, "{method} {path}: {reply:?}");
        reply
    }

    /// A request to CloudFront.
    pub async fn cloudfront(&self, method: &str, path: &str, etag: &str, body: &str) -> Reply {
        let path = format!("/2020-05-31/{path}");
        self.api(
            "cloudfront",
            method,
            &path,
            &[("if-match", etag)],
            body.to_owned(),
        )
        .await
    }

    /// Makes a distribution.
    pub async fn distribution(&self, config: &Config) -> Distribution {
        let reply = self
            .cloudfront("POST", "distribution", "", &config.xml())
            .await;
        Distribution {
            id: reply.xml("Id"),
            arn: reply.xml("ARN"),
            host: reply.xml("DomainName"),
        }
    }

    /// Changes a distribution.
    pub async fn update(&self, distribution: &Distribution, config: &Config) {
        let path = format!("distribution/{}/config", distribution.id);
        let etag = self
            .cloudfront("GET", &path, "", "")
            .await
            .header("etag")
            .to_owned();
        self.cloudfront("PUT", &path, &etag, &config.xml()).await;
    }

    /// Makes an origin access control for `lambda` or `s3`.
    pub async fn access_control(&self, kind: &str) -> String {
        let body = format!(
            "<OriginAccessControlConfig><Name>{kind}</Name><SigningProtocol>sigv4</SigningProtocol>\
             <SigningBehavior>always</SigningBehavior><OriginAccessControlOriginType>{kind}\
             </OriginAccessControlOriginType></OriginAccessControlConfig>"
        );
        self.cloudfront("POST", "origin-access-control", "", &body)
            .await
            .xml("Id")
    }

    /// A request of a viewer's, over HTTPS.
    pub async fn ask(
        &self,
        method: &str,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let https = [("x-forwarded-proto", "https")];
        let headers: Vec<(&str, &str)> = https.iter().chain(headers).copied().collect();
        self.ask_plainly(method, host, path, &headers, body).await
    }

    /// A GET of a viewer's, over HTTPS.
    pub async fn get(&self, distribution: &Distribution, path: &str) -> Reply {
        self.ask("GET", &distribution.host, path, &[], "").await
    }

    /// A request of a viewer's, over HTTP.
    pub async fn ask_plainly(
        &self,
        method: &str,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.edge.url()))
            .header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request, body.to_owned()).await
    }

    /// Makes a Lambda function with a URL, and gives the URL's host.
    pub async fn lambda(&self, name: &str, code: &str) -> String {
        let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        archive
            .start_file("index.js", zip::write::SimpleFileOptions::default())
            .unwrap();
        std::io::Write::write_all(&mut archive, code.as_bytes()).unwrap();
        let archive = archive.finish().unwrap().into_inner();
        let function = json!({
            "FunctionName": name, "Runtime": "nodejs24.x", "Handler": "index.handler",
            "Role": format!("arn:aws:iam::{}:role/edge", self.account),
            "Code": {"ZipFile": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, archive)},
        });
        self.lambda_api("/2015-03-31/functions", function).await;
        let path = format!("/2021-10-31/functions/{name}/url");
        let url = self.lambda_api(&path, json!({"AuthType": "AWS_IAM"})).await;
        let url = url["FunctionUrl"].as_str().unwrap();
        url.trim_start_matches("https://")
            .trim_end_matches('/')
            .to_owned()
    }

    /// Admits a distribution to a function, or to a part of what it needs.
    pub async fn permit(&self, name: &str, action: &str, source: &str) {
        let mut permission = json!({
            "StatementId": action.replace(':', "-"), "Action": action,
            "Principal": "cloudfront.amazonaws.com", "SourceArn": source,
        });
        match action {
            "lambda:InvokeFunctionUrl" => permission["FunctionUrlAuthType"] = json!("AWS_IAM"),
            _ => permission["InvokedViaFunctionUrl"] = json!(true),
        }
        let path = format!("/2015-03-31/functions/{name}/policy");
        self.lambda_api(&path, permission).await;
    }

    async fn lambda_api(&self, path: &str, body: Value) -> Value {
        let json = [("content-type", "application/json")];
        let reply = self
            .api("lambda", "POST", path, &json, body.to_string())
            .await;
        serde_json::from_str(&reply.body).unwrap()
    }

    /// Publishes a CloudFront Function, with the KeyValueStore that it reads, and gives its ARN.
    pub async fn function(&self, name: &str, store: &str, code: &str) -> String {
        let stores = match store {
            "" => crate::config::list(&[]),
            arn => crate::config::list(&[format!(
                "<KeyValueStoreAssociation><KeyValueStoreARN>{arn}</KeyValueStoreARN></KeyValueStoreAssociation>"
            )]),
        };
        let code = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, code);
        let body = format!(
            "<CreateFunctionRequest xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Name>{name}</Name>\
             <FunctionConfig><Comment>edge</Comment><Runtime>cloudfront-js-2.0</Runtime>\
             <KeyValueStoreAssociations>{stores}</KeyValueStoreAssociations></FunctionConfig>\
             <FunctionCode>{code}</FunctionCode></CreateFunctionRequest>"
        );
        let made = self.cloudfront("POST", "function", "", &body).await;
        let path = format!("function/{name}/publish");
        self.cloudfront("POST", &path, made.header("etag"), "")
            .await;
        made.xml("FunctionMetadata/FunctionARN")
    }

    /// Makes a KeyValueStore and gives its ARN.
    pub async fn store(&self, name: &str) -> String {
        let body = format!(
            "<CreateKeyValueStoreRequest xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Name>{name}</Name>\
             </CreateKeyValueStoreRequest>"
        );
        self.cloudfront("POST", "key-value-store", "", &body)
            .await
            .xml("ARN")
    }

    /// Puts a key into a store.
    pub async fn put(&self, store: &str, key: &str, value: &str) {
        let store = store.replace(':', "%3A").replace('/', "%2F");
        let path = format!("/key-value-stores/{store}");
        let service = "cloudfront-keyvaluestore";
        let etag = self
            .api(service, "GET", &path, &[], "")
            .await
            .header("etag")
            .to_owned();
        let headers = [
            ("if-match", etag.as_str()),
            ("content-type", "application/json"),
        ];
        let body = json!({ "Value": value }).to_string();
        self.api(
            service,
            "PUT",
            &format!("{path}/keys/{key}"),
            &headers,
            body,
        )
        .await;
    }
}

/// A distribution that was made.
pub struct Distribution {
    pub id: String,
    pub arn: String,
    pub host: String,
}
