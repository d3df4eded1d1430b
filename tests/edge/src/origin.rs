//! One origin asked: connection attempts, timeouts, and the requests that its kind of place wants.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

use crate::distribution::{Origin, Place};
use crate::fault::Fault;

/// The hash of a body, in hexadecimal.
pub(crate) fn sha256(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

/// Why an origin gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No connection: refused, or no such host.
    Connect,
    /// No connection within the time for it.
    ConnectTimeout,
    /// A connection, and no answer within the time for it.
    ResponseTimeout,
    /// A connection that ended before the answer.
    Reset,
}

impl Trouble {
    /// The status that a group's criteria are asked for: 503 stands for no connection, 504 for an answer that takes too
    /// long.
    pub(crate) fn criterion(self) -> u16 {
        match self {
            Self::Connect | Self::ConnectTimeout => 503,
            Self::ResponseTimeout => 504,
            Self::Reset => 502,
        }
    }

    /// The status that the viewer sees.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Connect | Self::Reset => 502,
            Self::ConnectTimeout | Self::ResponseTimeout => 504,
        }
    }
}

/// A request as it goes to an origin.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Where names lead that DNS does not know, and everything of AWS's.
pub(crate) struct Network {
    pub(crate) hosts: BTreeMap<String, SocketAddr>,
    /// `host:port` of the emulator's data plane.
    pub(crate) aws: String,
}

impl Network {
    fn address(&self, origin: &Origin, https: bool) -> String {
        match &origin.place {
            Place::Bucket { .. } | Place::FunctionUrl { .. } => self.aws.clone(),
            Place::Server {
                http,
                https: secure,
                policy,
            } => match self.hosts.get(&origin.host) {
                Some(address) => address.to_string(),
                None => {
                    let secure_wanted = policy == "https-only" || policy == "match-viewer" && https;
                    format!(
                        "{}:{}",
                        origin.host,
                        if secure_wanted { secure } else { http }
                    )
                }
            },
        }
    }
}

/// Asks an origin, as often as it may be, and counts the attempts.
pub(crate) async fn ask(
    network: &Network,
    origin: &Origin,
    request: &Outgoing,
    fault: impl Fn() -> Option<Fault>,
    https: bool,
) -> (Result<Response<Bytes>, Trouble>, u32) {
    let address = network.address(origin, https);
    let mut outcome = Err(Trouble::Connect);
    for attempt in 1..=origin.connection_attempts {
        outcome = once(&address, origin, request, fault()).await;
        // What may have changed something is not sent twice: only what got no connection, or GET and HEAD in time out.
        let again = match outcome {
            Err(Trouble::Connect | Trouble::ConnectTimeout) => true,
            Err(Trouble::ResponseTimeout) => ["GET", "HEAD"].contains(&request.method.as_str()),
            _ => false,
        };
        if !again || attempt == origin.connection_attempts {
            return (outcome, attempt);
        }
    }
    (outcome, origin.connection_attempts)
}

async fn once(
    address: &str,
    origin: &Origin,
    request: &Outgoing,
    fault: Option<Fault>,
) -> Result<Response<Bytes>, Trouble> {
    match fault {
        Some(Fault::Refuse) => return Err(Trouble::Connect),
        Some(Fault::Reset) => return Err(Trouble::Reset),
        Some(Fault::BlackHole) => {
            tokio::time::sleep(origin.connection_timeout).await;
            return Err(Trouble::ConnectTimeout);
        }
        Some(Fault::Hang) => {
            tokio::time::sleep(origin.response_timeout).await;
            return Err(Trouble::ResponseTimeout);
        }
        Some(Fault::Status(status)) => {
            let answer = Response::builder().status(status);
            let answer = answer.body(Bytes::from_static(b"as told"));
            return answer.map_err(|_| Trouble::Reset);
        }
        None => {}
    }
    let connected =
        tokio::time::timeout(origin.connection_timeout, TcpStream::connect(address)).await;
    let stream = connected
        .map_err(|_| Trouble::ConnectTimeout)?
        .map_err(|_| Trouble::Connect)?;
    match tokio::time::timeout(origin.response_timeout, exchange(stream, request)).await {
        Ok(answer) => answer.map_err(|_| Trouble::Reset),
        Err(_) => Err(Trouble::ResponseTimeout),
    }
}

async fn exchange(stream: TcpStream, request: &Outgoing) -> anyhow::Result<Response<Bytes>> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection goes with this future, so that a timeout closes it.
    let driven = async move {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    let mut outgoing = Request::builder()
        .method(request.method.as_str())
        .uri(request.target.as_str())
        .body(Full::new(request.body.clone()))?;
    *outgoing.headers_mut() = request.headers.clone();
    outgoing
        .headers_mut()
        .insert(HOST, HeaderValue::from_str(&request.host)?);
    let answered = async {
        let (mut parts, body) = sender.send_request(outgoing).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        for name in [
            "connection",
            "keep-alive",
            "transfer-encoding",
            "content-length",
        ] {
            // HEAD's length says what GET would bring.
            if name != "content-length" || request.method != "HEAD" {
                parts.headers.remove(name);
            }
        }
        anyhow::Ok(Response::from_parts(parts, body))
    };
    tokio::select! {
        answer = answered => answer,
        () = driven => anyhow::bail!("the connection ended"),
    }
}

/// Sets a header, if name and value may be one.
pub(crate) fn set(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}
