//! Everything the edge knows of the account: distributions as they are deployed, their policies and functions, and what
//! admits CloudFront to the origins.

mod function_urls;
mod invalidations;
mod list;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use xmltree::Element;

use crate::api::Api;
use crate::distribution::Distribution;
use crate::policy::{CachePolicy, OriginRequestPolicy};
use crate::recent::Recent;
use crate::xml;
use list::Summary;

/// Where CloudFront's API is.
const GLOBAL: &str = "us-east-1";

/// A function of CloudFront's as it is published.
#[derive(Debug, Clone)]
pub(crate) struct EdgeFunction {
    pub(crate) code: Arc<str>,
    /// The ARN of the store that it reads.
    pub(crate) store: Option<String>,
}

/// A Lambda function that a URL leads to.
#[derive(Debug, Clone)]
pub(crate) struct UrlFunction {
    pub(crate) arn: String,
    pub(crate) policy: Value,
}

/// An origin access control.
#[derive(Debug, Clone)]
pub(crate) struct AccessControl {
    pub(crate) kind: String,
    pub(crate) signing: String,
}

/// A distribution as GetDistribution shows it, or not there.
type Seen = Option<Arc<Distribution>>;

/// What was read, each for as long as `age`.
pub(crate) struct Registry {
    pub(crate) control: Arc<Api>,
    pub(crate) data: Arc<Api>,
    age: Duration,
    wait_for_deployed: bool,
    list: Recent<Vec<Summary>>,
    distributions: Recent<Seen>,
    /// What was last seen `Deployed`, by id.
    deployed: Mutex<HashMap<String, Arc<Distribution>>>,
    cache_policies: Recent<CachePolicy>,
    origin_request_policies: Recent<OriginRequestPolicy>,
    functions: Recent<EdgeFunction>,
    access_controls: Recent<Option<AccessControl>>,
    identities: Recent<Option<String>>,
    bucket_policies: Recent<Option<Value>>,
    url_functions: Recent<Option<UrlFunction>>,
    url_names: Mutex<HashMap<String, String>>,
    invalidations: Recent<BTreeSet<String>>,
    seen_invalidations: Mutex<HashMap<String, BTreeSet<String>>>,
}

impl Registry {
    pub(crate) fn new(
        control: Arc<Api>,
        data: Arc<Api>,
        age: Duration,
        wait_for_deployed: bool,
    ) -> Self {
        Self {
            control,
            data,
            age,
            wait_for_deployed,
            list: Recent::default(),
            distributions: Recent::default(),
            deployed: Mutex::default(),
            cache_policies: Recent::default(),
            origin_request_policies: Recent::default(),
            functions: Recent::default(),
            access_controls: Recent::default(),
            identities: Recent::default(),
            bucket_policies: Recent::default(),
            url_functions: Recent::default(),
            url_names: Mutex::default(),
            invalidations: Recent::default(),
            seen_invalidations: Mutex::default(),
        }
    }

    /// Has everything read again when it is next wanted.
    pub(crate) fn expire(&self) {
        self.control.retry();
        self.data.retry();
        self.list.expire();
        self.distributions.expire();
        self.cache_policies.expire();
        self.origin_request_policies.expire();
        self.functions.expire();
        self.access_controls.expire();
        self.identities.expire();
        self.bucket_policies.expire();
        self.url_functions.expire();
        self.invalidations.expire();
    }

    /// The distribution that serves a host name, as it is deployed.
    pub(crate) async fn distribution(&self, host: &str) -> anyhow::Result<Seen> {
        let known: Option<String> = self
            .lock_deployed()
            .values()
            .find(|distribution| distribution.is_named(host))
            .map(|distribution| distribution.id.clone());
        if let Some(id) = known
            && let Some(distribution) = self.deployed(&id).await?
            && distribution.is_named(host)
        {
            return Ok(Some(distribution));
        }
        let list = self
            .list
            .get((&self.control, GLOBAL), "", self.age, self.list());
        for summary in list.await? {
            if summary.is_named(host)
                && let Some(distribution) = self.deployed(&summary.id).await?
                && distribution.is_named(host)
            {
                return Ok(Some(distribution));
            }
        }
        Ok(None)
    }

