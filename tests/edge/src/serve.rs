//! The way of a request: distribution, behaviour, function, cache, origins.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use hyper::{Request, Response, StatusCode};
use tracing::{debug, warn};

use crate::Config;
use crate::admission::{Admitted, Asked, s3_refusal};
use crate::answer::{generated, marked, redirect, without_body};
use crate::api::{Api, Signer};
use crate::cache::{Cache, Kept, lifetime};
use crate::distribution::{Behavior, Distribution, Group, Origin};
use crate::event::{self, Decision, Route};
use crate::fault::Faults;
use crate::origin::{self, Network, Trouble, set};
use crate::registry::Registry;
use crate::runtime::Runtime;
use crate::store::Stores;
use crate::viewer::Viewer;

/// All that the requests share.
pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) stores: Arc<Stores>,
    pub(crate) faults: Faults,
    pub(crate) cache: Cache,
    runtime: Runtime,
    network: Network,
    /// How far the edge's clock is ahead.
    ahead: Mutex<Duration>,
}

/// Which origin answered, after how many attempts at each.
struct Fetched {
    answer: Response<Bytes>,
    origin: String,
    attempts: String,
}

impl Shared {
    pub(crate) fn new(config: Config) -> anyhow::Result<Self> {
        let signer = Signer {
            account: config.account,
            secret: config.secret_access_key,
        };
        let control = Arc::new(Api::new(&config.endpoint, signer.clone())?);
        let data = match &config.origins {
            Some(endpoint) => Arc::new(Api::new(endpoint, signer)?),
            None => control.clone(),
        };
        let network = Network {
            hosts: config.hosts,
            aws: data.authority().to_owned(),
        };
        let stores = Arc::new(Stores::new(data.clone(), config.store_delay));
        Ok(Self {
            registry: Registry::new(control, data, config.refresh, config.wait_for_deployed),
            runtime: Runtime::new(stores.clone()),
            stores,
            faults: Faults::default(),
            cache: Cache::default(),
            network,
            ahead: Mutex::default(),
        })
    }

