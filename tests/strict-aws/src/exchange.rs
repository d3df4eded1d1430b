//! One call on its way through the proxy: what was asked, the emulator behind, and the proxy's own look-ups there.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use hyper::{HeaderMap, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use xmltree::Element;

use crate::call::Service;
use crate::config::Config;
use crate::refusal::Refusal;
use crate::services::State;
use crate::xml;

/// A request with its whole body.
pub(crate) type Request = hyper::Request<Bytes>;
/// An answer with its whole body.
pub(crate) type Answer = hyper::Response<Bytes>;

/// Why a call has no answer of the emulator's.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A rule refuses it.
    Refused(Refusal),
    /// The emulator did not answer: the caller gets no answer either.
    Unreachable(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

pub(crate) type Outcome<T = Answer> = Result<T, Failure>;

/// The emulator behind the proxy.
pub(crate) struct Upstream {
    client: Client<HttpConnector, Full<Bytes>>,
    authority: String,
}

impl Upstream {
    /// The emulator at a URL such as `http://127.0.0.1:4566`.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse()?;
        anyhow::ensure!(
            uri.scheme_str() == Some("http"),
            "the upstream URL must begin with http://, but is {url}"
        );
        let authority = uri.authority().map(ToString::to_string);
        let authority =
            authority.ok_or_else(|| anyhow::anyhow!("the upstream URL has no host: {url}"))?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            authority,
        })
    }

    /// Sends a request as it is, host and signature included.
    pub(crate) async fn send(&self, request: &Request) -> Outcome {
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let mut forwarded = hyper::Request::builder()
            .method(request.method().clone())
            .uri(format!("http://{}{target}", self.authority))
            .body(Full::new(request.body().clone()))
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        *forwarded.headers_mut() = request.headers().clone();
        // AWS is spoken to over TLS, and policies ask whether it was (`aws:SecureTransport`).
        forwarded
            .headers_mut()
            .insert("x-forwarded-proto", HeaderValue::from_static("https"));
        for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH] {
            forwarded.headers_mut().remove(name);
        }
        let unreachable = |error: &dyn std::error::Error| Failure::Unreachable(format!("{error}"));
        let answer = self
            .client
            .request(forwarded)
            .await
            .map_err(|error| unreachable(&error))?;
        let (mut parts, body) = answer.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| unreachable(&error))?
            .to_bytes();
        for name in [CONNECTION, TRANSFER_ENCODING] {
            parts.headers.remove(name);
        }
        Ok(Answer::from_parts(parts, body))
    }
}

/// A call under way.
pub(crate) struct Exchange<'a> {
    pub(crate) config: Arc<Config>,
    pub(crate) state: &'a State,
    pub(crate) upstream: &'a Upstream,
    pub(crate) request: &'a Request,
    pub(crate) service: Service,
    pub(crate) operation: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    pub(crate) parameters: &'a BTreeMap<String, String>,
}

