//! AWS: clients per region, one door for every call, the error table, tags.
//!
//! Every call goes through [`Pass::call`], which keeps the account's rate limits, the region's breaker and the
//! metrics, and turns the SDK's error into a [`Failure`]. No SDK type leaves this module and `resources`.

pub mod accounts;
mod credentials;
pub mod error;
pub mod fence;
pub mod limits;
mod pass;
pub mod shared;
pub mod tags;
mod throttles;
pub mod writer;

use std::any::Any;
use std::collections::HashMap;
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
use aws_smithy_types::Document;
use aws_smithy_types::endpoint::EndpointAuthScheme;
use tokio::sync::OnceCell;

use crate::model::{Failure, FailureKind, GLOBAL};
use accounts::{Role, account_of_role};
use credentials::{AssumedRole, Chain, Kept, Regions};
use fence::Fence;
use limits::{Limit, Limits, Sharers};
use shared::{LONGEST_MEMORY, Readings};
use throttles::Attempts;

pub use pass::Pass;

type Shared = Arc<dyn Any + Send + Sync>;

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
    /// How many of its attempts AWS throttled.
    pub throttles: u32,
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
        /// A client that tells of throttled attempts.
        macro_rules! client {
            ($sdk:ident) => {
                $sdk::Client::from_conf(
                    $sdk::config::Builder::from(&config)
                        .interceptor(Attempts)
                        .build(),
                )
            };
        }
        // An endpoint override (an emulator on an IP address) has no names for buckets to be subdomains of.
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .interceptor(Attempts)
            .force_path_style(config.endpoint_url().is_some())
            .build();
        Self {
            acm: client!(aws_sdk_acm),
            cloudfront: client!(aws_sdk_cloudfront),
            cloudwatch: client!(aws_sdk_cloudwatch),
            dynamodb: client!(aws_sdk_dynamodb),
            iam: client!(aws_sdk_iam),
            key_value_stores: key_value_stores(&config),
            lambda: client!(aws_sdk_lambda),
            logs: client!(aws_sdk_cloudwatchlogs),
            route53: client!(aws_sdk_route53),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sts: client!(aws_sdk_sts),
        }
    }
}

/// The data plane of key value stores. By itself it calls the host of the store's account, as in
/// `123456789012.cloudfront-kvs.global.api.aws`, and puts the account before the host of an endpoint override too: an
/// emulator on an IP address has no such name.
fn key_value_stores(config: &SdkConfig) -> aws_sdk_cloudfrontkeyvaluestore::Client {
    let mut builder =
        aws_sdk_cloudfrontkeyvaluestore::config::Builder::from(config).interceptor(Attempts);
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

    /// Calls are made no faster than `limits` and the defaults beside them say, by all of `sharers` together.
    #[must_use]
    pub fn limited(self, limits: &[Limit], sharers: Sharers) -> Self {
        Self {
            limits: Arc::new(Limits::new(limits, sharers)),
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
