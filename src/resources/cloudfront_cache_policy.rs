//! A cache policy, shared by content over the account: an account has only 20.
//!
//! Its name, `multiregion-…-<hash>`, is a hash of its content, so that apps that want the same find the same one.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudfront::types;
use serde::{Deserialize, Serialize};

use super::cloudfront::successor::Asker;
use super::cloudfront::{
    COMPLETE, SHARED, cookie_names, deleted_unless_in_use, header_names, in_words, owner_of_shared,
    selection, spelled_as, successor, whitelist,
};
use super::{Action, Hint, Kind, Seen, incomplete};
use crate::aws::{Pass, shared};
use crate::model::{DataPolicy, Deleted, Failure, GLOBAL, ResourceId};

/// `cloudfront_cache_policy`; its name is the policy's, but for a successor's number.
pub struct CachePolicy;

/// Managed fields of a cache policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Seconds.
    pub default_ttl: i64,
    /// Seconds.
    pub max_ttl: i64,
    /// Seconds.
    pub min_ttl: i64,
    /// Names in the key; empty is none.
    pub cookies: BTreeSet<String>,
    /// Names in the key; empty is none.
    pub headers: BTreeSet<String>,
    /// Which query strings are in the key, as CloudFront spells it: `all`.
    pub query_strings: String,
    /// Compressions offered to viewers and kept apart in the key: `br`, `gzip`.
    pub encodings: BTreeSet<String>,
}

#[async_trait]
impl Kind for CachePolicy {
    type Config = Config;

    const NAME: &'static str = "cloudfront_cache_policy";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution"];
    const ACTIONS: &'static [Action] = &[
        Action::on(
            "*",
            &[
                "cloudfront:ListCachePolicies",
                "cloudfront:CreateCachePolicy",
            ],
        ),
        Action::on(
            "arn:aws:cloudfront::{account}:cache-policy/*",
            &[
                "cloudfront:GetCachePolicy",
                "cloudfront:UpdateCachePolicy",
                "cloudfront:DeleteCachePolicy",
            ],
        ),
    ];

    /// By the list, which has every policy whole: as cheap as a read by id, and never stale.
    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let policies = list(pass).await?;
        let asker = Asker::of(hint.known_id.as_deref(), hint.wanted.as_ref());
        let name = place(pass, id, asker, &policies).await?;
        let Some((policy, config)) = named(&policies, &name) else {
            return Ok(None);
        };
        let mut seen = seen(read(config, hint.wanted.as_ref()), policy.id());
        seen.owner = owner_of_shared(config.comment().unwrap_or_default());
        Ok(Some(seen))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let name = place(pass, id, Asker::Using(None), &list(pass).await?).await?;
        let create = pass
            .clients(GLOBAL)
            .cloudfront
            .create_cache_policy()
            .cache_policy_config(write(&name, desired))
            .send();
        let answer = pass
            .call("cloudfront", "CreateCachePolicy", GLOBAL, create)
            .await;
        pass.changed(&shared::CACHE_POLICIES, "");
        let answer = answer?;
        let policy = answer
            .cache_policy()
            .ok_or_else(|| incomplete("cloudfront:CreateCachePolicy", "CachePolicy"))?;
        Ok(seen(desired.clone(), policy.id()))
    }

    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        _changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let policies = list(pass).await?;
        let same = policies
            .iter()
            .find(|policy| policy.id() == live.physical_id);
        let config = same.and_then(|policy| policy.cache_policy_config());
        let name = config.map_or(id.name.as_str(), |config| config.name());
        let etag = etag(pass, &live.physical_id).await?;
        let update = pass
            .clients(GLOBAL)
            .cloudfront
            .update_cache_policy()
            .id(&live.physical_id)
            .if_match(etag)
            .cache_policy_config(write(name, desired))
            .send();
        let answer = pass
            .call("cloudfront", "UpdateCachePolicy", GLOBAL, update)
            .await;
        pass.changed(&shared::CACHE_POLICIES, "");
        answer?;
        Ok(seen(desired.clone(), &live.physical_id))
    }

    async fn delete(
        pass: &Pass,
        _id: &ResourceId,
        live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let etag = etag(pass, &live.physical_id).await?;
        let delete = pass
            .clients(GLOBAL)
            .cloudfront
            .delete_cache_policy()
            .id(&live.physical_id)
            .if_match(etag)
            .send();
        let answer = pass
            .call("cloudfront", "DeleteCachePolicy", GLOBAL, delete)
            .await;
        pass.changed(&shared::CACHE_POLICIES, "");
        deleted_unless_in_use(answer)
    }
}

fn seen(config: Config, policy_id: &str) -> Seen<Config> {
    Seen::ours(config, policy_id).output("id", policy_id)
}

