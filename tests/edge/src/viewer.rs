//! A viewer's request as CloudFront sees it: what a function may change, and what a cache key is made of.

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Request};

use crate::policy::{CachePolicy, Names, OriginRequestPolicy};

/// Of a connection or of its way through the edge, never the origin's; and the conditions of a request, since the edge
/// asks for whole answers only.
const NEVER_FORWARDED: [&str; 17] = [
    "accept-encoding",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "proxy-authorization",
    "range",
    "te",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-proto",
];

/// A request on its way from the viewer to an origin.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) https: bool,
    pub(crate) ip: String,
    /// As it was sent, with its percent signs.
    pub(crate) path: String,
    /// Without the question mark.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
}

impl Viewer {
    /// Reads a request. TLS ends before the edge: `X-Forwarded-Proto` says what the viewer spoke.
    pub(crate) fn read(request: Request<Bytes>, ip: String) -> (Self, Bytes) {
        let (parts, body) = request.into_parts();
        let text = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let host = text("host").unwrap_or_default();
        let host = host
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let viewer = Self {
            method: parts.method.to_string(),
            https: text("x-forwarded-proto") == Some("https"),
            ip,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            host,
            headers: parts.headers,
        };
        (viewer, body)
    }

    /// Whether an origin group's second origin may be asked: not after what could have changed something.
    pub(crate) fn may_fail_over(&self) -> bool {
        ["GET", "HEAD", "OPTIONS"].contains(&self.method.as_str())
    }

