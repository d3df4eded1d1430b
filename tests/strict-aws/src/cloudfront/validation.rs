//! What CloudFront refuses in a distribution's config by itself: nothing here asks anybody else.

use std::collections::BTreeSet;

use xmltree::Element;

use crate::refusal::Refusal;
use crate::xml::{self, items, text_at};

type Checked = Result<(), Refusal>;

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "InvalidArgument", message)
}

/// Checks a config that is to be created.
pub(super) fn check(config: &Element) -> Checked {
    for field in [
        "CallerReference",
        "Origins",
        "DefaultCacheBehavior",
        "Comment",
        "Enabled",
    ] {
        if config.get_child(field).is_none() {
            return Err(invalid(format!("The parameter {field} is required.")));
        }
    }
    quantities(config)?;
    let origins = items(config, &["Origins", "Items"]);
    if origins.is_empty() {
        return Err(invalid(
            "The parameter Origins must have at least one origin.",
        ));
    }
    let mut ids = BTreeSet::new();
    for origin in &origins {
        check_origin(origin)?;
        if !ids.insert(text_at(origin, &["Id"])) {
            return Err(invalid("The parameter Origins contains duplicate ids."));
        }
    }
    let mut groups = BTreeSet::new();
    for group in items(config, &["OriginGroups", "Items"]) {
        check_group(group, &ids)?;
        groups.insert(text_at(group, &["Id"]));
    }
    let mut patterns = BTreeSet::new();
    for behavior in behaviors(config) {
        check_behavior(behavior, &ids, &groups)?;
        if behavior.name == "CacheBehavior" && !patterns.insert(text_at(behavior, &["PathPattern"]))
        {
            return Err(invalid(
                "The parameter PathPattern is used by more than one cache behavior.",
            ));
        }
    }
    for response in items(config, &["CustomErrorResponses", "Items"]) {
        // Only these codes can be cached or replaced.
        let code = text_at(response, &["ErrorCode"]);
        if ![
            "400", "403", "404", "405", "414", "416", "500", "501", "502", "503", "504",
        ]
        .contains(&code.as_str())
        {
            return Err(Refusal::new(
                400,
                "InvalidErrorCode",
                "An invalid error code was specified.",
            ));
        }
    }
    Ok(())
}

/// Checks what an update has to have beyond that: CloudFront wants every field that a read of it shows.
pub(super) fn check_complete(config: &Element) -> Checked {
    const CONFIG: [&str; 9] = [
        "Aliases",
        "DefaultRootObject",
        "CacheBehaviors",
        "CustomErrorResponses",
        "Logging",
        "PriceClass",
        "ViewerCertificate",
        "Restrictions",
        "HttpVersion",
    ];
    const BEHAVIOR: [&str; 5] = [
        "AllowedMethods",
        "SmoothStreaming",
        "Compress",
        "LambdaFunctionAssociations",
        "FieldLevelEncryptionId",
    ];
    require(config, &CONFIG)?;
    require(config, &["WebACLId"])?;
    for origin in items(config, &["Origins", "Items"]) {
        require(origin, &["OriginPath", "CustomHeaders"])?;
        if let Some(custom) = origin.get_child("CustomOriginConfig") {
            require(
                custom,
                &[
                    "OriginSslProtocols",
                    "OriginReadTimeout",
                    "OriginKeepaliveTimeout",
                ],
            )?;
        }
    }
    behaviors(config)
        .into_iter()
        .try_for_each(|behavior| require(behavior, &BEHAVIOR))
}

fn require(element: &Element, fields: &[&str]) -> Checked {
    match fields
        .iter()
        .find(|field| element.get_child(**field).is_none())
    {
        Some(field) => Err(Refusal::new(
            400,
            "IllegalUpdate",
            format!("{field} is required for updates."),
        )),
        None => Ok(()),
    }
}

/// The default behaviour and the others.
pub(super) fn behaviors(config: &Element) -> Vec<&Element> {
    let default = config.get_child("DefaultCacheBehavior");
    default
        .into_iter()
        .chain(items(config, &["CacheBehaviors", "Items"]))
        .collect()
}

/// Every `Quantity` is the number of the `Items` beside it.
fn quantities(config: &Element) -> Checked {
    let mut fits = true;
    xml::visit(config, &mut |element| {
        if element.get_child("Quantity").is_some() {
            let quantity: Option<usize> = text_at(element, &["Quantity"]).parse().ok();
            fits &= quantity == Some(items(element, &["Items"]).len());
        }
    });
    if fits {
        return Ok(());
    }
    Err(Refusal::new(
        400,
        "InconsistentQuantities",
        "The value of Quantity and the size of Items do not match.",
    ))
}

