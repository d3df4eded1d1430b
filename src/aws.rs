//! AWS: clients per region, one door for every call, the error table, tags.
//!
//! Every call goes through [`Pass::call`], which keeps the account's rate limits, the region's breaker and the
//! metrics, and turns the SDK's error into a [`Failure`]. No SDK type leaves this module and `resources`.

pub mod accounts;
mod credentials;
pub mod error;
pub mod fence;
pub mod limits;
pub mod shared;
pub mod tags;
pub mod writer;

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_cloudfrontkeyvaluestore::config::endpoint::{
    Endpoint, EndpointFuture, Params, ResolveEndpoint,
};
use aws_sdk_sts::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::Document;
use aws_smithy_types::endpoint::EndpointAuthScheme;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use tokio::sync::OnceCell;
use tracing::Instrument;
use tracing::field::Empty;

use crate::model::{Failure, FailureKind, GLOBAL, Owner};
use accounts::{Role, account_of_role};
use credentials::{AssumedRole, Chain, Kept, Regions};
use fence::Fence;
use limits::{Limit, Limits};
use shared::{LONGEST_MEMORY, Read, Readings};
use tags::OwnerKey;

/// Where the control planes of IAM, CloudFront and Route 53 are, and where CloudFront reads certificates.
pub const US_EAST_1: &str = "us-east-1";

/// Metadata of every object that the controller writes.
pub const WRITTEN_BY: &str = "multiregion-written-by";
/// Id of our replication rule, which is also the `RuleId` of its metrics.
pub const REPLICATION_RULE: &str = "multiregion";
/// The object by which the replication lag of the static files is measured; under no path that is served.
pub const HEARTBEAT_OBJECT: &str = ".multiregion/heartbeat";

/// A call takes no longer than this, retries included.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// A region that does not take a connection within this is out of reach.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// What became of one AWS call, for the metrics.
#[derive(Clone, Debug)]
pub struct CallRecord {
    /// Service as IAM spells it.
    pub service: &'static str,
    /// Operation as the API spells it.
    pub operation: &'static str,
    /// Region, or [`GLOBAL`].
    pub region: String,
    /// `None` where it succeeded.
    pub failure: Option<FailureKind>,
    /// Wall time, retries included.
    pub elapsed: Duration,
    /// How long it had to wait for its turn before.
    pub waited: Duration,
}

/// What is recorded for the metrics.
#[derive(Clone, Debug)]
pub enum Record {
    /// A call.
    Call(CallRecord),
    /// A reading that all apps of the account share was asked for.
    Shared {
        /// See [`shared::Read::name`].
        read: &'static str,
        /// Whether it was there already.
        hit: bool,
    },
}

type Recorder = Arc<dyn Fn(&Record) + Send + Sync>;

/// The clients of one region. Those of global services are used in us-east-1 only.
#[expect(
    missing_docs,
    reason = "each field is the client of the service it is named after"
)]
pub struct Clients {
    pub acm: aws_sdk_acm::Client,
    pub cloudfront: aws_sdk_cloudfront::Client,
    pub cloudwatch: aws_sdk_cloudwatch::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
    pub iam: aws_sdk_iam::Client,
    pub key_value_stores: aws_sdk_cloudfrontkeyvaluestore::Client,
    pub lambda: aws_sdk_lambda::Client,
    pub logs: aws_sdk_cloudwatchlogs::Client,
    pub route53: aws_sdk_route53::Client,
    pub s3: aws_sdk_s3::Client,
    pub sts: aws_sdk_sts::Client,
}

