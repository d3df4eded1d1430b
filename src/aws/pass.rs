//! One pass over one app, and the one door for every call.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use aws_sdk_sts::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::request_id::RequestId;
use tokio::sync::OnceCell;
use tracing::Instrument;
use tracing::field::Empty;

use super::shared::{self, Read};
use super::tags::OwnerKey;
use super::{Aws, CallRecord, Clients, Record, Shared, error, throttles};
use crate::model::{Failure, FailureKind, Owner};

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
    pub(crate) fn call<T, E>(
        &self,
        service: &'static str,
        operation: &'static str,
        region: &str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> impl Future<Output = Result<T, Failure>>
    where
        T: RequestId,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        // What the SDK has to be polled is large, and would be so several times over in all that waits for it.
        self.boxed_call(service, operation, region, Box::pin(call))
    }

    async fn boxed_call<T, E>(
        &self,
        service: &'static str,
        operation: &'static str,
        region: &str,
        call: Pin<Box<impl Future<Output = Result<T, SdkError<E, HttpResponse>>>>>,
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
        let call = throttles::counted(call.instrument(span.clone()));
        let (answer, throttles) = self.aws.fence.hold(call).await;
        let request_id = answer.request_id().map(str::to_owned);
        let answer = answer.map_err(|error| error::classify(service, operation, &error));
        tell(&span, region, request_id.as_deref(), answer.as_ref().err());
        let failure = answer.as_ref().err().map(|failure| failure.kind);
        // The last answer may be in words that only the SDK reads.
        let throttles = throttles.max((failure == Some(FailureKind::Throttled)).into());
        (self.aws.recorder)(&Record::Call(CallRecord {
            service,
            operation,
            region: region.to_owned(),
            failure,
            elapsed: started.elapsed(),
            waited: started.duration_since(asked),
            throttles,
        }));
        match &answer {
            Err(failure) if failure.kind == FailureKind::Unreachable => {
                self.breakers().insert(breaker);
            }
            Err(Failure { code, .. }) if code == error::OF_ONE_TABLE => {}
            // Also where one of the SDK's retries got through.
            _ if throttles > 0 => limits.throttled(service, operation, region, started),
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