    /// What of a distribution is deployed: while a change is in progress, what was there before it.
    async fn deployed(&self, id: &str) -> anyhow::Result<Seen> {
        let read = async {
            let root = self
                .control
                .cloudfront(&format!("distribution/{id}"))
                .await?;
            let parsed = root.map(|root| Distribution::parse(&root)).transpose()?;
            anyhow::Ok(parsed.map(Arc::new))
        };
        let seen = self
            .distributions
            .get((&self.control, GLOBAL), id, self.age, read)
            .await?;
        let mut deployed = self.lock_deployed();
        match seen {
            None => {
                deployed.remove(id);
            }
            Some(distribution) if distribution.deployed || !self.wait_for_deployed => {
                deployed.insert(id.to_owned(), distribution);
            }
            Some(_) => {}
        }
        Ok(deployed.get(id).cloned())
    }

    fn lock_deployed(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Distribution>>> {
        self.deployed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn cache_policy(&self, id: Option<&str>) -> anyhow::Result<CachePolicy> {
        let Some(id) = id else {
            return Ok(CachePolicy::default());
        };
        if let Some(managed) = CachePolicy::managed(id) {
            return Ok(managed);
        }
        let read = async {
            let config = self
                .control
                .cloudfront(&format!("cache-policy/{id}/config"))
                .await?;
            let config = config.with_context(|| format!("there is no cache policy {id}"))?;
            Ok(CachePolicy::parse(&config))
        };
        self.cache_policies
            .get((&self.control, GLOBAL), id, self.age, read)
            .await
    }

    pub(crate) async fn origin_request_policy(
        &self,
        id: Option<&str>,
    ) -> anyhow::Result<OriginRequestPolicy> {
        let Some(id) = id else {
            return Ok(OriginRequestPolicy::default());
        };
        if let Some(managed) = OriginRequestPolicy::managed(id) {
            return Ok(managed);
        }
        let read = async {
            let config = self
                .control
                .cloudfront(&format!("origin-request-policy/{id}/config"))
                .await?;
            let config =
                config.with_context(|| format!("there is no origin request policy {id}"))?;
            Ok(OriginRequestPolicy::parse(&config))
        };
        self.origin_request_policies
            .get((&self.control, GLOBAL), id, self.age, read)
            .await
    }

    /// A function's published code.
    pub(crate) async fn function(&self, arn: &str) -> anyhow::Result<EdgeFunction> {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        let read = async {
            let path = format!("/2020-05-31/function/{name}?Stage=LIVE");
            let code = self.control.get("cloudfront", GLOBAL, &path).await?;
            let code = code.with_context(|| format!("{arn} is not published"))?;
            let described = self
                .control
                .cloudfront(&format!("function/{name}/describe?Stage=LIVE"))
                .await?;
            let stores = described.as_ref().map(|root| {
                let path = "FunctionConfig/KeyValueStoreAssociations/Items";
                xml::items(root, path)
                    .first()
                    .map(|store| xml::text(store, "KeyValueStoreARN"))
            });
            Ok(EdgeFunction {
                code: String::from_utf8(code.body().to_vec())?.into(),
                store: stores.flatten(),
            })
        };
        self.functions
            .get((&self.control, GLOBAL), arn, self.age, read)
            .await
    }

    pub(crate) async fn access_control(&self, id: &str) -> anyhow::Result<Option<AccessControl>> {
        let read = async {
            let config = self
                .control
                .cloudfront(&format!("origin-access-control/{id}/config"))
                .await?;
            Ok(config.map(|config| AccessControl {
                kind: xml::text(&config, "OriginAccessControlOriginType"),
                signing: xml::text(&config, "SigningBehavior"),
            }))
        };
        self.access_controls
            .get((&self.control, GLOBAL), id, self.age, read)
            .await
    }

    /// The canonical user of an origin access identity.
    pub(crate) async fn identity(&self, id: &str) -> anyhow::Result<Option<String>> {
        let read = async {
            let path = format!("origin-access-identity/cloudfront/{id}");
            let root = self.control.cloudfront(&path).await?;
            Ok(root
                .as_ref()
                .map(|root: &Element| xml::text(root, "S3CanonicalUserId")))
        };
        self.identities
            .get((&self.control, GLOBAL), id, self.age, read)
            .await
    }

    /// A bucket's policy.
    pub(crate) async fn bucket_policy(
        &self,
        region: &str,
        bucket: &str,
    ) -> anyhow::Result<Option<Value>> {
        let path = format!("/{bucket}?policy");
        let read = self.data.json("s3", region, &path);
        self.bucket_policies
            .get((&self.data, region), bucket, self.age, read)
            .await
    }
}
