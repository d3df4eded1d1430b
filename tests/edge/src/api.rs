//! The AWS API as the edge reads it: signed requests over plain HTTP, and nothing that writes.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use xmltree::Element;

/// A read takes no longer than this.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A read whose older answer would do takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where reading failed, older answers do for so long without asking.
const AWAY: Duration = Duration::from_secs(2);

/// Whose requests they are: on an emulator, the access key id is the account.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) account: String,
    pub(crate) secret: String,
}

/// What is signed.
pub(crate) struct Signable<'a> {
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) method: &'a str,
    /// With the host that the signature is for.
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(String, String)],
    /// The body's hash, in hexadecimal.
    pub(crate) payload_hash: &'a str,
}

impl Signer {
    /// The headers that sign a request.
    pub(crate) fn sign(&self, request: &Signable<'_>) -> anyhow::Result<Vec<(String, String)>> {
        let identity = Credentials::new(&self.account, &self.secret, None, None, "edge").into();
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        if request.service == "s3" {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        }
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(request.region)
            .name(request.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let body = SignableBody::Precomputed(request.payload_hash.to_owned());
        let signable = SignableRequest::new(request.method, request.url, headers, body)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        Ok(instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }
}

/// The API at one endpoint.
pub(crate) struct Api {
    authority: String,
    signer: Signer,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The regions that did not answer a moment ago, each until when.
    away: Mutex<HashMap<String, Instant>>,
}

impl Api {
    /// The API at a URL such as `http://127.0.0.1:4566`.
    pub(crate) fn new(endpoint: &str, signer: Signer) -> anyhow::Result<Self> {
        Ok(Self {
            authority: authority(endpoint)?,
            signer,
            client: Client::builder(TokioExecutor::new()).build_http(),
            away: Mutex::default(),
        })
    }

    /// Reads something of a region's that is known from before, and may have changed. An edge does not need the API to serve, so that it is
    /// asked no longer than a viewer may notice, and not at all right after it failed to answer.
    ///
    /// # Errors
    /// If the older answer has to do.
    pub(crate) async fn again<T>(
        &self,
        region: &str,
        read: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        if self
            .away()
            .get(region)
            .is_some_and(|until| Instant::now() < *until)
        {
            bail!("the API of {region} did not answer a moment ago");
        }
        let outcome = match tokio::time::timeout(PATIENCE, read).await {
            Ok(outcome) => outcome,
            Err(_) => Err(anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs())),
        };
        if outcome.is_err() {
            self.away().insert(region.to_owned(), Instant::now() + AWAY);
        }
        outcome
    }

    /// Asks again, though there was no answer a moment ago.
    pub(crate) fn retry(&self) {
        self.away().clear();
    }

    fn away(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose requests these are.
    pub(crate) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// `host:port`, to connect to.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Reads what is at a path; `None` if there is nothing.
    ///
    /// # Errors
    /// If there is no answer, or one that is neither a success nor "not found".
    pub(crate) async fn get(
        &self,
        service: &str,
        region: &str,
        path: &str,
    ) -> anyhow::Result<Option<Response<Bytes>>> {
        let url = format!("http://{}{path}", self.authority);
        let headers = self.signer.sign(&Signable {
            service,
            region,
            method: "GET",
            url: &url,
            headers: &[],
            payload_hash: &crate::origin::sha256(b""),
        })?;
        let mut request = Request::get(url.as_str());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            // S3's policies may ask for TLS, which AWS is always spoken to over.
            .header("x-forwarded-proto", "https")
            .header("user-agent", "edge")
            .body(Full::new(Bytes::new()))?;
        let answered = async {
            let (parts, body) = self.client.request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            anyhow::Ok(Response::from_parts(parts, body))
        };
        let answer = tokio::time::timeout(TIMEOUT, answered)
            .await
            .with_context(|| format!("{path}: no answer within {} s", TIMEOUT.as_secs()))??;
        match answer.status().as_u16() {
            200..=299 => Ok(Some(answer)),
            404 => Ok(None),
            status => bail!(
                "{path}: {status} {}",
                String::from_utf8_lossy(answer.body())
            ),
        }
    }

    /// Reads XML.
    pub(crate) async fn xml(
        &self,
        service: &str,
        region: &str,
        path: &str,
    ) -> anyhow::Result<Option<Element>> {
        let answer = self.get(service, region, path).await?;
        answer
            .map(|answer| {
                Element::parse(answer.body().as_ref()).with_context(|| format!("{path} is no XML"))
            })
            .transpose()
    }

    /// Reads JSON.
    pub(crate) async fn json(
        &self,
        service: &str,
        region: &str,
        path: &str,
    ) -> anyhow::Result<Option<Value>> {
        let answer = self.get(service, region, path).await?;
        answer
            .map(|answer| {
                serde_json::from_slice(answer.body()).with_context(|| format!("{path} is no JSON"))
            })
            .transpose()
    }

    /// Reads something of CloudFront's by the path after the API's version.
    pub(crate) async fn cloudfront(&self, path: &str) -> anyhow::Result<Option<Element>> {
        self.xml("cloudfront", "us-east-1", &format!("/2020-05-31/{path}"))
            .await
    }
}

fn authority(endpoint: &str) -> anyhow::Result<String> {
    let uri: Uri = endpoint.parse()?;
    if uri.scheme_str() != Some("http") {
        bail!("the endpoint must begin with http://, but is {endpoint}");
    }
    let authority = uri
        .authority()
        .with_context(|| format!("no host in {endpoint}"))?;
    let port = authority.port_u16().unwrap_or(80);
    Ok(format!("{}:{port}", authority.host()))
}
