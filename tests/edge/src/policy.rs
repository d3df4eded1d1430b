//! Cache policies and origin request policies: what of a request is in the cache key, and what the origin sees.

use std::collections::BTreeSet;

use xmltree::Element;

use crate::xml;

/// A choice among named things: headers, cookies or query strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    None,
    Only(BTreeSet<String>),
    AllExcept(BTreeSet<String>),
    All,
}

impl Names {
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Only(names) => names.contains(name),
            Self::AllExcept(names) => !names.contains(name),
            Self::All => true,
        }
    }

    /// Reads one of a policy's three parts, e.g. `("Header", "Headers")`. Header names are made lower case.
    fn parse(element: &Element, one: &str, list: &str) -> Self {
        let part = if one == "QueryString" {
            "QueryStringsConfig".to_owned()
        } else {
            format!("{list}Config")
        };
        let mut names: BTreeSet<String> = xml::texts(element, &format!("{part}/{list}/Items"));
        if one == "Header" {
            names = names
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .collect();
        }
        match xml::text(element, &format!("{part}/{one}Behavior")).as_str() {
            "whitelist" => Self::Only(names),
            "allExcept" => Self::AllExcept(names),
            "all" | "allViewer" | "allViewerAndWhitelistCloudFront" => Self::All,
            _ => Self::None,
        }
    }
}

/// What is in the cache key, and for how long answers are kept. What is in the key is sent to the origin too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachePolicy {
    /// Seconds, as all three.
    pub(crate) min_ttl: u64,
    pub(crate) default_ttl: u64,
    pub(crate) max_ttl: u64,
    pub(crate) gzip: bool,
    pub(crate) brotli: bool,
    pub(crate) headers: Names,
    pub(crate) cookies: Names,
    pub(crate) queries: Names,
}

impl CachePolicy {
    /// Reads a `CachePolicyConfig`.
    pub(crate) fn parse(config: &Element) -> Self {
        let nothing = Element::new("nothing");
        let key = config
            .get_child("ParametersInCacheKeyAndForwardedToOrigin")
            .unwrap_or(&nothing);
        let min_ttl = xml::number(config, "MinTTL").unwrap_or(0);
        Self {
            min_ttl,
            default_ttl: xml::number(config, "DefaultTTL").unwrap_or(min_ttl.max(86_400)),
            max_ttl: xml::number(config, "MaxTTL").unwrap_or(min_ttl.max(31_536_000)),
            gzip: xml::is_true(key, "EnableAcceptEncodingGzip"),
            brotli: xml::is_true(key, "EnableAcceptEncodingBrotli"),
            headers: Names::parse(key, "Header", "Headers"),
            cookies: Names::parse(key, "Cookie", "Cookies"),
            queries: Names::parse(key, "QueryString", "QueryStrings"),
        }
    }

    /// AWS's own policies, whose ids are the same in every account.
    pub(crate) fn managed(id: &str) -> Option<Self> {
        let caching = Self {
            min_ttl: 1,
            ..Self::default()
        };
        match id {
            // CachingOptimized
            "658327ea-f89d-4fab-a63d-7e88639e58f6" => Some(Self {
                gzip: true,
                brotli: true,
                ..caching
            }),
            // CachingOptimizedForUncompressedObjects
            "b2884449-e4de-46a7-ac36-70bc7f1ddd6d" => Some(caching),
            // CachingDisabled
            "4135ea2d-6df8-44a3-9df3-4b5a84be39ad" => Some(Self {
                default_ttl: 0,
                max_ttl: 0,
                ..Self::default()
            }),
            _ => None,
        }
    }
}

impl Default for CachePolicy {
    /// A behaviour without a policy and without settings of its own: nothing in the key, a day's caching.
    fn default() -> Self {
        Self {
            min_ttl: 0,
            default_ttl: 86_400,
            max_ttl: 31_536_000,
            gzip: false,
            brotli: false,
            headers: Names::None,
            cookies: Names::None,
            queries: Names::None,
        }
    }
}

/// What the origin sees beyond the cache key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OriginRequestPolicy {
    pub(crate) headers: Names,
    pub(crate) cookies: Names,
    pub(crate) queries: Names,
}

impl OriginRequestPolicy {
    /// Reads an `OriginRequestPolicyConfig`.
    pub(crate) fn parse(config: &Element) -> Self {
        Self {
            headers: Names::parse(config, "Header", "Headers"),
            cookies: Names::parse(config, "Cookie", "Cookies"),
            queries: Names::parse(config, "QueryString", "QueryStrings"),
        }
    }

    /// AWS's own policies, whose ids are the same in every account.
    pub(crate) fn managed(id: &str) -> Option<Self> {
        let headers = match id {
            // AllViewer
            "216adef6-5c7f-47e4-b989-5492eafa07d3" => Names::All,
            // AllViewerExceptHostHeader
            "b689b0a8-53d0-40ab-baf2-68738e2966ac" => Names::AllExcept(["host".to_owned()].into()),
            _ => return None,
        };
        Some(Self {
            headers,
            cookies: Names::All,
            queries: Names::All,
        })
    }
}

impl Default for OriginRequestPolicy {
    /// Nothing beyond the cache key.
    fn default() -> Self {
        Self {
            headers: Names::None,
            cookies: Names::None,
            queries: Names::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_policy_is_read_with_its_three_parts() {
        let config = "<CachePolicyConfig><MinTTL>0</MinTTL><DefaultTTL>60</DefaultTTL><MaxTTL>86400</MaxTTL>\
            <ParametersInCacheKeyAndForwardedToOrigin><EnableAcceptEncodingGzip>true</EnableAcceptEncodingGzip>\
            <HeadersConfig><HeaderBehavior>whitelist</HeaderBehavior><Headers><Quantity>1</Quantity><Items>\
            <Name>X-Shop</Name></Items></Headers></HeadersConfig>\
            <CookiesConfig><CookieBehavior>none</CookieBehavior></CookiesConfig>\
            <QueryStringsConfig><QueryStringBehavior>allExcept</QueryStringBehavior><QueryStrings><Items>\
            <Name>utm</Name></Items></QueryStrings></QueryStringsConfig>\
            </ParametersInCacheKeyAndForwardedToOrigin></CachePolicyConfig>";
        let policy = CachePolicy::parse(&Element::parse(config.as_bytes()).expect("XML"));
        assert_eq!((policy.default_ttl, policy.max_ttl), (60, 86_400));
        assert!(policy.gzip && !policy.brotli);
        assert_eq!(policy.headers, Names::Only(["x-shop".to_owned()].into()));
        assert_eq!(policy.cookies, Names::None);
        assert!(policy.queries.has("page") && !policy.queries.has("utm"));
    }
}