fn named<'a>(
    policies: &'a [types::CachePolicy],
    name: &str,
) -> Option<(&'a types::CachePolicy, &'a types::CachePolicyConfig)> {
    policies.iter().find_map(|policy| {
        let config = policy.cache_policy_config()?;
        (config.name() == name).then_some((policy, config))
    })
}

/// The name of the one that serves this app.
async fn place(
    pass: &Pass,
    id: &ResourceId,
    asker: Asker<'_>,
    policies: &[types::CachePolicy],
) -> Result<String, Failure> {
    let reference = |name: &str| named(policies, name).map(|(policy, _)| policy.id());
    successor::name(pass, &id.name, asker, reference).await
}

/// The account's own policies; AWS's managed ones have names of their own.
async fn list(pass: &Pass) -> Result<Arc<Vec<types::CachePolicy>>, Failure> {
    let fetch = async {
        let clients = pass.clients(GLOBAL);
        let (mut policies, mut marker) = (Vec::new(), None);
        loop {
            let page = clients
                .cloudfront
                .list_cache_policies()
                .r#type(types::CachePolicyType::Custom)
                .set_marker(marker)
                .send();
            let page = pass
                .call("cloudfront", "ListCachePolicies", GLOBAL, page)
                .await?;
            let Some(page) = page.cache_policy_list else {
                return Ok(policies);
            };
            let items = page.items.unwrap_or_default();
            policies.extend(items.into_iter().filter_map(|item| item.cache_policy));
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(policies);
            }
        }
    };
    pass.shared(&shared::CACHE_POLICIES, "", fetch).await
}

async fn etag(pass: &Pass, policy_id: &str) -> Result<String, Failure> {
    let clients = pass.clients(GLOBAL);
    let get = clients.cloudfront.get_cache_policy().id(policy_id).send();
    let answer = pass
        .call("cloudfront", "GetCachePolicy", GLOBAL, get)
        .await?;
    answer
        .e_tag
        .ok_or_else(|| incomplete("cloudfront:GetCachePolicy", "ETag"))
}

fn read(config: &types::CachePolicyConfig, wanted: Option<&Config>) -> Config {
    let mut seen = Config {
        default_ttl: config.default_ttl().unwrap_or_default(),
        max_ttl: config.max_ttl().unwrap_or_default(),
        min_ttl: config.min_ttl(),
        cookies: BTreeSet::new(),
        headers: BTreeSet::new(),
        query_strings: "none".into(),
        encodings: BTreeSet::new(),
    };
    let Some(parameters) = config.parameters_in_cache_key_and_forwarded_to_origin() else {
        return seen;
    };
    if parameters.enable_accept_encoding_brotli() == Some(true) {
        seen.encodings.insert("br".into());
    }
    if parameters.enable_accept_encoding_gzip() {
        seen.encodings.insert("gzip".into());
    }
    if let Some(cookies) = parameters.cookies_config() {
        let names = cookies.cookies().map_or(&[][..], |names| names.items());
        seen.cookies = whitelist(cookies.cookie_behavior().as_str(), names);
    }
    if let Some(headers) = parameters.headers_config() {
        let names = headers.headers().map_or(&[][..], |names| names.items());
        let names = whitelist(headers.header_behavior().as_str(), names);
        seen.headers = spelled_as(wanted.map(|wanted| &wanted.headers), names);
    }
    if let Some(queries) = parameters.query_strings_config() {
        let names = queries
            .query_strings()
            .map_or(&[][..], |names| names.items());
        seen.query_strings = in_words(queries.query_string_behavior().as_str(), names);
    }
    seen
}

