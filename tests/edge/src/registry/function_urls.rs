//! From a function URL's host to its function, and whom the function admits.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::{Registry, UrlFunction};

impl Registry {
    /// The function that the URL with this host leads to.
    pub(crate) async fn url_function(
        &self,
        region: &str,
        host: &str,
    ) -> anyhow::Result<Option<UrlFunction>> {
        let read = self.read_url_function(region, host);
        self.url_functions
            .get((&self.data, region), host, self.age, read)
            .await
    }

    async fn read_url_function(
        &self,
        region: &str,
        host: &str,
    ) -> anyhow::Result<Option<UrlFunction>> {
        let known = self.lock_names().get(host).cloned();
        let name = match known {
            Some(name) if self.url_is(region, &name, host).await? => name,
            _ => match self.search_url(region, host).await? {
                Some(name) => name,
                None => return Ok(None),
            },
        };
        self.lock_names().insert(host.to_owned(), name.clone());
        let path = format!("/2015-03-31/functions/{name}/policy");
        let answer = self.data.json("lambda", region, &path).await?;
        let policy = answer
            .as_ref()
            .and_then(|answer| answer["Policy"].as_str())
            .and_then(|policy| serde_json::from_str(policy).ok())
            .unwrap_or_default();
        let account = &self.data.signer().account;
        Ok(Some(UrlFunction {
            arn: format!("arn:aws:lambda:{region}:{account}:function:{name}"),
            policy,
        }))
    }

    fn lock_names(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.url_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// AWS has no look-up from a URL to its function: each function is asked for its URL.
    async fn search_url(&self, region: &str, host: &str) -> anyhow::Result<Option<String>> {
        let mut marker = String::new();
        loop {
            let path = format!("/2015-03-31/functions{marker}");
            let list = self
                .data
                .json("lambda", region, &path)
                .await?
                .unwrap_or_default();
            for function in list["Functions"].as_array().into_iter().flatten() {
                let name = function["FunctionName"].as_str().unwrap_or_default();
                if self.url_is(region, name, host).await? {
                    return Ok(Some(name.to_owned()));
                }
            }
            match list["NextMarker"].as_str() {
                Some(next) if !next.is_empty() => marker = format!("?Marker={next}"),
                _ => return Ok(None),
            }
        }
    }

    async fn url_is(&self, region: &str, name: &str, host: &str) -> anyhow::Result<bool> {
        let path = format!("/2021-10-31/functions/{name}/url");
        let config = self.data.json("lambda", region, &path).await?;
        let url = config
            .as_ref()
            .and_then(|config| config["FunctionUrl"].as_str());
        Ok(url.is_some_and(|url| url == format!("https://{host}/")))
    }
}