fn check_origin(origin: &Element) -> Checked {
    let domain = text_at(origin, &["DomainName"]);
    let not_valid = || {
        Refusal::new(
            400,
            "InvalidOrigin",
            "The specified origin server does not exist or is not valid.",
        )
    };
    let (s3, custom) = (
        origin.get_child("S3OriginConfig"),
        origin.get_child("CustomOriginConfig"),
    );
    if text_at(origin, &["Id"]).is_empty()
        || domain.is_empty()
        || (s3.is_none() && custom.is_none())
    {
        return Err(not_valid());
    }
    if s3.is_some() && custom.is_some() {
        return Err(invalid(
            "An origin cannot have both an S3OriginConfig and a CustomOriginConfig.",
        ));
    }
    if domain.contains([':', '/']) {
        return Err(invalid(
            "The parameter origin name cannot contain a colon or a slash.",
        ));
    }
    if s3.is_some() && !is_bucket_domain(&domain) {
        return Err(invalid(
            "The parameter Origin DomainName does not refer to a valid S3 bucket.",
        ));
    }
    range(origin, "ConnectionAttempts", 1..=3, "InvalidArgument")?;
    range(origin, "ConnectionTimeout", 1..=10, "InvalidArgument")?;
    if let Some(config) = s3.or(custom) {
        range(
            config,
            "OriginReadTimeout",
            1..=120,
            "InvalidOriginReadTimeout",
        )?;
        range(
            config,
            "OriginKeepaliveTimeout",
            1..=120,
            "InvalidOriginKeepaliveTimeout",
        )?;
    }
    Ok(())
}

/// `<bucket>.s3.<region>.amazonaws.com` and its older forms.
pub(super) fn is_bucket_domain(domain: &str) -> bool {
    domain.ends_with(".amazonaws.com") && (domain.contains(".s3.") || domain.contains(".s3-"))
}

fn range(
    element: &Element,
    field: &str,
    allowed: std::ops::RangeInclusive<u32>,
    code: &str,
) -> Checked {
    let value = text_at(element, &[field]);
    if value.is_empty()
        || value
            .parse()
            .is_ok_and(|value: u32| allowed.contains(&value))
    {
        return Ok(());
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(Refusal::new(
        400,
        code,
        format!("The parameter {field} must be from {least} to {most}."),
    ))
}

fn no_such_origin() -> Refusal {
    Refusal::new(
        404,
        "NoSuchOrigin",
        "One or more of your origins or origin groups do not exist.",
    )
}

/// A group has two members that exist, and fails over on these codes only.
fn check_group(group: &Element, origins: &BTreeSet<String>) -> Checked {
    let members = items(group, &["Members", "Items"]);
    if members.len() != 2 {
        return Err(invalid(
            "The parameter OriginGroup must have exactly two members.",
        ));
    }
    if !members
        .iter()
        .all(|member| origins.contains(&text_at(member, &["OriginId"])))
    {
        return Err(no_such_origin());
    }
    let codes = items(group, &["FailoverCriteria", "StatusCodes", "Items"]);
    let allowed = ["400", "403", "404", "416", "500", "502", "503", "504"];
    let fits = |code: &&Element| {
        code.get_text()
            .is_some_and(|code| allowed.contains(&code.trim()))
    };
    if codes.is_empty() || !codes.iter().all(fits) {
        return Err(invalid(
            "The parameter StatusCodes contains a status code that is not allowed for failover.",
        ));
    }
    Ok(())
}

fn check_behavior(
    behavior: &Element,
    origins: &BTreeSet<String>,
    groups: &BTreeSet<String>,
) -> Checked {
    let target = text_at(behavior, &["TargetOriginId"]);
    let in_group = groups.contains(&target);
    if !in_group && !origins.contains(&target) {
        return Err(no_such_origin());
    }
    let texts = |path: &[&str]| -> BTreeSet<String> {
        items(behavior, path)
            .iter()
            .filter_map(|item| item.get_text())
            .map(|text| text.into_owned())
            .collect()
    };
    let methods = texts(&["AllowedMethods", "Items"]);
    let set = |methods: &[&str]| -> BTreeSet<String> {
        methods.iter().map(ToString::to_string).collect()
    };
    let reads = [set(&["GET", "HEAD"]), set(&["GET", "HEAD", "OPTIONS"])];
    let all = set(&["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "POST", "DELETE"]);
    if !methods.is_empty() && !reads.contains(&methods) && methods != all {
        return Err(invalid(
            "The parameter AllowedMethods contains an unsupported combination of methods.",
        ));
    }
    // A group only ever fails over for GET, HEAD and OPTIONS, so nothing else may go there.
    if in_group && methods == all {
        return Err(invalid(
            "The parameter AllowedMethods cannot include POST, PUT, PATCH, or DELETE for a cached behavior associated \
             with an origin group.",
        ));
    }
    let cached = texts(&["AllowedMethods", "CachedMethods", "Items"]);
    if !cached.is_empty() && !reads.contains(&cached) {
        return Err(invalid(
            "The parameter CachedMethods contains an unsupported combination of methods.",
        ));
    }
    if behavior.name == "CacheBehavior" && text_at(behavior, &["PathPattern"]).is_empty() {
        return Err(invalid("The parameter PathPattern is required."));
    }
    let policy = !text_at(behavior, &["CachePolicyId"]).is_empty();
    let legacy = ["ForwardedValues", "MinTTL", "DefaultTTL", "MaxTTL"];
    let present = legacy
        .iter()
        .find(|field| behavior.get_child(**field).is_some());
    match present {
        Some(field) if policy => Err(invalid(format!(
            "The parameter {field} cannot be used when a cache policy is associated to the cache behavior."
        ))),
        _ if !policy && behavior.get_child("ForwardedValues").is_none() => {
            Err(invalid("The parameter ForwardedValues is required."))
        }
        _ if !policy && !text_at(behavior, &["OriginRequestPolicyId"]).is_empty() => Err(invalid(
            "An origin request policy can only be used together with a cache policy.",
        )),
        _ => Ok(()),
    }
}