impl Clients {
    fn new(base: &SdkConfig, region: &str) -> Self {
        let config = base
            .to_builder()
            .region(Region::new(region.to_owned()))
            .build();
        // An endpoint override (an emulator on an IP address) has no names for buckets to be subdomains of.
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(config.endpoint_url().is_some())
            .build();
        Self {
            acm: aws_sdk_acm::Client::new(&config),
            cloudfront: aws_sdk_cloudfront::Client::new(&config),
            cloudwatch: aws_sdk_cloudwatch::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            key_value_stores: key_value_stores(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            logs: aws_sdk_cloudwatchlogs::Client::new(&config),
            route53: aws_sdk_route53::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sts: aws_sdk_sts::Client::new(&config),
        }
    }
}

/// The data plane of key value stores. By itself it calls the host of the store's account, as in
/// `123456789012.cloudfront-kvs.global.api.aws`, and puts the account before the host of an endpoint override too: an
/// emulator on an IP address has no such name.
fn key_value_stores(config: &SdkConfig) -> aws_sdk_cloudfrontkeyvaluestore::Client {
    let mut builder = aws_sdk_cloudfrontkeyvaluestore::config::Builder::from(config);
    if let Some(url) = config.endpoint_url() {
        builder = builder.endpoint_resolver(AtEndpoint(url.to_owned()));
    }
    aws_sdk_cloudfrontkeyvaluestore::Client::from_conf(builder.build())
}

/// Key value stores at a given endpoint, with the signature for all regions that the service asks for.
#[derive(Debug)]
struct AtEndpoint(String);

impl ResolveEndpoint for AtEndpoint {
    fn resolve_endpoint<'a>(&'a self, _params: &'a Params) -> EndpointFuture<'a> {
        let every_region = vec![Document::from("*".to_owned())];
        let scheme = EndpointAuthScheme::with_capacity("sigv4a", 2)
            .put("signingName", "cloudfront-keyvaluestore".to_owned())
            .put("signingRegionSet", every_region);
        let endpoint = Endpoint::builder()
            .url(self.0.clone())
            .auth_scheme(scheme)
            .build();
        EndpointFuture::ready(Ok(endpoint))
    }
}

/// One AWS account as one identity's credentials see it; shared by all apps that act in it.
///
/// A clone is the same account: with [`Aws::within`] it is that for another leader in the process.
#[derive(Clone)]
pub struct Aws {
    base: SdkConfig,
    clients: Arc<Mutex<HashMap<String, Arc<Clients>>>>,
    limits: Arc<Limits>,
    recorder: Recorder,
    fence: Fence,
    account: Arc<OnceCell<String>>,
    memory: Arc<Mutex<HashMap<String, (Instant, Shared)>>>,
    readings: Arc<Readings>,
}

impl Aws {
    /// Reads credentials, endpoint and so on from the environment's usual chain (`AWS_*`, profiles, IRSA …). Credentials
    /// may come later.
    pub async fn from_environment(recorder: Recorder) -> Self {
        let base = aws_config::defaults(BehaviorVersion::latest())
            .credentials_provider(Kept::new(Chain::default()))
            // They are kept by their provider.
            .identity_cache(IdentityCache::no_cache())
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(3)
                    .with_initial_backoff(Duration::from_millis(200)),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_timeout(CALL_TIMEOUT)
                    .build(),
            )
            .load()
            .await;
        Self::new(base, recorder)
    }

    /// With a configuration made elsewhere; tests give canned answers this way.
    pub fn new(base: SdkConfig, recorder: Recorder) -> Self {
        Self {
            base,
            clients: Arc::default(),
            limits: Arc::default(),
            recorder,
            fence: Fence::default(),
            account: Arc::default(),
            memory: Arc::default(),
            readings: Arc::default(),
        }
    }

    /// The account of `role`, which is assumed with this one's credentials.
    fn assuming(&self, role: &Role, regions: Regions, limits: Arc<Limits>) -> Self {
        let (base, recorder) = (self.base.clone(), self.recorder.clone());
        let assumed = AssumedRole::new(base, role.clone(), regions, recorder);
        let base = self
            .base
            .to_builder()
            .credentials_provider(SharedCredentialsProvider::new(Kept::new(assumed)))
            .identity_cache(IdentityCache::no_cache())
            .build();
        let account = account_of_role(&role.arn).map(str::to_owned);
        Self {
            limits,
            fence: self.fence.clone(),
            account: Arc::new(OnceCell::new_with(account)),
            ..Self::new(base, self.recorder.clone())
        }
    }

    /// Calls are made while `fence` is open, and none after.
    #[must_use]
    pub fn within(self, fence: Fence) -> Self {
        Self { fence, ..self }
    }

    /// Calls are made no faster than `limits` and the defaults beside them say.
    #[must_use]
    pub fn limited(self, limits: &[Limit]) -> Self {
        Self {
            limits: Arc::new(Limits::new(limits)),
            ..self
        }
    }

