//! An origin request policy, shared by content over the account: an account has only 20.
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

/// `cloudfront_origin_request_policy`; its name is the policy's, but for a successor's number.
pub struct OriginRequestPolicy;

/// Managed fields of an origin request policy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Names forwarded; empty is none.
    pub cookies: BTreeSet<String>,
    /// Names forwarded; empty is none.
    pub headers: BTreeSet<String>,
    /// Which query strings are forwarded, as CloudFront spells it: `all`.
    pub query_strings: String,
}

#[async_trait]
impl Kind for OriginRequestPolicy {
    type Config = Config;

    const NAME: &'static str = "cloudfront_origin_request_policy";
    const OUTPUTS: &'static [&'static str] = &["id"];
    const DELETED_AFTER: &'static [&'static str] = &["cloudfront_distribution"];
    const ACTIONS: &'static [Action] = &[
        Action::on(
            "*",
            &[
                "cloudfront:ListOriginRequestPolicies",
                "cloudfront:CreateOriginRequestPolicy",
            ],
        ),
        Action::on(
            "arn:aws:cloudfront::{account}:origin-request-policy/*",
            &[
                "cloudfront:GetOriginRequestPolicy",
                "cloudfront:UpdateOriginRequestPolicy",
                "cloudfront:DeleteOriginRequestPolicy",
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
            .create_origin_request_policy()
            .origin_request_policy_config(write(&name, desired))
            .send();
        let answer = pass
            .call("cloudfront", "CreateOriginRequestPolicy", GLOBAL, create)
            .await;
        pass.changed(&shared::ORIGIN_REQUEST_POLICIES, "");
        let answer = answer?;
        let policy = answer.origin_request_policy().ok_or_else(|| {
            incomplete(
                "cloudfront:CreateOriginRequestPolicy",
                "OriginRequestPolicy",
            )
        })?;
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
        let config = same.and_then(|policy| policy.origin_request_policy_config());
        let name = config.map_or(id.name.as_str(), |config| config.name());
        let etag = etag(pass, &live.physical_id).await?;
        let update = pass
            .clients(GLOBAL)
            .cloudfront
            .update_origin_request_policy()
            .id(&live.physical_id)
            .if_match(etag)
            .origin_request_policy_config(write(name, desired))
            .send();
        let answer = pass
            .call("cloudfront", "UpdateOriginRequestPolicy", GLOBAL, update)
            .await;
        pass.changed(&shared::ORIGIN_REQUEST_POLICIES, "");
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
            .delete_origin_request_policy()
            .id(&live.physical_id)
            .if_match(etag)
            .send();
        let answer = pass
            .call("cloudfront", "DeleteOriginRequestPolicy", GLOBAL, delete)
            .await;
        pass.changed(&shared::ORIGIN_REQUEST_POLICIES, "");
        deleted_unless_in_use(answer)
    }
}

fn seen(config: Config, policy_id: &str) -> Seen<Config> {
    Seen::ours(config, policy_id).output("id", policy_id)
}

fn named<'a>(
    policies: &'a [types::OriginRequestPolicy],
    name: &str,
) -> Option<(
    &'a types::OriginRequestPolicy,
    &'a types::OriginRequestPolicyConfig,
)> {
    policies.iter().find_map(|policy| {
        let config = policy.origin_request_policy_config()?;
        (config.name() == name).then_some((policy, config))
    })
}

/// The name of the one that serves this app.
async fn place(
    pass: &Pass,
    id: &ResourceId,
    asker: Asker<'_>,
    policies: &[types::OriginRequestPolicy],
) -> Result<String, Failure> {
    let reference = |name: &str| named(policies, name).map(|(policy, _)| policy.id());
    successor::name(pass, &id.name, asker, reference).await
}

/// The account's own policies; AWS's managed ones have names of their own.
async fn list(pass: &Pass) -> Result<Arc<Vec<types::OriginRequestPolicy>>, Failure> {
    let fetch = async {
        let clients = pass.clients(GLOBAL);
        let (mut policies, mut marker) = (Vec::new(), None);
        loop {
            let page = clients
                .cloudfront
                .list_origin_request_policies()
                .r#type(types::OriginRequestPolicyType::Custom)
                .set_marker(marker)
                .send();
            let page = pass
                .call("cloudfront", "ListOriginRequestPolicies", GLOBAL, page)
                .await?;
            let Some(page) = page.origin_request_policy_list else {
                return Ok(policies);
            };
            let items = page.items.unwrap_or_default();
            policies.extend(
                items
                    .into_iter()
                    .filter_map(|item| item.origin_request_policy),
            );
            marker = page.next_marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                return Ok(policies);
            }
        }
    };
    pass.shared(&shared::ORIGIN_REQUEST_POLICIES, "", fetch)
        .await
}