    /// Lets time pass for everything that is kept for a while.
    pub(crate) fn advance(&self, time: Duration) {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) += time;
    }

    fn now(&self) -> Instant {
        Instant::now() + *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// CloudFront's answer to a viewer's request.
    pub(crate) async fn answer(&self, request: Request<Bytes>, ip: String) -> Response<Bytes> {
        let (viewer, body) = Viewer::read(request, ip);
        let found = match self.registry.distribution(&viewer.host).await {
            Ok(found) => found.filter(|distribution| distribution.enabled),
            Err(error) => {
                warn!(
                    host = viewer.host,
                    error = format!("{error:#}"),
                    "no distribution can be read"
                );
                return generated(503, "The distributions cannot be read.");
            }
        };
        let Some(distribution) = found else {
            return generated(
                403,
                "Bad request. We can't connect to the server for this app or website at this time.",
            );
        };
        let Some(behavior) = distribution.behavior(&viewer.path) else {
            return generated(503, "No behaviour is left for this path.");
        };
        let mut answer = match self.behave(&distribution, behavior, viewer, body).await {
            Ok(answer) => answer,
            Err(error) => {
                warn!(
                    distribution = distribution.id,
                    error = format!("{error:#}"),
                    "the config cannot be served"
                );
                generated(503, "The distribution's config cannot be served.")
            }
        };
        let name = behavior.pattern.as_deref().unwrap_or("default");
        set(answer.headers_mut(), "x-edge-behavior", name);
        set(
            answer.headers_mut(),
            "via",
            "1.1 edge.cloudfront.net (CloudFront)",
        );
        answer
    }

    async fn behave(
        &self,
        distribution: &Distribution,
        behavior: &Behavior,
        mut viewer: Viewer,
        body: Bytes,
    ) -> anyhow::Result<Response<Bytes>> {
        match behavior.viewer_protocol.as_str() {
            "redirect-to-https" if !viewer.https => return Ok(redirect(&viewer)),
            "https-only" if !viewer.https => {
                return Ok(generated(
                    403,
                    "This distribution is not configured to allow HTTP.",
                ));
            }
            _ => {}
        }
        if viewer.method == "GET" && !body.is_empty() {
            return Ok(generated(403, "A GET request has no body."));
        }
        if !behavior.allowed_methods.contains(&viewer.method) {
            let message = "This distribution is not configured to allow the HTTP request method that was used for this request.";
            return Ok(generated(403, message));
        }
        let mut route = None;
        if let Some(arn) = &behavior.viewer_request {
            match self.run(distribution, arn, &viewer).await? {
                Decision::GoOn(changed, chosen) => (viewer, route) = (changed, chosen),
                Decision::Answer(answer) => return Ok(answer),
            }
        }
        if viewer.path == "/" && !distribution.default_root_object.is_empty() {
            viewer.path = format!(
                "/{}",
                distribution.default_root_object.trim_start_matches('/')
            );
        }
        self.fetch_or_hit(distribution, behavior, &viewer, body, route)
            .await
    }

    /// Runs a behaviour's function on a request.
    async fn run(
        &self,
        distribution: &Distribution,
        arn: &str,
        viewer: &Viewer,
    ) -> anyhow::Result<Decision> {
        let function = self.registry.function(arn).await?;
        let id = format!(
            "{:016x}",
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)?
                .as_nanos()
        );
        let failed = |status, kind: &'static str, error: &str| {
            debug!(arn, error, "the function failed");
            let mut answer = generated(
                status,
                "The CloudFront function associated with the CloudFront distribution is invalid or could not run.",
            );
            set(
                answer.headers_mut(),
                "x-cache",
                &format!("{kind} from cloudfront"),
            );
            set(
                answer.headers_mut(),
                "x-edge-function-error",
                &error.replace(['\r', '\n'], " "),
            );
            Decision::Answer(answer)
        };
        let ran = match self
            .runtime
            .run(&function, &event::of(distribution, viewer, &id))
            .await
        {
            Ok(ran) => ran,
            Err(error) => return Ok(failed(503, "FunctionExecutionError", &format!("{error:#}"))),
        };
        Ok(match event::decision(&ran, viewer) {
            Ok(Decision::Answer(mut answer)) => {
                set(
                    answer.headers_mut(),
                    "x-cache",
                    "FunctionGeneratedResponse from cloudfront",
                );
                Decision::Answer(answer)
            }
            Ok(Decision::GoOn(_, Some(route))) if !exists(distribution, &route) => failed(
                502,
                "FunctionValidationError",
                "the function chose an origin that the distribution does not have",
            ),
            Ok(decision) => decision,
            Err(error) => failed(502, "FunctionValidationError", &error),
        })
    }

    async fn fetch_or_hit(
        &self,
        distribution: &Distribution,
        behavior: &Behavior,
        viewer: &Viewer,
        body: Bytes,
        route: Option<Route>,
    ) -> anyhow::Result<Response<Bytes>> {
        let registry = &self.registry;
        let cache = registry
            .cache_policy(behavior.cache_policy.as_deref())
            .await?;
        let more = registry
            .origin_request_policy(behavior.origin_request_policy.as_deref())
            .await?;
        let cacheable = behavior.cached_methods.contains(&viewer.method);
        let key = viewer.cache_key(&distribution.id, &cache);
        if cacheable && let Some(answer) = self.hit(distribution, viewer, &key).await {
            return Ok(without_body(answer, viewer));
        }
        let asked = Asked {
            distribution,
            viewer,
            body: &body,
            cache: &cache,
            more: &more,
        };
        let route = route.unwrap_or_else(|| target(distribution, &behavior.target));
        let fetched = self.fetch(&asked, &route).await?;
        let status = fetched.answer.status().as_u16();
        let error_ttl = distribution.error_ttls.get(&status).copied();
        let lifetime = lifetime(
            status,
            fetched.answer.headers(),
            &cache,
            error_ttl,
            SystemTime::now(),
        );
        if cacheable && !lifetime.is_zero() {
            let kept = Kept {
                answer: &fetched.answer,
                origin: &fetched.origin,
                distribution: &distribution.id,
                path: &viewer.path,
                lifetime,
            };
            self.cache.put(&viewer.method, &key, kept, self.now());
        }
        let mut answer = marked(fetched.answer, &fetched.origin, &fetched.attempts);
        let how = if status < 400 { "Miss" } else { "Error" };
        set(
            answer.headers_mut(),
            "x-cache",
            &format!("{how} from cloudfront"),
        );
        Ok(without_body(answer, viewer))
    }

    /// What is kept for a request, unless it was invalidated.
    async fn hit(
        &self,
        distribution: &Distribution,
        viewer: &Viewer,
        key: &str,
    ) -> Option<Response<Bytes>> {
        // Where invalidations cannot be read, nothing is invalidated.
        let paths = self.registry.new_invalidations(&distribution.id).await;
        self.cache
            .invalidate(&distribution.id, &paths.unwrap_or_default());
        let now = self.now();
        let entry = self.cache.get(&viewer.method, key, now)?;
        let age = now.duration_since(entry.stored).as_secs().to_string();
        let mut answer = marked(entry.answer, &entry.origin, "");
        set(answer.headers_mut(), "age", &age);
        let how = if answer.status().as_u16() < 400 {
            "Hit"
        } else {
            "Error"
        };
        set(
            answer.headers_mut(),
            "x-cache",
            &format!("{how} from cloudfront"),
        );
        Some(answer)
    }

    /// Asks the origins of a route, the second one only if it may be and the first one failed.
    async fn fetch(&self, asked: &Asked<'_>, route: &Route) -> anyhow::Result<Fetched> {
        let (ids, statuses) = match route {
            Route::One(id) => (std::slice::from_ref(id), None),
            Route::Group(group) => (group.origins.as_slice(), Some(&group.statuses)),
        };
        let mut attempts = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            let origin = asked.distribution.origins.get(id);
            let origin = origin.ok_or_else(|| anyhow::anyhow!("there is no origin {id}"))?;
            let (outcome, count) = self.ask(asked, origin).await;
            attempts.push(format!("{id}={count}"));
            let code = match &outcome {
                Ok(answer) => answer.status().as_u16(),
                Err(trouble) => trouble.criterion(),
            };
            let another = index + 1 < ids.len() && asked.viewer.may_fail_over();
            if another && statuses.is_some_and(|statuses| statuses.contains(&code)) {
                debug!(origin = id, code, "failing over");
                continue;
            }
            let answer = outcome.unwrap_or_else(|trouble| {
                generated(
                    trouble.status(),
                    &format!("CloudFront got no answer from the origin: {trouble:?}."),
                )
            });
            return Ok(Fetched {
                answer,
                origin: id.clone(),
                attempts: attempts.join(" "),
            });
        }
        anyhow::bail!("the origin group has no origin")
    }

    /// Asks one origin.
    async fn ask(
        &self,
        asked: &Asked<'_>,
        origin: &Origin,
    ) -> (Result<Response<Bytes>, Trouble>, u32) {
        let fault = || self.faults.of(origin);
        // Where nobody can be reached, nobody judges either.
        let admitted = if fault().is_some() {
            Ok(Admitted::Send {
                request: asked.bare(origin),
                hide_missing: false,
            })
        } else {
            asked.admit(&self.registry, origin).await
        };
        match admitted {
            Ok(Admitted::Send {
                request,
                hide_missing,
            }) => {
                let (mut outcome, count) =
                    origin::ask(&self.network, origin, &request, fault, asked.viewer.https).await;
                if hide_missing
                    && matches!(&outcome, Ok(answer) if answer.status() == StatusCode::NOT_FOUND)
                {
                    outcome = Ok(s3_refusal(403, "AccessDenied"));
                }
                (outcome, count)
            }
            Ok(Admitted::Refused(answer)) => (Ok(answer), 1),
            Err(error) => {
                warn!(
                    origin = origin.id,
                    error = format!("{error:#}"),
                    "what admits the edge cannot be read"
                );
                (Err(Trouble::Connect), 1)
            }
        }
    }
}

fn target(distribution: &Distribution, id: &str) -> Route {
    match distribution.groups.get(id) {
        Some(group) => Route::Group(group.clone()),
        None => Route::One(id.to_owned()),
    }
}

fn exists(distribution: &Distribution, route: &Route) -> bool {
    match route {
        Route::One(id) => distribution.origins.contains_key(id),
        Route::Group(Group { origins, .. }) => origins
            .iter()
            .all(|id| distribution.origins.contains_key(id)),
    }
}
