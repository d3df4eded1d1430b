//! Canned AWS answers for the kinds' unit tests: AWS's own shapes, which no emulator sends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use crate::aws::tags::OwnerKey;
use crate::aws::{Aws, Pass};

/// The account that [`Script`] says the credentials are of.
pub const ACCOUNT: &str = "123456789012";

/// A request as the kind sent it.
#[derive(Clone, PartialEq, Debug)]
pub struct Asked {
    /// As in `GET`.
    pub method: String,
    /// Host, by which the region is known.
    pub host: String,
    /// Path without the query, as it was sent.
    pub path: String,
    /// Query without its `?`; empty where there is none.
    pub query: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body as text.
    pub body: String,
}

impl Asked {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The operation of a JSON service, as in `DescribeTable`.
    pub fn target(&self) -> &str {
        let target = self.header("x-amz-target");
        target.rsplit('.').next().unwrap_or_default()
    }

    /// Whether the query has the parameter `name`, as S3's subresources are asked for.
    pub fn has(&self, name: &str) -> bool {
        self.query
            .split('&')
            .any(|pair| pair.split('=').next() == Some(name))
    }
}

/// An answer of AWS's.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    /// Status and body.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// An error as CloudFront and Route 53 word it.
    pub fn enveloped_error(status: u16, code: &str, message: &str) -> Self {
        let error = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             </ErrorResponse>"
        );
        Self::new(status, error)
    }

    /// An error as S3 words it.
    pub fn xml_error(status: u16, code: &str, message: &str) -> Self {
        // The other XML services put it into an envelope.
        let error = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self::new(status, error)
    }

    /// An error as the JSON services word it.
    pub fn json_error(code: &str, message: &str) -> Self {
        let body =
            serde_json::json!({"__type": format!("com.amazonaws#{code}"), "message": message});
        Self::new(400, body.to_string()).header("x-amzn-errortype", code)
    }
}

impl<B: Into<String>> From<(u16, B)> for Answer {
    fn from((status, body): (u16, B)) -> Self {
        Self::new(status, body)
    }
}

/// What was asked, in order; shared with the pass that it was made with.
pub type Asks = Arc<Mutex<Vec<Asked>>>;

/// A pass, reading every facet, whose calls `answer` answers. GetCallerIdentity is answered already.
pub fn pass_answering<A: Into<Answer>>(
    answer: impl Fn(&Asked) -> A + Send + Sync + 'static,
) -> Pass {
    recording(true, answer).0
}

/// The same, on request without the facets that are read now and then, and with a list of what was asked.
pub fn recording<A: Into<Answer>>(
    every_facet: bool,
    answer: impl Fn(&Asked) -> A + Send + Sync + 'static,
) -> (Pass, Asks) {
    with_retries(RetryConfig::disabled(), every_facet, answer)
}

/// The same, with the SDK's retries.
pub fn retrying<A: Into<Answer>>(
    answer: impl Fn(&Asked) -> A + Send + Sync + 'static,
) -> (Pass, Asks) {
    let soon = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    with_retries(soon, true, answer)
}

fn with_retries<A: Into<Answer>>(
    retries: RetryConfig,
    every_facet: bool,
    answer: impl Fn(&Asked) -> A + Send + Sync + 'static,
) -> (Pass, Asks) {
    let asks = Asks::default();
    let log = asks.clone();
    let canned = SharedHttpConnector::new(Canned(move |request: http::Request<SdkBody>| {
        let asked = read(&request);
        let answer = if asked.body.contains("Action=GetCallerIdentity") {
            caller_identity()
        } else {
            let given = answer(&asked).into();
            log.lock().expect("no test panics with it").push(asked);
            given
        };
        let mut response = http::Response::builder().status(answer.status);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        response
            .body(SdkBody::from(answer.body))
            .expect("a test's answer is a valid one")
    }));
    let client = http_client_fn(move |_, _| canned.clone());
    let base = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "AKIDEXAMPLE",
            "secret",
            None,
            None,
            "test",
        )))
        .retry_config(retries)
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .http_client(client)
        .build();
    let aws = Arc::new(Aws::new(base, Arc::new(|_| ())));
    (Pass::new(aws, owner(), every_facet), asks)
}

/// Answers from a closure. The SDK has such a connector too, but behind a feature that would have all of its crates
/// compiled twice, for the tests and for the program.
struct Canned<F>(F);

impl<F> std::fmt::Debug for Canned<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Canned")
    }
}

impl<F> HttpConnector for Canned<F>
where
    F: Fn(http::Request<SdkBody>) -> http::Response<SdkBody> + Send + Sync,
{
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = request
            .try_into_http1x()
            .map_err(|error| ConnectorError::other(Box::new(error), None))
            .and_then(|request| {
                HttpResponse::try_from((self.0)(request))
                    .map_err(|error| ConnectorError::other(Box::new(error), None))
            });
        HttpConnectorFuture::ready(answer)
    }
}

/// The owner on whose behalf the passes act.
pub fn owner() -> OwnerKey {
    OwnerKey {
        cluster: "c1".into(),
        namespace: "web".into(),
        name: "shop".into(),
    }
}

fn read(request: &http::Request<SdkBody>) -> Asked {
    let uri = request.uri();
    Asked {
        method: request.method().to_string(),
        host: uri.host().unwrap_or_default().to_owned(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    value.to_str().unwrap_or_default().to_owned(),
                )
            })
            .collect(),
        body: String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned(),
    }
}

fn caller_identity() -> Answer {
    Answer::new(
        200,
        format!(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Account>{ACCOUNT}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        ),
    )
}

#[tokio::test]
async fn answers_go_out_and_requests_come_in() {
    let (pass, asks) = recording(true, |asked| match asked.target() {
        "DescribeTable" => Answer::json_error("ResourceNotFoundException", "no such table"),
        _ if asked.has("tagging") => Answer::xml_error(404, "NoSuchTagSet", "none"),
        _ => Answer::new(200, "").header("x-amz-version-id", "v1"),
    });
    let clients = pass.clients("eu-west-1");
    let describe = clients.dynamodb.describe_table().table_name("t").send();
    let failure = pass
        .call("dynamodb", "DescribeTable", "eu-west-1", describe)
        .await
        .expect_err("it was answered so");
    assert_eq!(failure.code, "ResourceNotFoundException");
    let tags = clients.s3.get_bucket_tagging().bucket("shop-static").send();
    let failure = pass
        .call("s3", "GetBucketTagging", "eu-west-1", tags)
        .await
        .expect_err("it was answered so");
    assert_eq!(failure.code, "NoSuchTagSet");
    let tagging = asks.lock().expect("no test panics with it")[1].clone();
    assert_eq!(tagging.host, "shop-static.s3.eu-west-1.amazonaws.com");
    let pass = pass_answering(|_| (500, ""));
    let account = pass.aws().account(&pass, "eu-west-1").await;
    assert_eq!(account.as_deref(), Ok(ACCOUNT));
    assert_eq!(pass.owner(), &owner());
}
