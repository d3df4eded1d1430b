//! The proxy's way with each connection and request: identify, record, fail if a fault says so, apply the rules.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tracing::debug;

use crate::call::{Call, Recorder, is_write};
use crate::config::Config;
use crate::exchange::{Answer, Exchange, Failure, Request, Upstream};
use crate::fault::{FaultKind, Faults};
use crate::identify::{Identity, identify};
use crate::limits::Buckets;
use crate::refusal::Refusal;
use crate::services::{self, State};

/// All that the connections share.
pub(crate) struct Shared {
    pub(crate) upstream: Upstream,
    pub(crate) recorder: Recorder,
    config: RwLock<Arc<Config>>,
    faults: Mutex<Faults>,
    buckets: Buckets,
    state: State,
}

/// The answer that is none: the connection is reset.
struct Reset;

impl Shared {
    pub(crate) fn new(upstream: Upstream, config: Config) -> Self {
        Self {
            upstream,
            recorder: Recorder::default(),
            faults: Mutex::new(Faults::new(&config)),
            config: RwLock::new(Arc::new(config)),
            buckets: Buckets::default(),
            state: State::default(),
        }
    }

    pub(crate) fn config(&self) -> Arc<Config> {
        self.config
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn configure(&self, change: impl FnOnce(&mut Config)) {
        let mut current = self.config.write().unwrap_or_else(PoisonError::into_inner);
        let mut config = Config::clone(&current);
        change(&mut config);
        self.faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .install(&config);
        *current = Arc::new(config);
    }

    async fn answer(&self, request: Request) -> Result<Answer, Reset> {
        let config = self.config();
        let Identity {
            service,
            operation,
            region,
            access_key,
            parameters,
        } = identify(&request);
        let account = self.account(&access_key, &config);
        let call = Call {
            service,
            write: is_write(service, request.method().as_str(), &operation),
            operation,
            region,
            account,
            method: request.method().to_string(),
            path: request
                .uri()
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            status: None,
            refused: None,
            fault: None,
        };
        let number = self.recorder.begin(call.clone());
        let fault = self
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .choose(&call);
        self.recorder.update(number, |call| call.fault = fault);
        let cbor = request.headers().contains_key("smithy-protocol");
        let refuse = |refusal: &Refusal| {
            debug!(%refusal.code, %refusal.message, operation = call.operation, "refused");
            self.recorder.update(number, |call| {
                call.status = Some(refusal.status);
                call.refused = Some(refusal.code.clone());
            });
            Ok(refusal.answer(service, cbor))
        };
        match fault {
            Some(FaultKind::BlackHole) => {
                while self
                    .faults
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .swallows(&call)
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return Err(Reset);
            }
            Some(FaultKind::ResetBefore | FaultKind::RefuseRegion) => return Err(Reset),
            Some(kind) => {
                if let Some(refusal) = Refusal::of_fault(kind, service, &call.operation) {
                    return refuse(&refusal);
                }
            }
            None => {}
        }
        if config.strict.rate_limits && !self.buckets.admit(&call, &config.limits) {
            return refuse(&Refusal::throttled(service));
        }
        let exchange = Exchange {
            config,
            state: &self.state,
            upstream: &self.upstream,
            request: &request,
            service,
            operation: &call.operation,
            region: &call.region,
            account: &call.account,
            parameters: &parameters,
        };
        let outcome = services::handle(&exchange).await;
        if fault == Some(FaultKind::ResetAfter) {
            return Err(Reset);
        }
        match outcome {
            Ok(answer) => {
                self.recorder
                    .update(number, |call| call.status = Some(answer.status().as_u16()));
                Ok(answer)
            }
            Err(Failure::Refused(refusal)) => refuse(&refusal),
            Err(Failure::Unreachable(error)) => {
                debug!(
                    error,
                    operation = call.operation,
                    "the emulator does not answer"
                );
                Err(Reset)
            }
        }
    }

    /// The emulator's own way from a key to an account.
    fn account(&self, access_key: &str, config: &Config) -> String {
        if access_key.len() == 12 && access_key.bytes().all(|byte| byte.is_ascii_digit()) {
            return access_key.to_owned();
        }
        self.state
            .sessions
            .lock()
            .get(access_key)
            .unwrap_or(&config.default_account)
            .clone()
    }
}

/// Takes connections until it is dropped, and with it every connection.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, shared.clone()));
                }
                Err(error) => {
                    debug!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

type Served = Pin<Box<dyn Future<Output = Result<hyper::Response<Full<Bytes>>, Broken>> + Send>>;

/// What hyper is told so that it writes nothing more.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the connection is reset on purpose")
    }
}

impl std::error::Error for Broken {}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let reset = Arc::new(AtomicBool::new(false));
    let _ = stream.set_nodelay(true);
    let service = service_fn({
        let reset = reset.clone();
        move |request: hyper::Request<Incoming>| -> Served {
            let (shared, reset) = (shared.clone(), reset.clone());
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
                let request = Request::from_parts(parts, body);
                let answered = match crate::admin::answer(&shared, &request) {
                    Some(answer) => Ok(answer),
                    None => shared.answer(request).await,
                };
                answered
                    .map(|answer| answer.map(Full::new))
                    .map_err(|Reset| {
                        reset.store(true, Ordering::Relaxed);
                        Broken
                    })
            })
        }
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    if reset.load(Ordering::Relaxed) {
        // Without lingering, closing sends RST instead of FIN: the caller sees a connection reset.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}