async fn etag(pass: &Pass, policy_id: &str) -> Result<String, Failure> {
    let clients = pass.clients(GLOBAL);
    let get = clients
        .cloudfront
        .get_origin_request_policy()
        .id(policy_id)
        .send();
    let answer = pass
        .call("cloudfront", "GetOriginRequestPolicy", GLOBAL, get)
        .await?;
    answer
        .e_tag
        .ok_or_else(|| incomplete("cloudfront:GetOriginRequestPolicy", "ETag"))
}

fn read(config: &types::OriginRequestPolicyConfig, wanted: Option<&Config>) -> Config {
    let mut seen = Config {
        cookies: BTreeSet::new(),
        headers: BTreeSet::new(),
        query_strings: "none".into(),
    };
    if let Some(cookies) = config.cookies_config() {
        let names = cookies.cookies().map_or(&[][..], |names| names.items());
        seen.cookies = whitelist(cookies.cookie_behavior().as_str(), names);
    }
    if let Some(headers) = config.headers_config() {
        let names = headers.headers().map_or(&[][..], |names| names.items());
        let names = whitelist(headers.header_behavior().as_str(), names);
        seen.headers = spelled_as(wanted.map(|wanted| &wanted.headers), names);
    }
    if let Some(queries) = config.query_strings_config() {
        let names = queries
            .query_strings()
            .map_or(&[][..], |names| names.items());
        seen.query_strings = in_words(queries.query_string_behavior().as_str(), names);
    }
    seen
}

fn write(name: &str, desired: &Config) -> types::OriginRequestPolicyConfig {
    let cookies = types::OriginRequestPolicyCookiesConfig::builder()
        .cookie_behavior(selection(&desired.cookies).into())
        .set_cookies(cookie_names(&desired.cookies))
        .build()
        .expect(COMPLETE);
    let headers = types::OriginRequestPolicyHeadersConfig::builder()
        .header_behavior(selection(&desired.headers).into())
        .set_headers(header_names(&desired.headers))
        .build()
        .expect(COMPLETE);
    let queries = types::OriginRequestPolicyQueryStringsConfig::builder()
        .query_string_behavior(desired.query_strings.as_str().into())
        .build()
        .expect(COMPLETE);
    types::OriginRequestPolicyConfig::builder()
        .name(name)
        .comment(SHARED)
        .cookies_config(cookies)
        .headers_config(headers)
        .query_strings_config(queries)
        .build()
        .expect(COMPLETE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Owner;
    use crate::resources::testing::{Answer, pass_answering};

    async fn observe(headers: &'static str, wanted: &Config) -> Seen<Config> {
        let pass = pass_answering(move |_| {
            Answer::new(
                200,
                format!(
                    "<OriginRequestPolicyList><MaxItems>100</MaxItems><Quantity>1</Quantity><Items>\
                     <OriginRequestPolicySummary><Type>custom</Type><OriginRequestPolicy><Id>p1</Id><LastModifiedTime>\
                     2026-01-01T00:00:00Z</LastModifiedTime><OriginRequestPolicyConfig><Comment>{SHARED}</Comment>\
                     <Name>multiregion-origin-request-1</Name><HeadersConfig>{headers}</HeadersConfig><CookiesConfig>\
                     <CookieBehavior>whitelist</CookieBehavior><Cookies><Quantity>2</Quantity><Items><Name>theme</Name>\
                     <Name>Session</Name></Items></Cookies></CookiesConfig><QueryStringsConfig><QueryStringBehavior>all\
                     </QueryStringBehavior></QueryStringsConfig></OriginRequestPolicyConfig></OriginRequestPolicy>\
                     </OriginRequestPolicySummary></Items></OriginRequestPolicyList>"
                ),
            )
        });
        let id = ResourceId::global(OriginRequestPolicy::NAME, "multiregion-origin-request-1");
        let hint = Hint {
            known_id: Some("p1".into()),
            wanted: Some(wanted.clone()),
        };
        let seen = OriginRequestPolicy::observe(&pass, &id, hint).await;
        seen.expect("it can be read").expect("it is there")
    }

    #[tokio::test]
    async fn cookies_have_case_and_forwarding_every_header_is_drift() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let mut wanted = Config {
            cookies: names(&["Session", "theme"]),
            headers: BTreeSet::new(),
            query_strings: "all".into(),
        };
        let seen = observe("<HeaderBehavior>none</HeaderBehavior>", &wanted).await;
        assert_eq!(seen.config, wanted);
        assert_eq!(seen.owner, Owner::Ours);
        wanted.cookies = names(&["session", "theme"]);
        let seen = observe("<HeaderBehavior>allViewer</HeaderBehavior>", &wanted).await;
        assert_ne!(seen.config.cookies, wanted.cookies);
        assert_eq!(seen.config.headers, names(&["allViewer"]));
    }
}
