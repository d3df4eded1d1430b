use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;
use crate::resources::testing::{Answer, Asked, Asks, recording};

fn id() -> ResourceId {
    ResourceId::global("iam_role", "shop-lambda-role")
}

fn encoded(document: &str) -> String {
    utf8_percent_encode(document, NON_ALPHANUMERIC).to_string()
}

fn wrapped(operation: &str, result: &str) -> Answer {
    Answer::new(
        200,
        format!(
            "<{operation}Response xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><{operation}Result>{result}\
             </{operation}Result></{operation}Response>"
        ),
    )
}

fn form(asked: &Asked, name: &str) -> String {
    let value = asked
        .body
        .split('&')
        .find_map(|pair| pair.strip_prefix(&format!("{name}=")))
        .unwrap_or_default();
    value.to_owned()
}

const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/before";

/// IAM with one role, bounded, trusted as `trust` says, with inline policies `multiregion-old`, `theirs`, `multiregion-primary`
/// listed on two pages.
fn iam(trust: &'static str) -> impl Fn(&Asked) -> Answer + Send + Sync + 'static {
    move |asked| match form(asked, "Action").as_str() {
        "GetRole" => {
            let trust = encoded(trust);
            let tags = "<member><Key>team</Key><Value>web</Value></member>";
            wrapped(
                "GetRole",
                &format!(
                    "<Role><Path>/</Path><RoleName>shop-lambda-role</RoleName><RoleId>AROA1</RoleId>\
                     <Arn>arn:aws:iam::123456789012:role/shop-lambda-role</Arn><CreateDate>2026-01-01T00:00:00Z\
                     </CreateDate><AssumeRolePolicyDocument>{trust}</AssumeRolePolicyDocument><MaxSessionDuration>\
                     3600</MaxSessionDuration><PermissionsBoundary><PermissionsBoundaryType>Policy\
                     </PermissionsBoundaryType><PermissionsBoundaryArn>{BOUNDARY}</PermissionsBoundaryArn>\
                     </PermissionsBoundary><Tags>{tags}</Tags><RoleLastUsed/></Role>"
                ),
            )
        }
        "ListRolePolicies" if form(asked, "Marker").is_empty() => wrapped(
            "ListRolePolicies",
            "<PolicyNames><member>multiregion-old</member><member>theirs</member></PolicyNames>\
             <IsTruncated>true</IsTruncated><Marker>next</Marker>",
        ),
        "ListRolePolicies" => wrapped(
            "ListRolePolicies",
            "<PolicyNames><member>multiregion-primary</member></PolicyNames><IsTruncated>false</IsTruncated>",
        ),
        "GetRolePolicy" if form(asked, "PolicyName") == "multiregion-dr" => {
            Answer::xml_error(404, "NoSuchEntity", "cannot be found")
        }
        "GetRolePolicy" => {
            let name = form(asked, "PolicyName");
            let document = encoded(
                r#"{"Version":"2012-10-17","Statement":{"Sid":"A","Effect":"Allow","Action":"s3:GetObject","Resource":["arn:aws:s3:::b/*","arn:aws:s3:::a/*"]}}"#,
            );
            wrapped(
                "GetRolePolicy",
                &format!(
                    "<RoleName>shop-lambda-role</RoleName><PolicyName>{name}</PolicyName>\
                     <PolicyDocument>{document}</PolicyDocument>"
                ),
            )
        }
        write @ ("PutRolePermissionsBoundary" | "PutRolePolicy" | "DeleteRolePolicy") => {
            wrapped(write, "")
        }
        other => Answer::xml_error(400, "Unexpected", other),
    }
}

fn wanted() -> Config {
    let names = ["multiregion-primary", "multiregion-dr"];
    Config {
        trusted_services: BTreeSet::from(["lambda.amazonaws.com".into()]),
        inline_policies: names
            .into_iter()
            .map(|name| (name.into(), Statements::new()))
            .collect(),
        permissions_boundary: None,
        tags: Tags::new(),
    }
}

async fn observed(every_facet: bool, trust: &'static str) -> (Seen<Config>, Asks) {
    let (pass, asks) = recording(every_facet, iam(trust));
    let hint = Hint {
        known_id: None,
        wanted: Some(wanted()),
    };
    let seen = Role::observe(&pass, &id(), hint).await;
    (seen.expect("it is read").expect("it is there"), asks)
}

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"","Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;

#[tokio::test]
async fn all_of_our_policies_are_read_and_none_of_others() {
    let (seen, asks) = observed(true, TRUST).await;
    let names: Vec<_> = seen.config.inline_policies.keys().collect();
    assert_eq!(names, ["multiregion-old", "multiregion-primary"]);
    let resources = &seen.config.inline_policies["multiregion-old"]["A"].resources;
    assert_eq!(
        resources,
        &BTreeSet::from(["arn:aws:s3:::a/*".into(), "arn:aws:s3:::b/*".into()])
    );
    assert_eq!(
        seen.config.trusted_services,
        BTreeSet::from(["lambda.amazonaws.com".into()])
    );
    assert_eq!(seen.owner, Owner::Nobody);
    assert_eq!(
        seen.outputs["arn"],
        "arn:aws:iam::123456789012:role/shop-lambda-role"
    );
    assert_eq!(asks.lock().expect("no panic").len(), 6);
}

#[tokio::test]
async fn a_quick_look_reads_the_role_and_the_wanted_policies_alone() {
    let (seen, asks) = observed(false, TRUST).await;
    let names: Vec<_> = seen.config.inline_policies.keys().collect();
    assert_eq!(names, ["multiregion-primary"]);
    assert!(seen.unread.is_empty());
    assert_eq!(asks.lock().expect("no panic").len(), 3);
}

#[tokio::test]
async fn a_boundary_is_put_before_the_policies_that_it_bounds_and_never_taken_away() {
    let (pass, asks) = recording(true, iam(TRUST));
    let (seen, _) = observed(true, TRUST).await;
    assert_eq!(seen.config.permissions_boundary.as_deref(), Some(BOUNDARY));
    let mut desired = wanted();
    desired.permissions_boundary = Some("arn:aws:iam::123456789012:policy/apps".into());
    let changed = ["inline_policies", "permissions_boundary"].map(str::to_owned);
    let changed = BTreeSet::from(changed);
    let updated = Role::update(&pass, &id(), seen.clone(), &desired, &changed).await;
    let updated = updated.expect("it is changed");
    assert_eq!(
        updated.config.permissions_boundary,
        desired.permissions_boundary
    );
    let first = asks.lock().expect("no panic")[0].clone();
    assert_eq!(form(&first, "Action"), "PutRolePermissionsBoundary");
    assert!(form(&first, "PermissionsBoundary").ends_with("policy%2Fapps"));

    desired.permissions_boundary = None;
    let fields = serde_json::to_value(&desired).expect("plain data");
    assert!(
        fields.get("permissions_boundary").is_none(),
        "absent is unmanaged"
    );
}

#[tokio::test]
async fn whom_a_hand_added_to_the_trust_policy_is_a_difference() {
    for added in [
        r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:root"},"Action":"sts:AssumeRole"}"#,
        r#"{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com","AWS":"arn:aws:iam::1:root"},"Action":"sts:AssumeRole"}"#,
        r#"{"Effect":"Deny","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}"#,
        r#"{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"Bool":{"a":"b"}}}"#,
    ] {
        let trust = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"Service":["lambda.amazonaws.com"]}},"Action":["sts:AssumeRole"]}},{added}]}}"#
        );
        let trusted = trusted_services(&encoded(&trust)).expect("readable");
        assert_eq!(trusted.len(), 2, "{added}");
        assert!(trusted.contains("lambda.amazonaws.com"));
    }
}

#[test]
fn what_is_written_reads_back() {
    let services = BTreeSet::from(["s3.amazonaws.com".into(), "lambda.amazonaws.com".into()]);
    assert_eq!(
        trusted_services(&trust_policy(&services)).expect("readable"),
        services
    );
}

#[tokio::test]
async fn a_role_that_is_not_there_costs_one_call() {
    let (pass, asks) = recording(true, |_| {
        Answer::xml_error(404, "NoSuchEntity", "cannot be found")
    });
    let hint = Hint {
        known_id: None,
        wanted: Some(wanted()),
    };
    assert_eq!(Role::observe(&pass, &id(), hint).await, Ok(None));
    assert_eq!(asks.lock().expect("no panic").len(), 1);
}