fn write(name: &str, desired: &Config) -> types::CachePolicyConfig {
    let cookies = types::CachePolicyCookiesConfig::builder()
        .cookie_behavior(selection(&desired.cookies).into())
        .set_cookies(cookie_names(&desired.cookies))
        .build()
        .expect(COMPLETE);
    let headers = types::CachePolicyHeadersConfig::builder()
        .header_behavior(selection(&desired.headers).into())
        .set_headers(header_names(&desired.headers))
        .build()
        .expect(COMPLETE);
    let queries = types::CachePolicyQueryStringsConfig::builder()
        .query_string_behavior(desired.query_strings.as_str().into())
        .build()
        .expect(COMPLETE);
    let parameters = types::ParametersInCacheKeyAndForwardedToOrigin::builder()
        .enable_accept_encoding_brotli(desired.encodings.contains("br"))
        .enable_accept_encoding_gzip(desired.encodings.contains("gzip"))
        .cookies_config(cookies)
        .headers_config(headers)
        .query_strings_config(queries)
        .build()
        .expect(COMPLETE);
    types::CachePolicyConfig::builder()
        .name(name)
        .comment(SHARED)
        .default_ttl(desired.default_ttl)
        .max_ttl(desired.max_ttl)
        .min_ttl(desired.min_ttl)
        .parameters_in_cache_key_and_forwarded_to_origin(parameters)
        .build()
        .expect(COMPLETE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Owner;
    use crate::resources::testing::{Answer, Asked, pass_answering};

    fn policy(name: &str, comment: &str, parameters: &str) -> String {
        format!(
            "<CachePolicySummary><Type>custom</Type><CachePolicy><Id>id-of-{name}</Id><LastModifiedTime>\
             2026-01-01T00:00:00Z</LastModifiedTime><CachePolicyConfig><Comment>{comment}</Comment><Name>{name}</Name>\
             <DefaultTTL>60</DefaultTTL><MaxTTL>86400</MaxTTL><MinTTL>0</MinTTL>\
             <ParametersInCacheKeyAndForwardedToOrigin>{parameters}</ParametersInCacheKeyAndForwardedToOrigin>\
             </CachePolicyConfig></CachePolicy></CachePolicySummary>"
        )
    }

    fn page(asked: &Asked, first: &str, second: &str) -> Answer {
        let (items, next) = if asked.has("Marker") {
            (second, "")
        } else {
            (first, "<NextMarker>next</NextMarker>")
        };
        Answer::new(
            200,
            format!(
                "<CachePolicyList>{next}<MaxItems>1</MaxItems><Quantity>1</Quantity><Items>{items}</Items></CachePolicyList>"
            ),
        )
    }

    const OURS: &str = "<EnableAcceptEncodingGzip>true</EnableAcceptEncodingGzip><EnableAcceptEncodingBrotli>true\
        </EnableAcceptEncodingBrotli><HeadersConfig><HeaderBehavior>whitelist</HeaderBehavior><Headers><Quantity>2\
        </Quantity><Items><Name>x-country</Name><Name>accept-language</Name></Items></Headers></HeadersConfig>\
        <CookiesConfig><CookieBehavior>none</CookieBehavior></CookiesConfig><QueryStringsConfig><QueryStringBehavior>all\
        </QueryStringBehavior></QueryStringsConfig>";
    const DRIFTED: &str = "<EnableAcceptEncodingGzip>true</EnableAcceptEncodingGzip><HeadersConfig><HeaderBehavior>none\
        </HeaderBehavior></HeadersConfig><CookiesConfig><CookieBehavior>allExcept</CookieBehavior><Cookies><Quantity>1\
        </Quantity><Items><Name>ads</Name></Items></Cookies></CookiesConfig><QueryStringsConfig><QueryStringBehavior>\
        whitelist</QueryStringBehavior><QueryStrings><Quantity>1</Quantity><Items><Name>page</Name></Items></QueryStrings>\
        </QueryStringsConfig>";

    fn wanted() -> Config {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Config {
            default_ttl: 60,
            max_ttl: 86400,
            min_ttl: 0,
            cookies: BTreeSet::new(),
            headers: names(&["Accept-Language", "X-Country"]),
            query_strings: "all".into(),
            encodings: names(&["br", "gzip"]),
        }
    }

    async fn observe(comment: &'static str, parameters: &'static str) -> Seen<Config> {
        let pass = pass_answering(move |asked: &Asked| {
            page(
                asked,
                &policy("theirs", "", OURS),
                &policy("multiregion-cache-1", comment, parameters),
            )
        });
        let id = ResourceId::global(CachePolicy::NAME, "multiregion-cache-1");
        let hint = Hint {
            known_id: Some("id-of-multiregion-cache-1".into()),
            wanted: Some(wanted()),
        };
        let seen = CachePolicy::observe(&pass, &id, hint).await;
        seen.expect("it can be read").expect("it is there")
    }

    #[tokio::test]
    async fn cloudfronts_order_and_case_are_no_difference() {
        let seen = observe(SHARED, OURS).await;
        assert_eq!(seen.config, wanted());
        assert_eq!(seen.owner, Owner::Ours);
        assert_eq!(seen.outputs["id"], "id-of-multiregion-cache-1");
    }

    #[tokio::test]
    async fn what_is_constant_is_seen_to_drift_too() {
        let seen = observe("hands off", DRIFTED).await;
        assert_eq!(seen.config.cookies, ["allExcept: ads".to_owned()].into());
        assert_eq!(seen.config.query_strings, "whitelist: page");
        assert_eq!(seen.config.encodings, ["gzip".to_owned()].into());
        assert!(matches!(seen.owner, Owner::Other(_)));
    }
}
