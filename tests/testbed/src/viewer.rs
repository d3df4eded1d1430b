//! Viewers: requests at the edge, and who served them.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use edge::Edge;
use futures::future::join_all;
use testbed::wait::{self, Seen};

use crate::show::Show;
use crate::stack::{Stack, plain};
use crate::watch::App;

/// SHA-256 of nothing, without which CloudFront signs no POST.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A viewer, at the edge.
pub struct Viewer<'a> {
    edge: &'a Edge,
    domain: String,
    http: reqwest::Client,
}

/// Requests sent, and those not answered with 200.
#[derive(Default)]
pub struct Traffic {
    /// Sent.
    pub sent: AtomicU32,
    /// Lost.
    pub lost: AtomicU32,
}

impl<'a> Viewer<'a> {
    /// One who asks for `app`.
    pub async fn of(stack: &Stack, app: &App, edge: &'a Edge) -> Result<Self> {
        let object = app.get(&stack.control_plane).await?;
        let object = object.context("the app is gone")?;
        Ok(Self {
            edge,
            domain: plain(&object["status"]["distribution"]["domainName"]),
            http: reqwest::Client::new(),
        })
    }

    /// The status, and the origin that served.
    pub async fn ask(&self, method: &str, path: &str) -> Result<(u16, String)> {
        let answer = self
            .http
            .request(method.parse()?, format!("{}{path}", self.edge.url()))
            .header("host", &self.domain)
            .header("x-forwarded-proto", "https")
            .header("x-amz-content-sha256", NOTHING)
            .send()
            .await?;
        let origin = answer.headers().get("x-edge-origin");
        let origin = origin.and_then(|origin| origin.to_str().ok());
        let status = answer.status().as_u16();
        Ok((status, origin.unwrap_or("the edge").to_owned()))
    }

    /// The same, shown.
    pub async fn tell(&self, show: &Show, method: &str, path: &str) -> Result<(u16, String)> {
        let (status, origin) = self.ask(method, path).await?;
        show.event(&format!("{method} {path}: {status} from {origin}"));
        Ok((status, origin))
    }

    /// Sends writes until `origin` serves them.
    pub async fn until_posts_go_to(&self, origin: &str, within: Duration) -> Result<()> {
        wait::until("the writes", within, || async {
            let (status, served) = self.ask("POST", "/api/orders").await?;
            Ok(Seen::when(
                status == 200 && served == origin,
                format!("{status} from {served}"),
            ))
        })
        .await
    }

    /// Sends `rate` requests a second by as many `senders`, until `stop`: the next of a sender waits for its last.
    pub async fn traffic(
        &self,
        method: &str,
        rate: u64,
        senders: u32,
        stop: &AtomicBool,
    ) -> Traffic {
        let traffic = Traffic::default();
        let sender = async || {
            let period = Duration::from_millis(1000) * senders / u32::try_from(rate).unwrap_or(1);
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !stop.load(Ordering::Relaxed) {
                ticks.tick().await;
                let number = traffic.sent.fetch_add(1, Ordering::Relaxed);
                let answer = self.ask(method, &format!("/api/orders?n={number}")).await;
                if !answer.is_ok_and(|(status, _)| status == 200) {
                    traffic.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        join_all((0..senders).map(|_| sender())).await;
        traffic
    }
}
