//! The probes themselves: signed requests to the functions' URLs, and one through the distribution.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use rand::Rng;
use reqwest::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::Sample;
use crate::api::WriteProbe;
use crate::aws::{Aws, Pass};
use crate::model::{Failure, FailureKind, Side, Writer};

/// How the probes name themselves; the placeholder does not count them.
pub const USER_AGENT: &str = "multiregion-probe";
/// Part of every cache key, so that no cache answers a probe.
const NONCE: &str = "multiregion-probe";
/// A connection takes no longer than this, or it is none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Sends probes. They share one pool of connections.
pub struct Prober {
    http: reqwest::Client,
    /// Where all services are, in place of AWS's own endpoints.
    endpoint: Option<String>,
    /// Where distributions are served, in place of their own names; for tests.
    edge: Option<String>,
}

/// What a probe brought: a sample, or the reason why there is none.
pub type Probed = Result<Sample, String>;

impl Prober {
    /// To where `aws` is called. `edge` is the address of a local edge, where there is one.
    pub fn new(aws: &Aws, edge: Option<String>) -> reqwest::Result<Self> {
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(60))
            .build()?;
        let endpoint = aws.endpoint().map(str::to_owned);
        Ok(Self {
            http,
            endpoint,
            edge,
        })
    }

    /// Whether a distribution can be reached at all: an emulated AWS has none without an edge of its own.
    pub fn has_edge(&self) -> bool {
        self.edge.is_some() || self.endpoint.is_none()
    }

    /// Asks the function at `url` in `region` for `path`, signed as `aws` is called.
    pub async fn function(
        &self,
        aws: &Aws,
        region: &str,
        url: &str,
        path: &str,
        timeout: Duration,
    ) -> Probed {
        let host = host_of(url);
        let path = with_nonce(path);
        let mut headers = signed(aws, region, &host, &path).await?;
        let base = match &self.endpoint {
            Some(endpoint) => {
                headers.insert(HOST, header(&host)?);
                endpoint.trim_end_matches('/').to_owned()
            }
            None => format!("https://{host}"),
        };
        let request = self.http.get(format!("{base}{path}")).headers(headers);
        let answer = match request.timeout(timeout).send().await {
            Ok(answer) => answer,
            Err(error) => return Ok(lost(&error, timeout)),
        };
        if answer.status() == reqwest::StatusCode::FORBIDDEN
            && named(&answer, "x-amzn-errortype").contains("AccessDenied")
        {
            return Err(format!(
                "lambda:InvokeFunctionUrl on {host} is denied to the controller"
            ));
        }
        Ok(sample(answer.status().as_u16()))
    }

    /// Asks for `path` at `domain`, the distribution's own name.
    pub async fn through_the_edge(&self, domain: &str, path: &str, timeout: Duration) -> Sample {
        let path = with_nonce(path);
        match self
            .viewer(reqwest::Method::GET, domain, &path, timeout)
            .send()
            .await
        {
            Ok(answer) => sample(answer.status().as_u16()),
            Err(error) => lost(&error, timeout),
        }
    }

    /// The writer that the edge knows, by its own answer at `path`; else why there is none.
    pub async fn writer_at_the_edge(
        &self,
        domain: &str,
        path: &str,
        timeout: Duration,
    ) -> Result<Writer, String> {
        #[derive(serde::Deserialize)]
        struct Report {
            writer: Side,
            epoch: u64,
        }
        let asked = self.viewer(reqwest::Method::GET, domain, path, timeout);
        let lost = |error: reqwest::Error| why(&error, timeout);
        let answer = asked.send().await.map_err(lost)?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(format!("status {status}"));
        }
        let body = answer.bytes().await.map_err(lost)?;
        serde_json::from_slice::<Report>(&body)
            .map(
                |Report {
                     writer: side,
                     epoch,
                 }| Writer { side, epoch },
            )
            .map_err(|_| "an answer that names no writer".into())
    }

    /// Sends the declared write through the distribution; else what became of it instead.
    ///
    /// CloudFront signs the request to a function's URL over the hash that the viewer names, so that goes along.
    pub async fn write(
        &self,
        domain: &str,
        probe: &WriteProbe,
        timeout: Duration,
    ) -> Result<(), String> {
        let method = reqwest::Method::from_bytes(probe.method.as_str().as_bytes())
            .map_err(|error| error.to_string())?;
        let hash = hex::encode(Sha256::digest(probe.body.as_bytes()));
        let asked = self
            .viewer(method, domain, &probe.path, timeout)
            .header(CONTENT_TYPE, "application/json")
            .header("x-amz-content-sha256", hash)
            .body(probe.body.clone());
        let answer = asked.send().await.map_err(|error| why(&error, timeout))?;
        let status = answer.status().as_u16();
        if i32::from(status) == probe.expect_status {
            return Ok(());
        }
        Err(format!(
            "status {status} instead of {}",
            probe.expect_status
        ))
    }

    /// A viewer's request to the distribution.
    pub fn viewer(
        &self,
        method: reqwest::Method,
        domain: &str,
        path: &str,
        timeout: Duration,
    ) -> reqwest::RequestBuilder {
        let request = match &self.edge {
            Some(edge) => self
                .http
                .request(method, format!("{}{path}", edge.trim_end_matches('/')))
                .header(HOST, domain)
                .header("x-forwarded-proto", "https"),
            None => self.http.request(method, format!("https://{domain}{path}")),
        };
        request.timeout(timeout)
    }

    /// Whether the STS of any of `regions` takes a connection: if not even they do, it is not the app that is gone.
    pub async fn others_reachable(&self, pass: &Pass, regions: &[&str]) -> bool {
        for region in regions {
            let clients = pass.clients(region);
            let asked = pass
                .call(
                    "sts",
                    "GetCallerIdentity",
                    region,
                    clients.sts.get_caller_identity().send(),
                )
                .await;
            let lost = |failure: &Failure| {
                matches!(
                    failure.kind,
                    FailureKind::Unreachable | FailureKind::NoCredentials
                ) || failure.code == "ReplyLost"
            };
            if !asked.is_err_and(|failure| lost(&failure)) {
                return true;
            }
        }
        false
    }
}

