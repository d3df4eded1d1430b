//! How CloudFront answers a distribution's config: every field that has a default is there, the fields stand in the
//! order of the API's model, and what is a set comes in an order of CloudFront's own.

use xmltree::{Element, XMLNode};

use crate::xml;

/// A field's name, and the default with which AWS adds it; empty if it is only there when it was set.
type Field = (&'static str, &'static str);

const NONE: &str = "<x><Quantity>0</Quantity></x>";
const OFF: &str = "<x><Enabled>false</Enabled></x>";
const OFF_LIST: &str = "<x><Enabled>false</Enabled><Quantity>0</Quantity></x>";
const BLANK: &str = "<x/>";

const CONFIG: &[Field] = &[
    ("CallerReference", ""),
    ("Aliases", NONE),
    ("DefaultRootObject", BLANK),
    ("Origins", NONE),
    ("OriginGroups", NONE),
    ("DefaultCacheBehavior", ""),
    ("CacheBehaviors", NONE),
    ("CustomErrorResponses", NONE),
    ("Comment", BLANK),
    (
        "Logging",
        "<x><Enabled>false</Enabled><IncludeCookies>false</IncludeCookies><Bucket/><Prefix/></x>",
    ),
    ("PriceClass", "<x>PriceClass_All</x>"),
    ("Enabled", ""),
    (
        "ViewerCertificate",
        "<x><CloudFrontDefaultCertificate>true</CloudFrontDefaultCertificate><SSLSupportMethod>vip</SSLSupportMethod>\
         <MinimumProtocolVersion>TLSv1</MinimumProtocolVersion><CertificateSource>cloudfront</CertificateSource></x>",
    ),
    (
        "Restrictions",
        "<x><GeoRestriction><RestrictionType>none</RestrictionType><Quantity>0</Quantity></GeoRestriction></x>",
    ),
    ("WebACLId", BLANK),
    ("HttpVersion", "<x>http2</x>"),
    ("IsIPV6Enabled", "<x>false</x>"),
    ("ContinuousDeploymentPolicyId", BLANK),
    ("Staging", "<x>false</x>"),
];

const ORIGIN: &[Field] = &[
    ("Id", ""),
    ("DomainName", ""),
    ("OriginPath", BLANK),
    ("CustomHeaders", NONE),
    ("S3OriginConfig", ""),
    ("CustomOriginConfig", ""),
    ("VpcOriginConfig", ""),
    ("ConnectionAttempts", "<x>3</x>"),
    ("ConnectionTimeout", "<x>10</x>"),
    ("OriginShield", OFF),
    ("OriginAccessControlId", BLANK),
];

const S3_ORIGIN: &[Field] = &[
    ("OriginAccessIdentity", BLANK),
    ("OriginReadTimeout", "<x>30</x>"),
];

const CUSTOM_ORIGIN: &[Field] = &[
    ("HTTPPort", ""),
    ("HTTPSPort", ""),
    ("OriginProtocolPolicy", ""),
    (
        "OriginSslProtocols",
        "<x><Quantity>3</Quantity><Items><SslProtocol>TLSv1</SslProtocol><SslProtocol>TLSv1.1</SslProtocol>\
         <SslProtocol>TLSv1.2</SslProtocol></Items></x>",
    ),
    ("OriginReadTimeout", "<x>30</x>"),
    ("OriginKeepaliveTimeout", "<x>5</x>"),
    ("IpAddressType", "<x>ipv4</x>"),
];

const ORIGIN_GROUP: &[Field] = &[
    ("Id", ""),
    ("FailoverCriteria", ""),
    ("Members", ""),
    ("SelectionCriteria", "<x>default</x>"),
];

const BEHAVIOR: &[Field] = &[
    ("PathPattern", ""),
    ("TargetOriginId", ""),
    ("TrustedSigners", OFF_LIST),
    ("TrustedKeyGroups", OFF_LIST),
    ("ViewerProtocolPolicy", ""),
    (
        "AllowedMethods",
        "<x><Quantity>2</Quantity><Items><Method>HEAD</Method><Method>GET</Method></Items></x>",
    ),
    ("SmoothStreaming", "<x>false</x>"),
    ("Compress", "<x>false</x>"),
    ("LambdaFunctionAssociations", NONE),
    ("FunctionAssociations", NONE),
    ("FieldLevelEncryptionId", BLANK),
    ("RealtimeLogConfigArn", ""),
    ("CachePolicyId", ""),
    ("OriginRequestPolicyId", ""),
    ("ResponseHeadersPolicyId", ""),
    ("GrpcConfig", OFF),
];

const METHODS: &[Field] = &[
    ("Quantity", ""),
    ("Items", ""),
    (
        "CachedMethods",
        "<x><Quantity>2</Quantity><Items><Method>HEAD</Method><Method>GET</Method></Items></x>",
    ),
];

const ERROR_RESPONSE: &[Field] = &[
    ("ErrorCode", ""),
    ("ResponsePagePath", BLANK),
    ("ResponseCode", BLANK),
    ("ErrorCachingMinTTL", "<x>10</x>"),
];

