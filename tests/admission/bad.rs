//! One table of bad manifests, one fault each. The API server refuses them all, and so does the offline check.

use crate::cluster::Cluster;
use crate::objects::{base, patched};
use anyhow::Result;
use multiregion::validate;

/// A manifest with one fault, and what is said of it.
struct Bad {
    name: &'static str,
    /// JSON merge patch in YAML to the base manifest.
    patch: String,
    /// Part of what the server says.
    server: &'static str,
    /// Part of what the offline check says.
    offline: &'static str,
}

/// Both say the same.
fn both(name: &'static str, patch: impl Into<String>, said: &'static str) -> Bad {
    differently(name, patch, said, said)
}

/// The server has words of its own.
fn differently(
    name: &'static str,
    patch: impl Into<String>,
    server: &'static str,
    offline: &'static str,
) -> Bad {
    Bad {
        name,
        patch: patch.into(),
        server,
        offline,
    }
}

fn regions_and_prefix() -> Vec<Bad> {
    vec![
        both(
            "same region twice",
            "spec: {regions: {dr: us-east-1}}",
            "regions.dr must be another region than regions.primary",
        ),
        both(
            "region of China",
            "spec: {regions: {dr: cn-north-1}}",
            "must be a region of the partition aws",
        ),
        both(
            "region of GovCloud",
            "spec: {regions: {primary: us-gov-west-1}}",
            "must be a region of the partition aws",
        ),
        both(
            "empty region",
            "spec: {regions: {dr: ''}}",
            "must be a region of the partition aws",
        ),
        both(
            "zone for a region",
            "spec: {regions: {primary: us-east-1a}}",
            "must be a region of the partition aws",
        ),
        both(
            "no primary",
            "spec: {regions: {primary: null}}",
            "spec.regions.primary: Required value",
        ),
        both(
            "no regions",
            "spec: {regions: null}",
            "spec.regions: Required value",
        ),
        both("no spec", "spec: null", "spec: Required value"),
        both(
            "prefix too short",
            "spec: {resourcePrefix: ab}",
            "must be 3 to 20 lower case letters",
        ),
        both(
            "prefix too long",
            "spec: {resourcePrefix: abcdefghijklmnopqrstu}",
            "must be 3 to 20 lower case letters",
        ),
        both(
            "prefix in upper case",
            "spec: {resourcePrefix: Shop}",
            "prefix \"Shop\" of all AWS names must be",
        ),
        both(
            "prefix ends with a dash",
            "spec: {resourcePrefix: shop-}",
            "without a dash at either end",
        ),
        both(
            "prefix empty",
            "spec: {resourcePrefix: ''}",
            "must be 3 to 20 lower case letters",
        ),
        both(
            "name with a dot",
            "metadata: {name: shop.web}",
            "set spec.resourcePrefix",
        ),
        both(
            "name too long",
            "metadata: {name: abcdefghijklmnopqrstu}",
            "set spec.resourcePrefix",
        ),
        both(
            "prefix too long for the primary",
            "spec: {resourcePrefix: a2345678901234567, regions: {primary: ap-southeast-2}}",
            "the prefix of all AWS names and regions.primary have at most 30 characters together",
        ),
        both(
            "prefix too long for DR",
            "spec: {resourcePrefix: a2345678901234567, regions: {dr: ap-southeast-2}}",
            "the prefix of all AWS names and regions.dr have at most 30 characters together",
        ),
    ]
}

fn domain() -> Vec<Bad> {
    let certificate = |arn: &str| {
        format!("spec: {{domain: {{name: shop.example.com, certificateARN: '{arn}'}}}}")
    };
    vec![
        both(
            "zone without a name",
            "spec: {domain: {hostedZone: example.com}}",
            "spec.domain.name: Required value",
        ),
        both(
            "zone of another domain",
            "spec: {domain: {name: shop.example.com, hostedZone: example.org}}",
            "domain.hostedZone must be the domain or a parent of domain.name",
        ),
        both(
            "zone ends within a label",
            "spec: {domain: {name: shop.example.com, hostedZone: ample.com}}",
            "domain.hostedZone must be the domain or a parent of domain.name",
        ),
        both(
            "zone empty",
            "spec: {domain: {name: shop.example.com, hostedZone: ''}}",
            "domain.hostedZone must be the domain or a parent of domain.name",
        ),
        both(
            "domain empty",
            "spec: {domain: {name: ''}}",
            "must be a host name",
        ),
        both(
            "domain in upper case",
            "spec: {domain: {name: Shop.example.com}}",
            "must be a host name in lower case",
        ),
        both(
            "domain with a dot at its end",
            "spec: {domain: {name: shop.example.com.}}",
            "without a dot at its end",
        ),
        both(
            "domain of one label",
            "spec: {domain: {name: localhost}}",
            "such as shop.example.com",
        ),
        both(
            "domain with a wildcard",
            "spec: {domain: {name: '*.example.com'}}",
            "must be a host name",
        ),
        both(
            "certificate of another region",
            certificate("arn:aws:acm:us-west-2:123456789012:certificate/0f0f"),
            "ACM certificate in us-east-1, the only region CloudFront takes certificates from",
        ),
        both(
            "certificate without ARN",
            certificate("0f0f"),
            "must be the ARN of an ACM certificate",
        ),
    ]
}

