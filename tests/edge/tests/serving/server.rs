//! Origins that do as they are told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a server answers.
#[derive(Clone)]
pub struct Script {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// Never answers.
    pub hangs: bool,
}

/// A request that a server got.
pub struct Got {
    pub target: String,
    pub headers: HeaderMap,
}

/// An origin of a test's: answers with its name and the number of the request.
pub struct Server {
    pub address: SocketAddr,
    pub script: Arc<Mutex<Script>>,
    pub got: Arc<Mutex<Vec<Got>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script {
            status: 200,
            headers: Vec::new(),
            hangs: false,
        }));
        let got = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(listener, name, script.clone(), got.clone()));
        Self {
            address,
            script,
            got,
            task,
        }
    }

    /// Answers with this status from now on.
    pub fn answer(&self, status: u16) {
        self.script.lock().unwrap().status = status;
    }

    /// Answers with this header from now on.
    pub fn say(&self, name: &'static str, value: &str) {
        self.script.lock().unwrap().headers = vec![(name, value.to_owned())];
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    name: &'static str,
    script: Arc<Mutex<Script>>,
    got: Arc<Mutex<Vec<Got>>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (script, got) = (script.clone(), got.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let script = script.lock().unwrap().clone();
            let number = {
                let mut got = got.lock().unwrap();
                got.push(Got {
                    target: request.uri().to_string(),
                    headers: request.headers().clone(),
                });
                got.len()
            };
            async move {
                if script.hangs {
                    std::future::pending::<()>().await;
                }
                let mut answer = Response::builder().status(script.status);
                for (name, value) in script.headers {
                    answer = answer.header(name, value);
                }
                let body = Full::new(Bytes::from(format!("{name} {number}")));
                Ok::<_, Infallible>(answer.body(body).unwrap())
            }
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