impl Exchange<'_> {
    /// Passes the call on unchanged.
    pub(crate) async fn forward(&self) -> Outcome {
        self.upstream.send(self.request).await
    }

    /// A name from the path or a field of the form; empty if absent.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    }

    /// A header of the request.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    }

    /// The request's body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(self.request.body()).unwrap_or_default()
    }

    /// The request's body as XML.
    pub(crate) fn xml(&self) -> Outcome<Element> {
        xml::parse(self.request.body()).ok_or_else(|| {
            Refusal::new(
                400,
                "MalformedXML",
                "The XML you provided was not well-formed.",
            )
            .into()
        })
    }

    /// Asks the emulator on the proxy's own account, unseen by the records: as the caller's account's root, whose
    /// requests the emulator does not verify.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Outcome {
        let Question {
            service,
            region,
            method,
            path,
            headers,
            body,
        } = question;
        let (account, name) = (self.account, service.signing_name());
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.upstream.authority)
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{name}/aws4_request, SignedHeaders=host, Signature=0"),
            );
        for (header, value) in headers {
            request = request.header(*header, *value);
        }
        let request = request
            .body(body)
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        self.upstream.send(&request).await
    }

    /// Gets a path of a REST service.
    pub(crate) async fn get(&self, service: Service, region: &str, path: &str) -> Outcome {
        self.ask(Question {
            service,
            region,
            method: "GET",
            path,
            headers: &[],
            body: Bytes::new(),
        })
        .await
    }

    /// Gets an XML document of a REST service; `None` where the emulator answers an error.
    pub(crate) async fn get_xml(
        &self,
        service: Service,
        region: &str,
        path: &str,
    ) -> Outcome<Option<Element>> {
        let answer = self.get(service, region, path).await?;
        Ok(answer
            .status()
            .is_success()
            .then(|| xml::parse(answer.body()))
            .flatten())
    }

    /// Asks a JSON service; `None` where the emulator answers an error.
    pub(crate) async fn ask_json(
        &self,
        service: Service,
        region: &str,
        target: &str,
        body: &Value,
    ) -> Outcome<Option<Value>> {
        let headers = [
            ("x-amz-target", target),
            ("content-type", "application/x-amz-json-1.1"),
        ];
        let body = Bytes::from(body.to_string());
        let answer = self
            .ask(Question {
                service,
                region,
                method: "POST",
                path: "/",
                headers: &headers,
                body,
            })
            .await?;
        Ok(answer
            .status()
            .is_success()
            .then(|| serde_json::from_slice(answer.body()).ok())
            .flatten())
    }

    /// Asks IAM; `None` where the emulator answers an error.
    pub(crate) async fn ask_iam(&self, form: &str) -> Outcome<Option<Element>> {
        let answer = self.ask_iam_raw(form).await?;
        Ok(answer
            .status()
            .is_success()
            .then(|| xml::parse(answer.body()))
            .flatten())
    }

    /// Asks IAM, and gives its whole answer, whatever it is.
    pub(crate) async fn ask_iam_raw(&self, form: &str) -> Outcome {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let body = Bytes::from(format!("{form}&Version=2010-05-08"));
        let (service, region) = (Service::Iam, "us-east-1");
        self.ask(Question {
            service,
            region,
            method: "POST",
            path: "/",
            headers: &headers,
            body,
        })
        .await
    }
}

/// A look-up of the proxy's own.
pub(crate) struct Question<'a> {
    pub(crate) service: Service,
    pub(crate) region: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Bytes,
}

/// Gives an answer another body, and drops what described the old one.
pub(crate) fn with_body(answer: Answer, body: impl Into<Bytes>) -> Answer {
    let (mut parts, _) = answer.into_parts();
    forget_body(&mut parts.headers);
    Answer::from_parts(parts, body.into())
}

/// Cuts a list in JSON to the page that begins at `first`; the token is where the next one begins.
pub(crate) fn page_json(body: &mut Value, list: &str, token: &str, first: usize, size: usize) {
    let Some(items) = body[list].as_array_mut() else {
        return;
    };
    let more = items.len() > first + size;
    *items = items.drain(..).skip(first).take(size).collect();
    if let Some(body) = body.as_object_mut() {
        body.remove(token);
        if more {
            body.insert(token.to_owned(), (first + size).to_string().into());
        }
    }
}

fn forget_body(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    let checksums: Vec<_> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-crc"))
        .cloned()
        .collect();
    for name in checksums {
        headers.remove(name);
    }
}

/// A document of the proxy's own.
pub(crate) fn xml_answer(status: u16, root: &Element) -> Answer {
    let mut answer = Answer::new(Bytes::from(xml::render(root)));
    *answer.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    answer
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("text/xml"));
    answer
        .headers_mut()
        .insert("x-amzn-requestid", HeaderValue::from_static("strict"));
    answer
}