fn function() -> Vec<Bad> {
    let environment =
        |variables: &str| format!("spec: {{function: {{environment: {{{variables}}}}}}}");
    let many: Vec<_> = (0..101).map(|n| format!("V{n:03}: x")).collect();
    let reserved = "has a reserved name: NODE_ENV";
    let names = "names are at least two letters";
    vec![
        both(
            "runtime with a space",
            "spec: {function: {runtime: Node.js 24}}",
            "must be a Lambda runtime identifier",
        ),
        both(
            "unknown architecture",
            "spec: {function: {architecture: arm}}",
            "Unsupported value: \"arm\": supported values: \"x86_64\", \"arm64\"",
        ),
        both(
            "handler with a space",
            "spec: {function: {handler: index handler}}",
            "must not contain spaces",
        ),
        both(
            "too little memory",
            "spec: {function: {memorySizeMiB: 64}}",
            "should be greater than or equal to 128",
        ),
        both(
            "too much memory",
            "spec: {function: {memorySizeMiB: 10241}}",
            "should be less than or equal to 10240",
        ),
        differently(
            "memory with a unit",
            "spec: {function: {memorySizeMiB: 512Mi}}",
            "must be of type integer",
            "not of type \"integer\"",
        ),
        both(
            "no time",
            "spec: {function: {timeoutSeconds: 0}}",
            "should be greater than or equal to 1",
        ),
        both(
            "more time than CloudFront waits",
            "spec: {function: {timeoutSeconds: 116}}",
            "less than or equal to 115",
        ),
        both(
            "variable that is ours",
            environment("NODE_ENV: test"),
            reserved,
        ),
        both(
            "variable of Lambda",
            environment("AWS_REGION: us-east-1"),
            reserved,
        ),
        both(
            "variable of a table",
            environment("TABLE_VISITS: visits"),
            reserved,
        ),
        both(
            "variable of the runtime",
            environment("_HANDLER: index.handler"),
            reserved,
        ),
        both(
            "variable with a dash",
            environment("LOG-LEVEL: debug"),
            names,
        ),
        both("variable of one letter", environment("X: text"), names),
        both("variable starting with _", environment("_X: text"), names),
        differently(
            "variable with a number",
            environment("PAGE_SIZE: 20"),
            "must be of type string",
            "put it in quotes",
        ),
        differently(
            "variable with yes",
            environment("DEBUG: yes"),
            "must be of type string",
            "put it in quotes",
        ),
        both(
            "variables too long together",
            environment(&format!("ONE: '{0}', TWO: '{0}'", "x".repeat(1022))),
            "at most 2048 characters together",
        ),
        both(
            "too many variables",
            environment(&many.join(", ")),
            "must have at most 100 items",
        ),
        both(
            "empty key",
            "spec: {function: {code: {key: ''}}}",
            "should be at least 1 chars long",
        ),
        both(
            "key with a slash",
            "spec: {function: {code: {key: /function.zip}}}",
            "must not start with a slash",
        ),
        both(
            "empty version",
            "spec: {function: {code: {version: ''}}}",
            "should be at least 1 chars long",
        ),
        differently(
            "retention CloudWatch has not",
            "spec: {function: {logRetentionDays: 31}}",
            "Unsupported value: 31: supported values: \"1\", \"3\", \"5\", \"7\", \"14\", \"30\"",
            "Unsupported value: 31: supported values: 1, 3, 5, 7, 14, 30",
        ),
    ]
}

