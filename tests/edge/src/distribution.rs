//! A distribution's config, as far as it decides what a request is answered with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use xmltree::Element;

use crate::pattern;
use crate::xml;

/// What a distribution serves by.
#[derive(Debug, Clone)]
pub(crate) struct Distribution {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) domain: String,
    pub(crate) deployed: bool,
    pub(crate) enabled: bool,
    pub(crate) aliases: BTreeSet<String>,
    pub(crate) default_root_object: String,
    /// In the order in which they are tried; the default one is last and has no pattern.
    pub(crate) behaviors: Vec<Behavior>,
    pub(crate) origins: BTreeMap<String, Origin>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// How long errors are cached, by status, in seconds.
    pub(crate) error_ttls: BTreeMap<u16, u64>,
}

/// A cache behaviour.
#[derive(Debug, Clone)]
pub(crate) struct Behavior {
    pub(crate) pattern: Option<String>,
    pub(crate) target: String,
    pub(crate) viewer_protocol: String,
    pub(crate) allowed_methods: BTreeSet<String>,
    pub(crate) cached_methods: BTreeSet<String>,
    pub(crate) cache_policy: Option<String>,
    pub(crate) origin_request_policy: Option<String>,
    /// The ARN of the function that runs on viewer requests.
    pub(crate) viewer_request: Option<String>,
}

/// Where a request is sent, and how.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) id: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) connection_attempts: u32,
    pub(crate) connection_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) access_control: Option<String>,
    pub(crate) access_identity: Option<String>,
    pub(crate) place: Place,
}

/// What an origin's domain name is the name of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A bucket's REST endpoint.
    Bucket { bucket: String, region: String },
    /// A Lambda function's URL.
    FunctionUrl { region: String },
    /// Any other server, by the ports for HTTP and HTTPS and the protocol policy.
    Server {
        http: u16,
        https: u16,
        policy: String,
    },
}

/// Origins of which the second is asked where the first fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) origins: Vec<String>,
    pub(crate) statuses: BTreeSet<u16>,
}

impl Distribution {
    /// Reads GetDistribution's answer.
    pub(crate) fn parse(root: &Element) -> anyhow::Result<Self> {
        let config = root
            .get_child("DistributionConfig")
            .context("a distribution without a config")?;
        let mut behaviors: Vec<Behavior> = xml::items(config, "CacheBehaviors/Items")
            .into_iter()
            .map(behavior)
            .collect();
        let default = config
            .get_child("DefaultCacheBehavior")
            .context("no default behaviour")?;
        behaviors.push(behavior(default));
        let origins = xml::items(config, "Origins/Items");
        let groups = xml::items(config, "OriginGroups/Items");
        let errors = xml::items(config, "CustomErrorResponses/Items");
        Ok(Self {
            id: xml::text(root, "Id"),
            arn: xml::text(root, "ARN"),
            domain: xml::text(root, "DomainName").to_ascii_lowercase(),
            deployed: xml::text(root, "Status") == "Deployed",
            enabled: xml::is_true(config, "Enabled"),
            aliases: xml::texts::<Vec<_>>(config, "Aliases/Items")
                .into_iter()
                .map(|alias| alias.to_ascii_lowercase())
                .collect(),
            default_root_object: xml::text(config, "DefaultRootObject"),
            behaviors,
            origins: origins
                .into_iter()
                .map(|one| (xml::text(one, "Id"), origin(one)))
                .collect(),
            groups: groups
                .into_iter()
                .map(|one| (xml::text(one, "Id"), group(one)))
                .collect(),
            error_ttls: errors
                .into_iter()
                .filter_map(|one| {
                    let status = xml::text(one, "ErrorCode").parse().ok()?;
                    Some((status, xml::number(one, "ErrorCachingMinTTL")?))
                })
                .collect(),
        })
    }

    /// Whether a `Host` is this distribution's.
    pub(crate) fn is_named(&self, host: &str) -> bool {
        self.domain == host || self.aliases.iter().any(|alias| names(alias, host))
    }

    /// The behaviour for a path: the first one whose pattern matches.
    pub(crate) fn behavior(&self, path: &str) -> Option<&Behavior> {
        self.behaviors.iter().find(|behavior| {
            behavior.pattern.as_ref().is_none_or(|wanted| {
                pattern::matches(wanted.trim_start_matches('/'), path.trim_start_matches('/'))
            })
        })
    }
}

impl Origin {
    /// The region that the origin is in, if its name tells.
    pub(crate) fn region(&self) -> Option<&str> {
        match &self.place {
            Place::Bucket { region, .. } | Place::FunctionUrl { region } => Some(region),
            Place::Server { .. } => None,
        }
    }
}