    /// The cache key: the distribution, the path, and what the policy names, not the origin. GET's answer serves HEAD.
    pub(crate) fn cache_key(&self, distribution: &str, policy: &CachePolicy) -> String {
        let mut key = format!("{distribution} {}", self.path);
        for (name, value) in self.queries(&[&policy.queries]) {
            key.push_str(&format!("&{name}={}", value.unwrap_or("\u{0}")));
        }
        if let Some(encodings) = self.encodings(policy) {
            key.push_str(&format!("\naccept-encoding: {encodings}"));
        }
        let mut headers: Vec<String> = self
            .headers
            .iter()
            .filter(|(name, _)| policy.headers.has(name.as_str()))
            .map(|(name, value)| format!("\n{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        headers.sort();
        key.extend(headers);
        let mut cookies: Vec<String> = self.cookies(&[&policy.cookies]);
        cookies.sort();
        key.extend(cookies.iter().map(|cookie| format!("\ncookie: {cookie}")));
        key
    }

    /// Path and query as the origin is asked for them.
    pub(crate) fn target(
        &self,
        prefix: &str,
        cache: &CachePolicy,
        more: &OriginRequestPolicy,
    ) -> String {
        let query: Vec<String> = self
            .queries(&[&cache.queries, &more.queries])
            .into_iter()
            .map(|(name, value)| match value {
                Some(value) => format!("{name}={value}"),
                None => name.to_owned(),
            })
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{prefix}{}{mark}{}", self.path, query.join("&"))
    }

    /// The headers that an origin sees of the viewer's; `Host` among them only if a policy says so.
    pub(crate) fn forwarded(&self, cache: &CachePolicy, more: &OriginRequestPolicy) -> HeaderMap {
        let named = |name: &str| cache.headers.has(name) || more.headers.has(name);
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            // A body is of no use without its type; its hash is the signature's.
            let always = ["content-type", "x-amz-content-sha256"].contains(&name.as_str());
            let never =
                NEVER_FORWARDED.contains(&name.as_str()) || name.as_str().starts_with("x-edge-");
            if !never && (always || named(name.as_str())) {
                headers.append(name.clone(), value.clone());
            }
        }
        if !headers.contains_key("user-agent") {
            headers.insert("user-agent", HeaderValue::from_static("Amazon CloudFront"));
        }
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        let cookies = self.cookies(&[&cache.cookies, &more.cookies]);
        if !cookies.is_empty() {
            set("cookie", &cookies.join("; "));
        }
        if let Some(encodings) = self
            .encodings(cache)
            .filter(|encodings| !encodings.is_empty())
        {
            set("accept-encoding", &encodings);
        }
        set("x-forwarded-for", &self.ip);
        set("via", "1.1 edge.cloudfront.net (CloudFront)");
        headers
    }

    fn queries<'a>(&'a self, policies: &[&Names]) -> Vec<(&'a str, Option<&'a str>)> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (pair, None),
            })
            .filter(|(name, _)| policies.iter().any(|policy| policy.has(name)))
            .collect()
    }

    fn cookies(&self, policies: &[&Names]) -> Vec<String> {
        self.headers
            .get_all("cookie")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .map(str::trim)
            .filter(|cookie| {
                let name = cookie.split('=').next().unwrap_or_default();
                !cookie.is_empty() && policies.iter().any(|policy| policy.has(name))
            })
            .map(str::to_owned)
            .collect()
    }

    /// What CloudFront makes of `Accept-Encoding` under a policy that looks at it: the encodings it knows, or nothing.
    fn encodings(&self, policy: &CachePolicy) -> Option<String> {
        if !policy.gzip && !policy.brotli {
            return None;
        }
        let accepted = self
            .headers
            .get("accept-encoding")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let takes = |wanted: &str| {
            accepted
                .split(',')
                .any(|one| one.split(';').next().unwrap_or_default().trim() == wanted)
        };
        let mut known = Vec::new();
        if policy.brotli && takes("br") {
            known.push("br");
        }
        if policy.gzip && takes("gzip") {
            known.push("gzip");
        }
        Some(known.join(","))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A GET of a path with these headers.
    pub(crate) fn get(path: &str, query: &str, headers: &[(&'static str, &str)]) -> Viewer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        Viewer {
            method: "GET".to_owned(),
            host: "shop.example.com".to_owned(),
            https: true,
            ip: "192.0.2.1".to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: map,
        }
    }

    fn key(policy: &CachePolicy, query: &str, headers: &[(&'static str, &str)]) -> String {
        get("/", query, headers).cache_key("E1", policy)
    }

    #[test]
    fn the_key_holds_what_the_policy_names_and_nothing_else() {
        let nothing = CachePolicy::default();
        let viewer = [("cookie", "a=1; b=2"), ("x-shop", "one")];
        assert_eq!(
            key(&nothing, "page=1", &viewer),
            key(&nothing, "page=2", &[])
        );

        let named = CachePolicy {
            headers: Names::Only(["x-shop".to_owned()].into()),
            cookies: Names::Only(["a".to_owned()].into()),
            queries: Names::All,
            ..CachePolicy::default()
        };
        let base = key(&named, "page=1", &viewer);
        assert_ne!(base, key(&named, "page=2", &viewer));
        assert_ne!(
            base,
            key(
                &named,
                "page=1",
                &[("cookie", "a=1; b=2"), ("x-shop", "two")]
            )
        );
        assert_ne!(
            base,
            key(&named, "page=1", &[("cookie", "a=2"), ("x-shop", "one")])
        );
        assert_eq!(
            base,
            key(
                &named,
                "page=1",
                &[("cookie", "b=3; a=1"), ("x-shop", "one")]
            )
        );
    }

    #[test]
    fn encodings_are_normalised_where_the_policy_looks_at_them() {
        let policy = CachePolicy {
            gzip: true,
            brotli: true,
            ..CachePolicy::default()
        };
        let with = |value| key(&policy, "", &[("accept-encoding", value)]);
        assert_eq!(with("gzip, deflate, br"), with("br;q=1.0, gzip"));
        assert_ne!(with("gzip"), with("br"));
        assert_eq!(with("deflate"), key(&policy, "", &[]));
    }

    #[test]
    fn the_origin_sees_both_policies_and_never_the_host_unless_asked() {
        let viewer = get(
            "/api/cart",
            "item=7&debug",
            &[
                ("host", "shop.example.com"),
                ("cookie", "s=1"),
                ("x-one", "1"),
                ("range", "bytes=0-1"),
            ],
        );
        let cache = CachePolicy::default();
        let except_host =
            OriginRequestPolicy::managed("b689b0a8-53d0-40ab-baf2-68738e2966ac").expect("managed");
        let headers = viewer.forwarded(&cache, &except_host);
        assert_eq!(headers["cookie"], "s=1");
        assert_eq!(headers["x-one"], "1");
        assert!(!headers.contains_key("host") && !headers.contains_key("range"));
        assert_eq!(
            viewer.target("", &cache, &except_host),
            "/api/cart?item=7&debug"
        );

        let nothing = OriginRequestPolicy::default();
        let headers = viewer.forwarded(&cache, &nothing);
        assert!(!headers.contains_key("cookie") && !headers.contains_key("x-one"));
        assert_eq!(headers["user-agent"], "Amazon CloudFront");
        assert_eq!(viewer.target("/site", &cache, &nothing), "/site/api/cart");
    }
}