fn tables() -> Vec<Bad> {
    let table = |rest: &str| format!("spec: {{tables: [{{name: visits, {rest}}}]}}");
    let named = |name: &str| format!("spec: {{tables: [{{name: {name}}}]}}");
    let many: Vec<_> = (0..21).map(|n| format!("{{name: t{n}}}")).collect();
    let name = "must be at most 100 lower case letters";
    let types = "supported values: \"String\", \"Number\", \"Binary\"";
    vec![
        both(
            "no tables",
            "spec: {tables: null}",
            "spec.tables: Required value",
        ),
        both(
            "empty tables",
            "spec: {tables: []}",
            "should have at least 1 items",
        ),
        both(
            "too many tables",
            format!("spec: {{tables: [{}]}}", many.join(", ")),
            "must have at most 20 items",
        ),
        both(
            "table twice",
            "spec: {tables: [{name: a}, {name: b}, {name: a}]}",
            "spec.tables[2]: Duplicate value: ",
        ),
        both(
            "table without name",
            "spec: {tables: [{pointInTimeRecovery: Enabled}]}",
            "spec.tables[0].name: Required value",
        ),
        both("table in upper case", named("Visits"), name),
        both("table starting with a digit", named("2nd"), name),
        both("table with an underscore", named("page_views"), name),
        both("table with a long name", named(&"x".repeat(101)), name),
        both(
            "key without partition",
            table("key: {sort: {name: SK, type: String}}"),
            "key.partition: Required value",
        ),
        both(
            "attribute without type",
            table("key: {partition: {name: PK}}"),
            "key.partition.type: Required value",
        ),
        both(
            "type of one letter",
            table("key: {partition: {name: PK, type: 'S'}}"),
            types,
        ),
        differently(
            "type N, which is false",
            table("key: {partition: {name: PK, type: N}}"),
            "must be of type string: \"boolean\"",
            "put it in quotes",
        ),
        both(
            "sort is partition",
            table("key: {partition: {name: PK, type: String}, sort: {name: PK, type: String}}"),
            "key.sort must be another attribute than key.partition",
        ),
        both(
            "partition expires",
            table("timeToLiveAttribute: PK"),
            "timeToLiveAttribute cannot be an attribute of the key",
        ),
        both(
            "sort expires",
            table("timeToLiveAttribute: SK"),
            "timeToLiveAttribute cannot be an attribute of the key",
        ),
        differently(
            "recovery true",
            table("pointInTimeRecovery: true"),
            "must be of type string: \"boolean\"",
            "put it in quotes",
        ),
        both(
            "protection off",
            table("deletionProtection: 'Off'"),
            "supported values: \"Enabled\", \"Disabled\"",
        ),
    ]
}