    /// Tells this account, as this identity, from others in the process.
    pub fn number(&self) -> usize {
        Arc::as_ptr(&self.clients).addr()
    }

    /// What the calls, and whatever else acts on behalf of the apps, are within.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// The clients of `region`; [`GLOBAL`] means us-east-1. They share one connection pool and one credentials cache.
    pub fn clients(&self, region: &str) -> Arc<Clients> {
        let region = if region == GLOBAL { US_EAST_1 } else { region };
        let mut clients = self
            .clients
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        clients
            .entry(region.to_owned())
            .or_insert_with(|| Arc::new(Clients::new(&self.base, region)))
            .clone()
    }

    /// Where all services are, in place of AWS's own endpoints, where the environment says so.
    pub fn endpoint(&self) -> Option<&str> {
        self.base.endpoint_url()
    }

    /// The account's credentials, for requests that the SDK has no client for; cached and refreshed by their provider.
    pub(crate) async fn credentials(&self) -> Result<aws_credential_types::Credentials, String> {
        use aws_credential_types::provider::ProvideCredentials;
        let provider = self
            .base
            .credentials_provider()
            .ok_or_else(|| "no provider of credentials".to_owned())?;
        provider
            .provide_credentials()
            .await
            .map_err(|error| crate::chain(&error))
    }

    /// The account id, which a role's ARN tells; else asked once a process from the regional STS of `region` (the global one is us-east-1's).
    pub async fn account(&self, pass: &Pass, region: &str) -> Result<String, Failure> {
        let ask = || async {
            let clients = self.clients(region);
            let identity = pass
                .call(
                    "sts",
                    "GetCallerIdentity",
                    region,
                    clients.sts.get_caller_identity().send(),
                )
                .await?;
            identity
                .account()
                .map(str::to_owned)
                .ok_or_else(|| Failure {
                    kind: FailureKind::Invalid,
                    operation: "sts:GetCallerIdentity".into(),
                    code: "NoAccount".into(),
                    message: "the answer names no account".into(),
                })
        };
        self.account.get_or_try_init(ask).await.cloned()
    }
}

/// Tells what became of a call, and by which id AWS knows it.
fn tell(span: &tracing::Span, region: &str, request_id: Option<&str>, failure: Option<&Failure>) {
    let outcome = failure.map_or("ok", |failure| failure.kind.word());
    span.record("outcome", outcome);
    span.record("request_id", request_id);
    // The span may be off, and the pass's is to stay.
    span.in_scope(|| match failure {
        None => tracing::debug!(request_id, "AWS did it"),
        Some(failure) => {
            use FailureKind::{Conflict, NotFound, NotYet};
            // Part of the usual course, or never seen by AWS.
            let usual =
                matches!(failure.kind, NotFound | Conflict | NotYet) || request_id.is_none();
            if failure.kind != NotFound {
                span.record("otel.status_code", "ERROR");
            }
            let Failure {
                operation, code, ..
            } = failure;
            if usual {
                tracing::debug!(
                    operation,
                    region,
                    code,
                    outcome,
                    request_id,
                    "AWS did not do it"
                );
            } else {
                tracing::info!(operation, region, code, outcome, request_id, "AWS refused");
            }
        }
    });
}