/// Whether a domain name or alias is a host's; an alias may begin with `*.`, which stands for one or more labels.
pub(crate) fn names(name: &str, host: &str) -> bool {
    name == host
        || name
            .strip_prefix('*')
            .is_some_and(|suffix| host.ends_with(suffix))
}

fn behavior(element: &Element) -> Behavior {
    let functions = xml::items(element, "FunctionAssociations/Items");
    let viewer_request = functions
        .into_iter()
        .find(|one| xml::text(one, "EventType") == "viewer-request");
    let mut allowed_methods: BTreeSet<String> = xml::texts(element, "AllowedMethods/Items");
    if allowed_methods.is_empty() {
        allowed_methods = ["GET", "HEAD"].map(str::to_owned).into();
    }
    let mut cached_methods: BTreeSet<String> =
        xml::texts(element, "AllowedMethods/CachedMethods/Items");
    cached_methods.extend(["GET", "HEAD"].map(str::to_owned));
    Behavior {
        pattern: xml::some(element, "PathPattern"),
        target: xml::text(element, "TargetOriginId"),
        viewer_protocol: xml::text(element, "ViewerProtocolPolicy"),
        allowed_methods,
        cached_methods,
        cache_policy: xml::some(element, "CachePolicyId"),
        origin_request_policy: xml::some(element, "OriginRequestPolicyId"),
        viewer_request: viewer_request.map(|one| xml::text(one, "FunctionARN")),
    }
}

fn origin(element: &Element) -> Origin {
    let seconds = |path: &str, default: u64| {
        Duration::from_secs(xml::number(element, path).unwrap_or(default))
    };
    let host = xml::text(element, "DomainName").to_ascii_lowercase();
    let identity = xml::some(element, "S3OriginConfig/OriginAccessIdentity");
    let config = if element.get_child("CustomOriginConfig").is_some() {
        "CustomOriginConfig"
    } else {
        "S3OriginConfig"
    };
    let port = |path: &str, default: u16| xml::text(element, path).parse().unwrap_or(default);
    let place = place(&host).unwrap_or_else(|| Place::Server {
        http: port("CustomOriginConfig/HTTPPort", 80),
        https: port("CustomOriginConfig/HTTPSPort", 443),
        policy: xml::text(element, "CustomOriginConfig/OriginProtocolPolicy"),
    });
    Origin {
        id: xml::text(element, "Id"),
        path: xml::text(element, "OriginPath"),
        headers: xml::items(element, "CustomHeaders/Items")
            .into_iter()
            .map(|one| (xml::text(one, "HeaderName"), xml::text(one, "HeaderValue")))
            .collect(),
        connection_attempts: xml::text(element, "ConnectionAttempts")
            .parse()
            .unwrap_or(3)
            .max(1),
        connection_timeout: seconds("ConnectionTimeout", 10),
        response_timeout: seconds(&format!("{config}/OriginReadTimeout"), 30),
        access_control: xml::some(element, "OriginAccessControlId"),
        access_identity: identity
            .and_then(|path| path.rsplit('/').next().map(str::to_owned))
            .filter(|id| !id.is_empty()),
        place,
        host,
    }
}

fn group(element: &Element) -> Group {
    let members = xml::items(element, "Members/Items");
    Group {
        origins: members
            .into_iter()
            .map(|one| xml::text(one, "OriginId"))
            .collect(),
        statuses: xml::texts::<Vec<_>>(element, "FailoverCriteria/StatusCodes/Items")
            .into_iter()
            .filter_map(|code| code.parse().ok())
            .collect(),
    }
}

fn place(host: &str) -> Option<Place> {
    if let Some((_, rest)) = host.split_once(".lambda-url.") {
        let region = rest.strip_suffix(".on.aws")?.to_owned();
        return Some(Place::FunctionUrl { region });
    }
    let name = host.strip_suffix(".amazonaws.com")?;
    if let Some(bucket) = name.strip_suffix(".s3") {
        return Some(Place::Bucket {
            bucket: bucket.to_owned(),
            region: "us-east-1".to_owned(),
        });
    }
    let (bucket, region) = name.rsplit_once(".s3.")?;
    Some(Place::Bucket {
        bucket: bucket.to_owned(),
        region: region.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origins_domain_tells_what_it_is() {
        let function = place("abc.lambda-url.eu-west-1.on.aws");
        let region = "eu-west-1".to_owned();
        assert_eq!(function, Some(Place::FunctionUrl { region }));
        let bucket = |bucket: &str, region: &str| {
            let (bucket, region) = (bucket.to_owned(), region.to_owned());
            Some(Place::Bucket { bucket, region })
        };
        assert_eq!(
            place("a.b.s3.us-west-2.amazonaws.com"),
            bucket("a.b", "us-west-2")
        );
        assert_eq!(place("shop.s3.amazonaws.com"), bucket("shop", "us-east-1"));
        assert_eq!(place("origin.example.com"), None);
    }
}
