//! What CloudFront looks up before it takes a distribution's config: policies, access controls and identities,
//! certificates, and who else has the aliases.

use std::collections::BTreeSet;

use serde_json::Value;
use xmltree::Element;

use super::validation::{behaviors, is_bucket_domain};
use super::{functions, identities};
use crate::acm;
use crate::call::Service;
use crate::exchange::{Exchange, Outcome};
use crate::refusal::Refusal;
use crate::xml::{items, text_at};

/// AWS's managed policies CachingOptimized, CachingDisabled and AllViewerExceptHostHeader.
const MANAGED: [&str; 3] = [
    "658327ea-f89d-4fab-a63d-7e88639e58f6",
    "4135ea2d-6df8-44a3-9df3-4b5a84be39ad",
    "b689b0a8-53d0-40ab-baf2-68738e2966ac",
];

/// Checks all that a config refers to; `own` is the distribution's id, empty for a new one.
pub(super) async fn check(exchange: &Exchange<'_>, config: &Element, own: &str) -> Outcome<()> {
    for behavior in behaviors(config) {
        check_policies(exchange, behavior).await?;
        functions::check(exchange, behavior).await?;
    }
    for origin in items(config, &["Origins", "Items"]) {
        check_access(exchange, origin).await?;
    }
    check_certificate(exchange, config).await?;
    let listed = super::list_distributions(exchange).await?;
    let others: Vec<&Element> = listed
        .iter()
        .flat_map(|list| items(list, &["Items"]))
        .filter(|summary| text_at(summary, &["Id"]) != own)
        .collect();
    check_aliases(config, &others)?;
    check_sharing(config, &others, exchange.config.distributions_sharing)
}

async fn exists(exchange: &Exchange<'_>, kind: &str, id: &str) -> Outcome<bool> {
    let path = format!("/2020-05-31/{kind}/{id}");
    Ok(exchange
        .get(Service::CloudFront, "us-east-1", &path)
        .await?
        .status()
        .is_success())
}

async fn check_policies(exchange: &Exchange<'_>, behavior: &Element) -> Outcome<()> {
    let policies = [
        (
            "CachePolicyId",
            "cache-policy",
            "NoSuchCachePolicy",
            "The cache policy does not exist.",
        ),
        (
            "OriginRequestPolicyId",
            "origin-request-policy",
            "NoSuchOriginRequestPolicy",
            "The origin request policy does not exist.",
        ),
        (
            "ResponseHeadersPolicyId",
            "response-headers-policy",
            "NoSuchResponseHeadersPolicy",
            "The response headers policy does not exist.",
        ),
    ];
    for (field, kind, code, message) in policies {
        let id = text_at(behavior, &[field]);
        if !id.is_empty() && !exists(exchange, kind, &id).await? {
            return Err(Refusal::new(404, code, message).into());
        }
    }
    Ok(())
}

/// An origin has an access control that exists and fits its domain, or an identity that exists, never both.
async fn check_access(exchange: &Exchange<'_>, origin: &Element) -> Outcome<()> {
    let control = text_at(origin, &["OriginAccessControlId"]);
    let identity = text_at(origin, &["S3OriginConfig", "OriginAccessIdentity"]);
    if !control.is_empty() && !identity.is_empty() {
        let message = "An origin cannot contain both an origin access control (OAC) and an origin access identity (OAI).";
        return Err(Refusal::new(400, "IllegalOriginAccessConfiguration", message).into());
    }
    if !identity.is_empty() {
        let id = identity.strip_prefix("origin-access-identity/cloudfront/");
        if !id.is_some_and(|id| identities::exists(exchange, id)) {
            let message = "The specified origin access identity does not exist or is not valid.";
            return Err(Refusal::new(400, "InvalidOriginAccessIdentity", message).into());
        }
    }
    if control.is_empty() {
        return Ok(());
    }
    let path = format!("/2020-05-31/origin-access-control/{control}");
    let Some(found) = exchange
        .get_xml(Service::CloudFront, "us-east-1", &path)
        .await?
    else {
        let message = "The specified origin access control does not exist or is not valid.";
        return Err(Refusal::new(400, "InvalidOriginAccessControl", message).into());
    };
    let kind = text_at(
        &found,
        &["OriginAccessControlConfig", "OriginAccessControlOriginType"],
    );
    let domain = text_at(origin, &["DomainName"]);
    let fits = match kind.as_str() {
        "s3" => is_bucket_domain(&domain),
        "lambda" => domain.contains(".lambda-url.") && domain.ends_with(".on.aws"),
        _ => true,
    };
    if !fits {
        let message = format!(
            "An origin access control of type {kind} is associated with an origin whose domain name is not supported."
        );
        return Err(Refusal::new(400, "InvalidDomainNameForOriginAccessControl", message).into());
    }
    Ok(())
}

