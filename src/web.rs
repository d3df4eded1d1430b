//! The read-only page: every app as its status says it is, for whoever may read it in the cluster.
//!
//! It keeps a watch of its own, so that every replica serves it, and asks the API server who a token is and what that one
//! may read. Nothing is told without such a right, no names and no counts either. AWS is never asked.

mod apps;
mod assets;
mod events;
mod expiring;
mod gate;
mod live;
mod review;
mod sessions;
mod view;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use kube::Client;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use apps::Apps;
use events::Events;
use gate::{Gate, Refusal};
use review::ApiServer;
use sessions::{Credential, Sessions, Token};

/// Streams of updates that are open at once.
const STREAMS: usize = 256;
/// A token is at most a few thousand bytes.
const LONGEST_BODY: usize = 32 * 1024;
/// A page that asks for nothing of others, runs only its own scripts, and is shown in no frame.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What every request needs.
struct Web {
    apps: Apps,
    events: Events,
    gate: Gate<ApiServer>,
    sessions: Sessions,
    streams: Arc<Semaphore>,
    /// Ends the streams, which would last for ever.
    stop: CancellationToken,
}

/// Takes the address for [`serve`].
///
/// # Errors
/// When it is taken or not ours.
pub async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(web = %address, "serving the web page");
    Ok(listener)
}

/// Serves the page until `stop`: the apps of `namespaces`, or all.
///
/// # Errors
/// When connections can no longer be taken.
pub async fn serve(
    listener: TcpListener,
    client: Client,
    namespaces: BTreeSet<String>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let web = Arc::new(Web {
        apps: Apps::watch(&client, &namespaces, stop.clone()),
        events: Events::new(client.clone()),
        gate: Gate::new(ApiServer::new(client)),
        sessions: Sessions::default(),
        streams: Arc::new(Semaphore::new(STREAMS)),
        stop: stop.clone(),
    });
    axum::serve(listener, routes(web))
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn routes(web: Arc<Web>) -> Router {
    assets::routes()
        .route("/session", post(sign_in).delete(sign_out))
        .route("/api/apps", get(list))
        .route("/api/apps/{namespace}/{name}", get(one))
        .with_state(web)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(map_response(hardened))
}

/// Every answer has the same headers, an error and an unknown path too.
async fn hardened(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn list(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    answer(web, live::View::All, &headers).await
}

async fn one(
    State(web): State<Arc<Web>>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    answer(web, live::View::One { namespace, name }, &headers).await
}

/// A document, or a stream of them for whoever takes one.
async fn answer(web: Arc<Web>, view: live::View, headers: &HeaderMap) -> Response {
    let Some(credential) = Credential::of(headers) else {
        return Refusal::NoToken.into_response();
    };
    if is(headers, header::ACCEPT, "text/event-stream") {
        return live::stream(web, view, credential).await;
    }
    match web.document(&view, &credential).await {
        Ok(document) => ([(header::CONTENT_TYPE, "application/json")], document).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// A browser's sign-in: the token is exchanged for a cookie that says nothing.
///
/// Only with a content type that no form of another site can send.
async fn sign_in(State(web): State<Arc<Web>>, headers: HeaderMap, body: Bytes) -> Response {
    #[derive(Deserialize)]
    struct SignIn {
        token: String,
    }
    let json = is(&headers, header::CONTENT_TYPE, "application/json");
    let asked = json.then(|| serde_json::from_slice::<SignIn>(&body).ok());
    let Some(token) = asked.flatten().and_then(|asked| Token::new(&asked.token)) else {
        return Refusal::NoToken.into_response();
    };
    match web.gate.viewer(&token, true).await {
        Ok(_) => {
            let cookie = web.sessions.begin(token);
            (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn is(headers: &HeaderMap, name: HeaderName, value: &str) -> bool {
    headers.get(name).is_some_and(|given| given == value)
}

async fn sign_out(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let cookie = web.sessions.end(&headers);
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

impl Web {
    /// What `view` shows to whoever has the credential, as JSON.
    async fn document(
        &self,
        view: &live::View,
        credential: &Credential,
    ) -> Result<String, Refusal> {
        let token = self.sessions.token(credential).ok_or(Refusal::NoToken)?;
        let new = matches!(credential, Credential::Bearer(_));
        let viewer = self.gate.viewer(&token, new).await?;
        if !self.apps.listed() {
            return Err(Refusal::NotListed);
        }
        let document = match view {
            live::View::All => {
                let apps = self.apps.all();
                let namespaces = apps.iter().filter_map(|app| app.metadata.namespace.clone());
                let allowed = self.gate.namespaces(&viewer, namespaces.collect()).await?;
                to_json(&view::list(&viewer.name, &apps, &allowed))
            }
            live::View::One { namespace, name } => {
                self.gate.may_get(&viewer, namespace, name).await?;
                let app = self.apps.get(namespace, name).ok_or(Refusal::NotFound)?;
                let events = if self.gate.may_list_events(&viewer, namespace).await? {
                    Some(self.events.of(namespace, name).await)
                } else {
                    None
                };
                to_json(&view::detail(&viewer.name, namespace, name, &app, events))
            }
        };
        Ok(document)
    }
}

fn to_json(document: &impl Serialize) -> String {
    serde_json::to_string(document).expect("maps have strings for keys")
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::NoToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::NotAsked | Self::NotListed => StatusCode::SERVICE_UNAVAILABLE,
        };
        let body = serde_json::json!({ "message": self.to_string() }).to_string();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self, Self::TooMany | Self::NotAsked | Self::NotListed) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// How long anything that the API server decided is believed.
const BELIEVED: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
