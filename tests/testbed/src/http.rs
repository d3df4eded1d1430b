//! The HTTP client for servers on this machine.

use std::time::Duration;

use anyhow::{Context, Result};

/// A client that never goes through a proxy: everything it talks to is on 127.0.0.1.
pub(crate) fn client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .context("making an HTTP client")
}

/// Status and body of a GET.
pub(crate) async fn get(url: &str) -> Result<(u16, String)> {
    let answer = client()?.get(url).send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await?))
}