/// A certificate is an issued one of us-east-1, and covers every alias; aliases need one.
async fn check_certificate(exchange: &Exchange<'_>, config: &Element) -> Outcome<()> {
    let refuse = |message: &str| Err(Refusal::new(400, "InvalidViewerCertificate", message).into());
    let aliases = aliases(config);
    let arn = text_at(config, &["ViewerCertificate", "ACMCertificateArn"]);
    let other = text_at(config, &["ViewerCertificate", "IAMCertificateId"]);
    if arn.is_empty() {
        if aliases.is_empty() || !other.is_empty() {
            return Ok(());
        }
        return refuse(
            "To add an alternate domain name (CNAME) to a CloudFront distribution, you must attach a trusted \
             certificate that validates your authorization to use the domain name.",
        );
    }
    if text_at(config, &["ViewerCertificate", "SSLSupportMethod"]).is_empty() {
        return refuse("SSLSupportMethod is required with a certificate of your own.");
    }
    let unusable = "The specified SSL certificate doesn't exist, isn't in us-east-1 region, isn't valid, or doesn't \
                    include a valid certificate chain.";
    if arn.split(':').nth(3) != Some("us-east-1") {
        return refuse(unusable);
    }
    let Some(certificate) = acm::certificate(exchange, "us-east-1", &arn).await? else {
        return refuse(unusable);
    };
    if certificate["Status"] != "ISSUED" {
        return refuse(unusable);
    }
    let names: Vec<&str> = certificate["SubjectAlternativeNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let domain = certificate["DomainName"].as_str();
    if !aliases.iter().all(|alias| {
        names
            .iter()
            .copied()
            .chain(domain)
            .any(|name| covers(name, alias))
    }) {
        return refuse(
            "The certificate that is attached to your distribution doesn't cover the alternate domain name (CNAME) \
             that you're trying to add.",
        );
    }
    Ok(())
}

/// Whether a certificate's name is an alias's, a wildcard standing for one label.
fn covers(name: &str, alias: &str) -> bool {
    let (name, alias) = (name.to_ascii_lowercase(), alias.to_ascii_lowercase());
    match name.strip_prefix("*.") {
        Some(parent) => alias
            .split_once('.')
            .is_some_and(|(_, rest)| rest == parent),
        None => name == alias,
    }
}

fn aliases(config: &Element) -> Vec<String> {
    let items = items(config, &["Aliases", "Items"]);
    items
        .iter()
        .filter_map(|alias| alias.get_text())
        .map(|alias| alias.trim().to_owned())
        .collect()
}

/// An alias belongs to one distribution in all of CloudFront; here, of all accounts that the proxy's caller can be
/// told from: its own.
fn check_aliases(config: &Element, others: &[&Element]) -> Outcome<()> {
    let wanted = aliases(config);
    let taken = |alias: &String| {
        others.iter().any(|summary| {
            let taken = aliases(summary);
            taken.iter().any(|taken| taken.eq_ignore_ascii_case(alias))
        })
    };
    if wanted.iter().any(taken) {
        let message = "One or more of the CNAMEs you provided are already associated with a different resource.";
        return Err(Refusal::new(409, "CNAMEAlreadyExists", message).into());
    }
    Ok(())
}

/// What is shared has room for one more distribution.
fn check_sharing(config: &Element, others: &[&Element], most: usize) -> Outcome<()> {
    type References = fn(&Element) -> BTreeSet<String>;
    let kinds: [(&str, References); 4] = [
        ("TooManyDistributionsAssociatedToCachePolicy", |config| {
            of_behaviors(config, "CachePolicyId")
        }),
        (
            "TooManyDistributionsAssociatedToOriginRequestPolicy",
            |config| of_behaviors(config, "OriginRequestPolicyId"),
        ),
        (
            "TooManyDistributionsAssociatedToOriginAccessControl",
            |config| {
                let origins = items(config, &["Origins", "Items"]);
                let controls = origins
                    .iter()
                    .map(|it| text_at(it, &["OriginAccessControlId"]));
                controls.filter(|id| !id.is_empty()).collect()
            },
        ),
        ("TooManyDistributionsWithFunctionAssociations", |config| {
            let behaviors = behaviors(config);
            let functions = behaviors
                .iter()
                .flat_map(|behavior| items(behavior, &["FunctionAssociations", "Items"]));
            functions.map(|it| text_at(it, &["FunctionARN"])).collect()
        }),
    ];
    for (code, references) in kinds {
        let full = |id: &String| {
            let sharers = others.iter().filter(|other| references(other).contains(id));
            // AWS's own policies are everybody's.
            sharers.count() >= most && !MANAGED.contains(&id.as_str())
        };
        if references(config).iter().any(full) {
            let message = "The maximum number of distributions are already associated with it.";
            return Err(Refusal::new(400, code, message).into());
        }
    }
    Ok(())
}

fn of_behaviors(config: &Element, field: &str) -> BTreeSet<String> {
    let behaviors = behaviors(config);
    let ids = behaviors.iter().map(|behavior| text_at(behavior, &[field]));
    ids.filter(|id| !id.is_empty()).collect()
}
