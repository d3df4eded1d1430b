//! A local CloudFront data plane: an HTTP server that answers as the distributions of an AWS emulator say, as deployed.
//!
//! The emulator's own data plane knows no origin groups, signs nothing for Lambda, and forgives what CloudFront does
//! not. This one reads the live configs from the API and serves by them: behaviours, origin groups with their statuses,
//! attempts and timeouts, cache keys and TTLs, cached errors, origin access controls and identities judged by the
//! buckets' and functions' own policies, and viewer-request functions with their KeyValueStores. It shares no code with
//! what it judges.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use edge::{Config, Edge, Fault, Target};
//!
//! let edge = Edge::start(Config::new("http://127.0.0.1:4566", "111122223333")).await?;
//! // Ask it at `edge.url()` with the distribution's name as `Host` and `X-Forwarded-Proto: https`, then:
//! edge.fail(Target::Region("us-east-1".to_owned()), Fault::BlackHole);
//! # Ok(())
//! # }
//! ```
//!
//! Every answer says where it came from: `x-edge-origin`, `x-edge-attempts` (`lambda-primary=2 lambda-dr=1`),
//! `x-edge-behavior` (the path pattern, or `default`), and CloudFront's own `X-Cache`.
//!
//! A request goes: `serve.rs` → `registry.rs` (what is deployed, read by `api.rs`, kept by `recent.rs`) →
//! `distribution.rs` → `runtime.rs` and `event.rs` (the function, which reads `store.rs`) → `viewer.rs` and `policy.rs`
//! (key and forwarded parts) → `cache.rs` → `admission.rs` and `access.rs` (signed, and judged) → `origin.rs`, unless
//! `fault.rs` has something against it. `answer.rs` words what the edge says itself; `admin.rs` is the edge's own API under `/_edge/`.
//!
//! Not served: viewer-response functions, Lambda@Edge, response headers policies, custom error *pages*, ranges and
//! conditional requests, compression, and serving what is stale while origins fail.

mod access;
mod admin;
mod admission;
mod answer;
mod api;
mod cache;
mod distribution;
mod event;
mod fault;
mod origin;
mod pattern;
mod policy;
mod recent;
mod registry;
mod runtime;
mod serve;
mod store;
mod viewer;
mod xml;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

pub use crate::fault::{Fault, Target};
use crate::serve::Shared;

/// What the edge serves, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens; port 0 is any free one.
    pub listen: SocketAddr,
    /// Where CloudFront's configs are read: the emulator, or a proxy before it.
    pub endpoint: String,
    /// Where buckets, function URLs, their policies and KeyValueStores are; absent, at `endpoint`. Behind a proxy that
    /// limits rates or counts calls, the edge's reads of functions and policies are calls like any other.
    pub origins: Option<String>,
    /// The account's 12 digits, which are its access key id too.
    pub account: String,
    /// The secret that goes with it; an emulator that verifies nothing takes any.
    pub secret_access_key: String,
    /// What was read from the API is not read again for so long.
    pub refresh: Duration,
    /// How often the list of distributions is looked at while nobody asks, so that what was deployed between two
    /// requests is known; never, if absent.
    pub watch: Option<Duration>,
    /// Serve a change only when the distribution is `Deployed`, and until then what was there before.
    pub wait_for_deployed: bool,
    /// How long a change of a KeyValueStore takes to be seen, from the first read after it.
    pub store_delay: Duration,
    /// Where the names of custom origins lead that DNS does not know.
    pub hosts: BTreeMap<String, SocketAddr>,
}

impl Config {
    /// The distributions of an account of the emulator at an endpoint.
    pub fn new(endpoint: &str, account: &str) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            endpoint: endpoint.to_owned(),
            origins: None,
            account: account.to_owned(),
            secret_access_key: "test".to_owned(),
            refresh: Duration::from_millis(500),
            watch: Some(Duration::from_secs(1)),
            wait_for_deployed: true,
            store_delay: Duration::ZERO,
            hosts: BTreeMap::new(),
        }
    }
}

/// A running edge. It stops, and cuts its connections, when it is dropped.
pub struct Edge {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Edge {
    /// Starts it.
    ///
    /// # Errors
    /// If an endpoint is no `http://` URL, or the address cannot be had.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        let address = listener.local_addr()?;
        let watch = config.watch;
        let shared = Arc::new(Shared::new(config)?);
        let served = shared.clone();
        let task = tokio::spawn(async move {
            let watched = async {
                match watch {
                    Some(pause) => served.registry.watch(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(serve(listener, served.clone()), watched);
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it listens, as a URL without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes origins fail, until they are healed.
    pub fn fail(&self, target: Target, fault: Fault) {
        self.shared.faults.set(target, fault);
    }

    /// Ends the fault that was set for just this target.
    pub fn heal(&self, target: &Target) {
        self.shared.faults.heal(target);
    }

    /// Ends all faults.
    pub fn heal_all(&self) {
        self.shared.faults.heal_all();
    }

    /// Puts the KeyValueStores out of the functions' reach, or back: meanwhile reading one throws.
    pub fn reach_stores(&self, reachable: bool) {
        self.shared
            .stores
            .configure(|settings| settings.reachable = reachable);
    }

    /// Sets how long a change of a KeyValueStore takes to be seen.
    pub fn delay_stores(&self, delay: Duration) {
        self.shared
            .stores
            .configure(|settings| settings.delay = delay);
    }

    /// Forgets what is cached.
    pub fn clear_cache(&self) {
        self.shared.cache.clear();
    }

    /// Lets what is cached grow older.
    pub fn advance(&self, time: Duration) {
        self.shared.advance(time);
    }

    /// Has everything read again that was read from the API, at the next request.
    pub fn refresh(&self) {
        self.shared.registry.expire();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Takes connections until it is dropped, and with it every connection.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    connections.spawn(connection(stream, from, shared.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, from: SocketAddr, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = body.collect().await else {
                return Ok(Response::builder()
                    .status(400)
                    .body(Full::default())
                    .unwrap_or_default());
            };
            let request = Request::from_parts(parts, body.to_bytes());
            let answer: Response<Bytes> = match admin::answer(&shared, &request) {
                Some(answer) => answer,
                None => shared.answer(request, from.ip().to_string()).await,
            };
            Ok::<_, Infallible>(answer.map(Full::new))
        }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a viewer's connection ended");
    }
}
