//! IAM's rules.

use std::time::Duration;

use strict_aws::{Config, Strict};

use crate::support::{Aws, encode, trust};

#[tokio::test]
async fn trust_policies_are_checked() {
    let aws = Aws::only(|strict| strict.iam_policies = true).await;
    let create = async |document: &str| {
        aws.iam(&format!(
            "CreateRole&RoleName=r&AssumeRolePolicyDocument={}",
            encode(document)
        ))
        .await
    };
    let malformed = [
        "no json".to_owned(),
        "{}".to_owned(),
        r#"{"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}"#.to_owned(),
        trust("lambda.example.com"),
        format!(
            r#"{{"Statement": {{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {{"AWS": "arn:aws:iam::{}:role/nobody"}}}}}}"#,
            aws.account
        ),
    ];
    for document in malformed {
        create(&document)
            .await
            .refused(400, "MalformedPolicyDocument");
    }
    create(&trust("lambda.amazonaws.com")).await.ok();
    // Documents come back percent-encoded.
    let read = aws.iam("GetRole&RoleName=r").await.ok();
    assert!(read.text("AssumeRolePolicyDocument").starts_with("%7B"));
    let update = format!(
        "UpdateAssumeRolePolicy&RoleName=r&PolicyDocument={}",
        encode("{")
    );
    aws.iam(&update)
        .await
        .refused(400, "MalformedPolicyDocument");
}

#[tokio::test]
async fn permissions_name_resources() {
    let aws = Aws::only(|strict| strict.iam_policies = true).await;
    let create = format!(
        "CreateRole&RoleName=r&AssumeRolePolicyDocument={}",
        encode(&trust("lambda.amazonaws.com"))
    );
    aws.iam(&create).await.ok();
    let put = async |resource: &str| {
        let document = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "s3:GetObject"{resource}}}]}}"#
        );
        aws.iam(&format!(
            "PutRolePolicy&RoleName=r&PolicyName=p&PolicyDocument={}",
            encode(&document)
        ))
        .await
    };
    for bad in [
        "",
        r#", "Resource": """#,
        r#", "Resource": ["*", "bucket"]"#,
        r#", "Resource": "*", "Principal": "*""#,
    ] {
        put(bad).await.refused(400, "MalformedPolicyDocument");
    }
    put(r#", "Resource": "arn:aws:s3:::b/*""#).await.ok();
    aws.iam("DeleteRole&RoleName=r")
        .await
        .refused(409, "DeleteConflict");
    aws.iam("DeleteRolePolicy&RoleName=r&PolicyName=p")
        .await
        .ok();
    aws.iam("DeleteRole&RoleName=r").await.ok();
}

#[tokio::test]
async fn reads_show_what_was_before_a_write() {
    let mut config = Config {
        strict: Strict::none(),
        ..Config::strict()
    };
    config.strict.stale_reads = true;
    config.delays.stale_reads = Duration::from_secs(600);
    let aws = Aws::with(config).await;
    let caught_up = |yes: bool| {
        let delay = Duration::from_secs(if yes { 0 } else { 600 });
        aws.proxy
            .configure(|config| config.delays.stale_reads = delay);
    };
    let create = format!(
        "CreateRole&RoleName=r&AssumeRolePolicyDocument={}",
        encode(&trust("lambda.amazonaws.com"))
    );
    aws.iam(&create).await.ok();
    // The role is not to be seen, and there all the same.
    aws.iam("GetRole&RoleName=r")
        .await
        .refused(404, "NoSuchEntity");
    aws.iam(&create).await.refused(409, "EntityAlreadyExists");
    caught_up(true);
    aws.iam("GetRole&RoleName=r").await.ok();

    let document = encode(
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#,
    );
    let put = format!("PutRolePolicy&RoleName=r&PolicyName=p&PolicyDocument={document}");
    aws.iam(&put).await.ok();
    caught_up(false);
    aws.iam("GetRolePolicy&RoleName=r&PolicyName=p")
        .await
        .refused(404, "NoSuchEntity");
    let listed = aws.iam("ListRolePolicies&RoleName=r").await.ok();
    assert!(!listed.body.contains("<member>p</member>"));
    caught_up(true);
    aws.iam("ListRolePolicies&RoleName=r")
        .await
        .ok()
        .says("<member>p</member>");
    caught_up(false);
    aws.iam("DeleteRolePolicy&RoleName=r&PolicyName=p")
        .await
        .ok();
    // Of two writes within the delay, a read shows what was before the first.
    aws.iam("GetRolePolicy&RoleName=r&PolicyName=p")
        .await
        .refused(404, "NoSuchEntity");
}

#[tokio::test]
async fn lists_come_in_pages() {
    let aws = Aws::only(|strict| strict.pages = true).await;
    let create = format!(
        "CreateRole&RoleName=r&AssumeRolePolicyDocument={}",
        encode(&trust("lambda.amazonaws.com"))
    );
    aws.iam(&create).await.ok();
    let document = encode(
        r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#,
    );
    for name in ["a", "b", "c"] {
        aws.iam(&format!(
            "PutRolePolicy&RoleName=r&PolicyName={name}&PolicyDocument={document}"
        ))
        .await
        .ok();
    }
    let first = aws
        .iam("ListRolePolicies&RoleName=r")
        .await
        .ok()
        .says("<member>a</member><member>b</member></");
    assert_eq!(first.text("IsTruncated"), "true");
    let marker = first.text("Marker");
    let second = aws
        .iam(&format!("ListRolePolicies&RoleName=r&Marker={marker}"))
        .await
        .ok();
    assert_eq!(
        second
            .says("<PolicyNames><member>c</member></")
            .text("IsTruncated"),
        "false"
    );
}