/// What outlives a pass. Only for what does not change, and for what costs nothing but a call if it is lost.
impl Aws {
    /// Keeps `value` under `key`, for an hour at most.
    pub fn remember<T: Send + Sync + 'static>(&self, key: String, value: T) {
        let mut memory = self.memory();
        memory.retain(|_, (since, _)| since.elapsed() < LONGEST_MEMORY);
        memory.insert(key, (Instant::now(), Arc::new(value)));
    }

    /// What is kept under `key`, unless it is older than `within`.
    pub fn recall<T: Send + Sync + 'static>(&self, key: &str, within: Duration) -> Option<Arc<T>> {
        let (since, value) = self.memory().get(key).cloned()?;
        (since.elapsed() < within)
            .then(|| value.downcast().ok())
            .flatten()
    }

    /// Drops everything whose key begins with `prefix`.
    pub fn disremember(&self, prefix: &str) {
        self.memory().retain(|key, _| !key.starts_with(prefix));
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Shared)>> {
        self.memory
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What one pass over one app shares: the breaker, the lists already fetched, who the owner is.
pub struct Pass {
    aws: Arc<Aws>,
    owner: OwnerKey,
    /// The owner as the account's limits and readings know it.
    app: Arc<str>,
    /// Whether facets that nothing serving depends on are read too.
    every_facet: bool,
    /// Whether what others have read a moment ago is believed.
    believing: bool,
    started: Instant,
    /// When the oldest of what was believed was read.
    oldest: Mutex<Instant>,
    open_breakers: Mutex<HashSet<(String, &'static str)>>,
    shared: tokio::sync::Mutex<HashMap<String, Arc<Fetch>>>,
}

type Shared = Arc<dyn Any + Send + Sync>;
/// A fetch that all who ask for it wait on, and its answer.
type Fetch = OnceCell<Result<Shared, Failure>>;

impl Pass {
    /// A pass for the app of `owner`. Without `every_facet` the reads that nothing serving depends on are left out.
    pub fn new(aws: Arc<Aws>, owner: OwnerKey, every_facet: bool) -> Self {
        let started = Instant::now();
        Self {
            aws,
            app: owner.to_string().into(),
            owner,
            every_facet,
            believing: false,
            started,
            oldest: Mutex::new(started),
            open_breakers: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
        }
    }

    /// A pass that believes what was read of the account for other apps a moment ago. It may look whether anything
    /// differs, and must not change it: that takes a pass that has read all of it itself.
    #[must_use]
    pub fn believing(mut self) -> Self {
        self.believing = true;
        self
    }

    /// Whether it is such a pass.
    pub fn believes(&self) -> bool {
        self.believing
    }

    /// Since when nothing of what this pass has seen was read again.
    pub fn seen_since(&self) -> Instant {
        *self
            .oldest
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The account of this pass.
    pub fn aws(&self) -> &Arc<Aws> {
        &self.aws
    }

    /// The clients of `region`.
    pub fn clients(&self, region: &str) -> Arc<Clients> {
        self.aws.clients(region)
    }

    /// The owner on whose behalf this pass acts.
    pub fn owner(&self) -> &OwnerKey {
        &self.owner
    }

    /// Whose a resource with these tags is.
    pub fn owner_by_tags<'a>(&self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Owner {
        self.owner.of_tags(tags)
    }

    /// Whether to read lifecycle, encryption, ownership controls, tags and the like this time.
    pub fn every_facet(&self) -> bool {
        self.every_facet
    }

    /// Makes one call: waits for the account's rate limit, refuses at once where the breaker of `region` × `service`
    /// is open, stands still where the fence is shut, records the outcome, classifies the error.
    pub(crate) async fn call<T, E>(
        &self,
        service: &'static str,
        operation: &'static str,
        region: &str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        T: RequestId,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let breaker = (region.to_owned(), service);
        if self.breakers().contains(&breaker) {
            return Err(Failure {
                kind: FailureKind::Unreachable,
                operation: format!("{service}:{operation}"),
                code: "Unreachable".into(),
                message: format!(
                    "{service} in {region} did not take a connection earlier in this pass"
                ),
            });
        }
        let asked = Instant::now();
        let limits = &self.aws.limits;
        limits.wait(service, operation, region, &self.app).await;
        let started = Instant::now();
        let span = tracing::debug_span!(
            "aws",
            service,
            operation,
            region,
            outcome = Empty,
            request_id = Empty,
            otel.name = format!("{service}:{operation}"),
            otel.kind = "client",
            otel.status_code = Empty,
        );
        // Also between the SDK's retries.
        let answer = self.aws.fence.hold(call.instrument(span.clone())).await;
        let request_id = answer.request_id().map(str::to_owned);
        let answer = answer.map_err(|error| error::classify(service, operation, &error));
        tell(&span, region, request_id.as_deref(), answer.as_ref().err());
        let failure = answer.as_ref().err().map(|failure| failure.kind);
        (self.aws.recorder)(&Record::Call(CallRecord {
            service,
            operation,
            region: region.to_owned(),
            failure,
            elapsed: started.elapsed(),
            waited: started.duration_since(asked),
        }));
        match &answer {
            Err(failure) if failure.kind == FailureKind::Unreachable => {
                self.breakers().insert(breaker);
            }
            Err(failure) if failure.kind == FailureKind::Throttled => {
                // What one table's own capacity does not hold is no reason to slow down for the others.
                if failure.code != "ProvisionedThroughputExceededException" {
                    limits.throttled(service, operation, region, started);
                }
            }
            _ => limits.taken(service, operation, region),
        }
        answer
    }

    /// What `fetch` yields, fetched once a pass however many resources ask; `key` is the operation and its arguments.
    ///
    /// Only for lists and documents that several resources read. A write that changes one calls [`Pass::forget`].
    pub async fn once<T, F>(&self, key: &str, fetch: F) -> Result<Arc<T>, Failure>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, Failure>>,
    {
        let cell = self
            .shared
            .lock()
            .await
            .entry(key.to_owned())
            .or_default()
            .clone();
        let shared = cell
            .get_or_init(|| async { fetch.await.map(|value| Arc::new(value) as Shared) })
            .await
            .clone()?;
        Ok(shared
            .downcast::<T>()
            .expect("a key is always used with one type"))
    }

    /// Drops what [`Pass::once`] holds for `key`, after a write that changes it.
    pub async fn forget(&self, key: &str) {
        self.shared.lock().await.remove(key);
    }

    /// What `fetch` yields, fetched once for all apps of the account: a reading of `of`, which tells one of its name from
    /// another. A pass that believes takes one that still serves, any other one that was begun after the pass was.
    ///
    /// A write that changes it calls [`Pass::changed`].
    pub async fn shared<T, F>(&self, read: &Read, of: &str, fetch: F) -> Result<Arc<T>, Failure>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, Failure>>,
    {
        let not_before = self.started.checked_sub(read.serves);
        let not_before = not_before
            .filter(|_| self.believing)
            .unwrap_or(self.started);
        // What the SDK has to be fetched is large, and would be so on the stack of all who wait.
        let fetch = Box::pin(fetch);
        let answer = self
            .aws
            .readings
            .read(&reading_key(read, of), not_before, fetch)
            .await?;
        (self.aws.recorder)(&Record::Shared {
            read: read.name,
            hit: answer.hit,
        });
        let mut oldest = self
            .oldest
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *oldest = answer.since.min(*oldest);
        Ok(answer.value)
    }

    /// As [`Pass::shared`], for a list that stands for single calls of the apps: `None` where those are to be made. So it
    /// is where the pass believes nothing but what it reads itself, where the list has more pages than it is worth, and
    /// where it is refused. `fetch` is given the most pages to read, and yields `None` if there are more.
    pub async fn listed<T, F>(
        &self,
        read: &Read,
        of: &str,
        fetch: impl FnOnce(usize) -> F + Send,
    ) -> Result<Option<Arc<T>>, Failure>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<Option<T>, Failure>> + Send,
    {
        if !self.believing {
            return Ok(None);
        }
        let (key, readings) = (reading_key(read, of), &self.aws.readings);
        let Some(pages) = readings.worth(read, &key, &self.app) else {
            return Ok(None);
        };
        let fetch = Box::pin(fetch(pages));
        let fetch = async { fetch.await.map(|all| all.map(Arc::new)) };
        match self.shared::<Option<Arc<T>>, _>(read, of, fetch).await {
            Ok(all) => {
                if all.is_none() {
                    readings.is_beyond(&key, pages);
                }
                Ok(Option::clone(&all))
            }
            Err(failure) if shared::is_refusal(&failure) => {
                tracing::info!(%failure, "a list is refused, and read in parts");
                readings.is_beyond(&key, usize::MAX);
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Drops what [`Pass::shared`] and [`Pass::listed`] hold, after a write that changes it.
    pub fn changed(&self, read: &Read, of: &str) {
        self.aws.readings.forget(&reading_key(read, of));
    }

    fn breakers(&self) -> std::sync::MutexGuard<'_, HashSet<(String, &'static str)>> {
        self.open_breakers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn reading_key(read: &Read, of: &str) -> String {
    format!("{} {of}", read.name)
}
