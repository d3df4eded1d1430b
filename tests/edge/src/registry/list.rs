//! All distributions in short: whose host names are whose, and what has changed.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use tracing::debug;
use xmltree::Element;

use super::Registry;
use crate::distribution::names;
use crate::xml;

/// A distribution in a list.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) id: String,
    names: Vec<String>,
    /// Differs when the distribution was changed, or the change deployed.
    version: (String, String),
}

impl Summary {
    fn parse(summary: &Element) -> Self {
        let mut names: Vec<String> = xml::texts(summary, "Aliases/Items");
        names.push(xml::text(summary, "DomainName"));
        Self {
            id: xml::text(summary, "Id"),
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            version: (
                xml::text(summary, "LastModifiedTime"),
                xml::text(summary, "Status"),
            ),
        }
    }

    /// Whether a `Host` may be this distribution's.
    pub(crate) fn is_named(&self, host: &str) -> bool {
        self.names.iter().any(|name| names(name, host))
    }
}

impl Registry {
    pub(super) async fn list(&self) -> anyhow::Result<Vec<Summary>> {
        let mut found = Vec::new();
        let mut marker = String::new();
        loop {
            let path = format!("distribution{marker}");
            let root = self.control.cloudfront(&path).await?;
            let root = root.context("no list of distributions")?;
            found.extend(xml::items(&root, "Items").into_iter().map(Summary::parse));
            match xml::some(&root, "NextMarker") {
                Some(next) if xml::is_true(&root, "IsTruncated") => {
                    marker = format!("?Marker={next}");
                }
                _ => return Ok(found),
            }
        }
    }

    /// Looks at what changes, also while nobody asks for it: a change that is in progress at the next request hides what
    /// was deployed before it.
    pub(crate) async fn watch(&self, pause: Duration) {
        let mut versions = HashMap::new();
        loop {
            match self.list().await {
                Ok(list) => {
                    for summary in list {
                        if versions.get(&summary.id) == Some(&summary.version) {
                            continue;
                        }
                        self.distributions.expire_one(&summary.id);
                        match self.deployed(&summary.id).await {
                            Ok(_) => {
                                versions.insert(summary.id, summary.version);
                            }
                            Err(error) => debug!(
                                error = format!("{error:#}"),
                                "a distribution cannot be read"
                            ),
                        }
                    }
                }
                Err(error) => debug!(
                    error = format!("{error:#}"),
                    "the distributions cannot be listed"
                ),
            }
            tokio::time::sleep(pause).await;
        }
    }
}