const CERTIFICATE: &[Field] = &[
    ("CloudFrontDefaultCertificate", "<x>false</x>"),
    ("IAMCertificateId", ""),
    ("ACMCertificateArn", ""),
    ("SSLSupportMethod", "<x>vip</x>"),
    ("MinimumProtocolVersion", "<x>TLSv1</x>"),
    ("Certificate", ""),
    ("CertificateSource", "<x>cloudfront</x>"),
];

/// Completes and orders every `DistributionConfig` (and the summaries of a list) in a document.
pub(super) fn complete_document(root: &mut Element) {
    if root.name == "DistributionConfig" {
        complete_config(root, CONFIG);
        return;
    }
    if root.name == "DistributionSummary" {
        // A summary has its own order of fields, which the emulator keeps; what is inside them is the same.
        complete_config(root, &[]);
        return;
    }
    for child in root.children.iter_mut().filter_map(XMLNode::as_mut_element) {
        complete_document(child);
    }
}

fn complete_config(config: &mut Element, fields: &[Field]) {
    if !fields.is_empty() {
        complete(config, fields);
    }
    reverse_items(config, "Aliases");
    reverse_items(config, "Origins");
    each_item(config, "Origins", &mut |origin| {
        complete(origin, ORIGIN);
        if let Some(s3) = origin.get_mut_child("S3OriginConfig") {
            complete(s3, S3_ORIGIN);
        }
        if let Some(custom) = origin.get_mut_child("CustomOriginConfig") {
            complete(custom, CUSTOM_ORIGIN);
            reverse_items(custom, "OriginSslProtocols");
        }
    });
    each_item(config, "OriginGroups", &mut |group| {
        complete(group, ORIGIN_GROUP);
        // The members stay: their order tells which one is the primary.
        if let Some(criteria) = group.get_mut_child("FailoverCriteria") {
            reverse_items(criteria, "StatusCodes");
        }
    });
    if let Some(behavior) = config.get_mut_child("DefaultCacheBehavior") {
        complete_behavior(behavior);
    }
    // The behaviours stay in their order too: the first whose pattern fits serves.
    each_item(config, "CacheBehaviors", &mut complete_behavior);
    reverse_items(config, "CustomErrorResponses");
    each_item(config, "CustomErrorResponses", &mut |response| {
        complete(response, ERROR_RESPONSE)
    });
    if let Some(certificate) = config.get_mut_child("ViewerCertificate") {
        complete_certificate(certificate);
    }
}

fn complete_behavior(behavior: &mut Element) {
    complete(behavior, BEHAVIOR);
    if let Some(methods) = behavior.get_mut_child("AllowedMethods") {
        complete(methods, METHODS);
        order_methods(methods);
        if let Some(cached) = methods.get_mut_child("CachedMethods") {
            order_methods(cached);
        }
    }
}

/// The old names of a certificate stand beside the new ones.
fn complete_certificate(certificate: &mut Element) {
    let arn = xml::text_at(certificate, &["ACMCertificateArn"]);
    if !arn.is_empty() {
        xml::set(certificate, "Certificate", &arn);
        xml::set(certificate, "CertificateSource", "acm");
    }
    complete(certificate, CERTIFICATE);
}

/// CloudFront's own order of methods, whatever order they were sent in.
fn order_methods(methods: &mut Element) {
    const ORDER: [&str; 7] = ["HEAD", "DELETE", "POST", "GET", "OPTIONS", "PUT", "PATCH"];
    if let Some(items) = methods.get_mut_child("Items") {
        items.children.sort_by_key(|node| {
            let method = node
                .as_element()
                .and_then(Element::get_text)
                .unwrap_or_default();
            ORDER.iter().position(|known| *known == method)
        });
    }
}

/// Puts an element's children in the order of the fields, defaults included; what is not among them stays at the end.
fn complete(element: &mut Element, fields: &[Field]) {
    let mut ordered = Vec::new();
    for (name, default) in fields {
        if let Some(child) = element.take_child(*name) {
            ordered.push(XMLNode::Element(child));
        } else if let Some(mut child) = xml::parse(default.as_bytes()) {
            (*name).clone_into(&mut child.name);
            ordered.push(XMLNode::Element(child));
        }
    }
    ordered.append(&mut element.children);
    element.children = ordered;
}

fn each_item(element: &mut Element, list: &str, each: &mut impl FnMut(&mut Element)) {
    let items = element
        .get_mut_child(list)
        .and_then(|list| list.get_mut_child("Items"));
    for item in items
        .into_iter()
        .flat_map(|items| &mut items.children)
        .filter_map(XMLNode::as_mut_element)
    {
        each(item);
    }
}

/// AWS promises no order of what is a set; the reverse shows who relies on one.
fn reverse_items(element: &mut Element, list: &str) {
    if let Some(items) = element
        .get_mut_child(list)
        .and_then(|list| list.get_mut_child("Items"))
    {
        items.children.reverse();
    }
}