fn static_assets_and_cdn() -> Vec<Bad> {
    let paths = |paths: &str| format!("spec: {{staticAssets: {{paths: [{paths}]}}}}");
    let cache = |cache: &str| format!("spec: {{cdn: {{cache: {{{cache}}}}}}}");
    let many = |count: usize, item: &str| {
        (0..count)
            .map(|n| format!("{item}{n}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let once = "each entry may be there once";
    let path = "a path pattern starts with /";
    vec![
        both("no static paths", paths(""), "should have at least 1 items"),
        both(
            "too many static paths",
            paths(&many(21, "/p")),
            "must have at most 20 items",
        ),
        differently(
            "static path too long",
            paths(&format!("/{}", "x".repeat(255))),
            "may not be more than 255",
            "spec.staticAssets.paths[0]: Too long: may not be more than 255",
        ),
        both("static path twice", paths("/a/*, /b/*, /a/*"), once),
        both("static path without slash", paths("favicon.ico"), path),
        both("static path that is all", paths("'*'"), path),
        both(
            "unknown origin access",
            "spec: {staticAssets: {originAccess: OAI}}",
            "supported values: \"OriginAccessControl\", \"OriginAccessIdentity\"",
        ),
        both(
            "unknown replication time control",
            "spec: {staticAssets: {replicationTimeControl: Always}}",
            "supported values: \"Enabled\", \"Disabled\"",
        ),
        differently(
            "code CloudFront does not fail over on",
            "spec: {cdn: {failoverStatusCodes: [500, 429]}}",
            "Unsupported value: 429: supported values: \"400\", \"403\", \"404\", \"416\", \"500\", \"502\", \"503\", \"504\"",
            "Unsupported value: 429: supported values: 400, 403, 404, 416, 500, 502, 503, 504",
        ),
        both(
            "no failover codes",
            "spec: {cdn: {failoverStatusCodes: []}}",
            "should have at least 1 items",
        ),
        both(
            "failover code twice",
            "spec: {cdn: {failoverStatusCodes: [500, 503, 500]}}",
            once,
        ),
        both(
            "too many attempts",
            "spec: {cdn: {origin: {connectionAttempts: 4}}}",
            "less than or equal to 3",
        ),
        both(
            "too long to connect",
            "spec: {cdn: {origin: {connectionTimeoutSeconds: 11}}}",
            "less than or equal to 10",
        ),
        both(
            "write path that is static",
            "spec: {cdn: {writePaths: [/api/*, /favicon.ico]}}",
            "a path cannot be both in cdn.writePaths and in staticAssets.paths",
        ),
        both(
            "write path twice",
            "spec: {cdn: {writePaths: [/api/*, /api/*]}}",
            once,
        ),
        both(
            "write path without slash",
            "spec: {cdn: {writePaths: [api/*]}}",
            path,
        ),
        both(
            "default time over the maximum",
            cache("defaultTTLSeconds: 61, maxTTLSeconds: 60"),
            "defaultTTLSeconds must not be over maxTTLSeconds",
        ),
        both(
            "default time over the default maximum",
            cache("defaultTTLSeconds: 86401"),
            "defaultTTLSeconds must not be over maxTTLSeconds",
        ),
        both(
            "negative time",
            cache("defaultTTLSeconds: -1"),
            "should be greater than or equal to 0",
        ),
        both(
            "too many cookies",
            cache(&format!("cookies: [{}]", many(11, "c"))),
            "must have at most 10 items",
        ),
        both(
            "cookie with a space",
            cache("cookies: [my cookie]"),
            "cookie names are made of letters",
        ),
        both("cookie twice", cache("cookies: [a, a]"), once),
        both(
            "header with a colon",
            cache("headers: ['Accept:']"),
            "header names are made of letters",
        ),
        both(
            "header twice",
            cache("headers: [Accept-Language, accept-language]"),
            once,
        ),
        both(
            "header Host",
            cache("headers: [host]"),
            "Host cannot be forwarded",
        ),
        both(
            "unknown price class",
            "spec: {cdn: {priceClass: All}}",
            "supported values: \"PriceClass_100\", \"PriceClass_200\", \"PriceClass_All\"",
        ),
        both(
            "regional web ACL",
            "spec: {cdn: {webACLARN: 'arn:aws:wafv2:us-east-1:123456789012:regional/webacl/shop/0f0f'}}",
            "must be the ARN of a global web ACL",
        ),
    ]
}

fn policies_tags_and_unknown_fields() -> Vec<Bad> {
    let many: Vec<_> = (0..41).map(|n| format!("t{n}: x")).collect();
    let unknown = "unknown field";
    vec![
        both(
            "unknown management",
            "spec: {managementPolicy: None}",
            "supported values: \"Full\", \"Observe\"",
        ),
        both(
            "unknown deletion",
            "spec: {deletionPolicy: Keep}",
            "supported values: \"Retain\", \"RetainData\", \"Delete\"",
        ),
        both(
            "unknown adoption",
            "spec: {adoptionPolicy: Always}",
            "supported values: \"Never\", \"IfUnowned\"",
        ),
        differently(
            "suspend as a word",
            "spec: {suspend: 'true'}",
            "must be of type boolean",
            "not of type \"boolean\"",
        ),
        both(
            "tag of AWS",
            "spec: {tags: {'aws:x': text}}",
            "tag names starting with aws: and multiregion.dev/ are reserved",
        ),
        both(
            "tag of ours",
            "spec: {tags: {multiregion.dev/name: text}}",
            "multiregion.dev/ are reserved",
        ),
        both(
            "too many tags",
            format!("spec: {{tags: {{{}}}}}", many.join(", ")),
            "must have at most 40 items",
        ),
        both(
            "tag with a long name",
            format!("spec: {{tags: {{{}: text}}}}", "x".repeat(129)),
            "1 to 128 characters",
        ),
        differently(
            "tag with a long value",
            format!("spec: {{tags: {{x: {}}}}}", "y".repeat(257)),
            "may not be more than 256",
            "spec.tags.x: Too long: may not be more than 256",
        ),
        both(
            "tag with a bracket",
            "spec: {tags: {x: <y>}}",
            "tag names and values are made of letters",
        ),
        both(
            "field of nobody's",
            "spec: {failover: {writes: {owner: Primary}}}",
            unknown,
        ),
        both(
            "writes in a DR region that there is not",
            "spec: {regions: {primary: us-east-1, dr: null}, failover: {writes: {active: DR}}}",
            "failover.writes.active cannot be DR without regions.dr",
        ),
        both(
            "automatic without anywhere to go",
            "spec: {regions: {primary: us-east-1, dr: null}, failover: {writes: {mode: Automatic}}}",
            "failover.writes.mode cannot be Automatic without regions.dr",
        ),
        both(
            "probe more often than is kind",
            "spec: {failover: {probe: {intervalSeconds: 1}}}",
            "intervalSeconds",
        ),
        both(
            "probe of a path with a query",
            "spec: {failover: {probe: {path: '/?a=b'}}}",
            "must be a path without query and spaces",
        ),
        both(
            "write probe that expects to fail",
            "spec: {failover: {writeProbe: {method: POST, path: /api/ping, expectStatus: 503}}}",
            "expectStatus",
        ),
        both(
            "write probe that only reads",
            "spec: {failover: {writeProbe: {method: GET, path: /api/ping}}}",
            "method",
        ),
        both(
            "objective of nothing",
            "spec: {objectives: {recoveryPointSeconds: 0}}",
            "recoveryPointSeconds",
        ),
        both(
            "field misspelt",
            "spec: {function: {memorySizeMib: 512}}",
            unknown,
        ),
        both(
            "unknown field in a list",
            "spec: {tables: [{name: visits, billing: OnDemand}]}",
            unknown,
        ),
        both("unknown field of the object", "extra: 1", unknown),
        both(
            "unknown field of the metadata",
            "metadata: {owner: me}",
            unknown,
        ),
    ]
}

fn table() -> Vec<Bad> {
    [
        regions_and_prefix(),
        domain(),
        function(),
        tables(),
        static_assets_and_cdn(),
        policies_tags_and_unknown_fields(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test]
async fn server_refuses_each() -> Result<()> {
    let cluster = Cluster::start("admission-bad").await?;
    let mut wrong = Vec::new();
    for bad in table() {
        let object = patched(&base(), &bad.patch);
        match cluster.dry_create(&object).await? {
            Ok(_) => wrong.push(format!("{}: accepted", bad.name)),
            Err(refusal) if !refusal.message.contains(bad.server) => {
                wrong.push(format!("{}: {}", bad.name, refusal.message));
            }
            Err(refusal) if refusal.fields.len() > 1 => {
                wrong.push(format!(
                    "{}: more than one fault: {}",
                    bad.name, refusal.message
                ));
            }
            // Both point at the same field; of unknown ones the server names none apart from its message.
            Err(refusal) => match validate::manifest(&object.to_string()) {
                Err(problems)
                    if refusal
                        .fields
                        .iter()
                        .all(|field| *field == problems[0].path) => {}
                offline => wrong.push(format!(
                    "{}: {:?}, but offline {offline:?}",
                    bad.name, refusal.fields
                )),
            },
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        table().len(),
        wrong.join("\n")
    );
    Ok(())
}

#[test]
fn offline_check_refuses_each() {
    let mut wrong = Vec::new();
    for bad in table() {
        let object = patched(&base(), &bad.patch);
        match validate::manifest(&object.to_string()) {
            Ok(_) => wrong.push(format!("{}: accepted", bad.name)),
            Err(problems)
                if problems.len() != 1 || !problems[0].to_string().contains(bad.offline) =>
            {
                wrong.push(format!("{}: {problems:#?}", bad.name));
            }
            Err(_) => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        table().len(),
        wrong.join("\n")
    );
}

#[test]
fn base_is_good_and_names_are_not_repeated() {
    assert!(validate::manifest(&base().to_string()).is_ok());
    let mut names: Vec<_> = table().iter().map(|bad| bad.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// Two words for one thing: a server-side apply finds the repeated key before the schema is looked at.
#[tokio::test]
async fn server_side_apply_refuses_a_repeated_table() -> Result<()> {
    let cluster = Cluster::start("admission-repeated").await?;
    let object = patched(&base(), "spec: {tables: [{name: a}, {name: a}]}");
    let refusal = cluster.apply(&object).await?.expect_err("refused");
    assert!(
        refusal
            .message
            .contains("duplicate entries for key [name=\"a\"]"),
        "{}",
        refusal.message
    );
    Ok(())
}