async fn signed(aws: &Aws, region: &str, host: &str, path: &str) -> Result<HeaderMap, String> {
    let identity = aws.credentials().await?.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("lambda")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?
        .into();
    let address = format!("https://{host}{path}");
    let headers = [("host", host)];
    let request = SignableRequest::new(
        "GET",
        &address,
        headers.into_iter(),
        SignableBody::Bytes(&[]),
    )
    .map_err(|error| error.to_string())?;
    let (instructions, _) = http_request::sign(request, &parameters)
        .map_err(|error| error.to_string())?
        .into_parts();
    let (headers, _) = instructions.into_parts();
    headers
        .into_iter()
        .map(|one| Ok((HeaderName::from_static(one.name()), header(one.value())?)))
        .collect()
}

/// What an answer says of whoever gave it. 429 is what a function at its limit says, and no origin group fails over on it.
fn sample(status: u16) -> Sample {
    match status {
        429 => Sample::Unhealthy("Throttled (429)".into()),
        500.. => Sample::Unhealthy(format!("status {status}")),
        _ => Sample::Healthy,
    }
}

fn with_nonce(path: &str) -> String {
    format!("{path}?{NONCE}={:016x}", rand::rng().random::<u64>())
}

fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_owned()
}

fn header(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|error| error.to_string())
}

fn named<'a>(answer: &'a reqwest::Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Without the address, which has the nonce in it and would make every message another.
fn lost(error: &reqwest::Error, timeout: Duration) -> Sample {
    if error.is_connect() {
        return Sample::Unreachable("no connection".into());
    }
    if error.is_timeout() {
        return Sample::Silent(format!("no answer within {} s", timeout.as_secs()));
    }
    Sample::Silent("the connection was lost".into())
}

/// The same in words.
fn why(error: &reqwest::Error, timeout: Duration) -> String {
    match lost(error, timeout) {
        Sample::Unhealthy(why) | Sample::Silent(why) | Sample::Unreachable(why) => why,
        Sample::Healthy => String::new(),
    }
}
