//! Credentials that come late.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use strict_aws::{Config, Fault, FaultKind};

use crate::world::{World, condition, minimal};

/// The file that the chain looks for is written minutes after the start, as a mounted secret may be.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_come_after_the_start_are_found_without_a_restart() -> Result<()> {
    let mut world = World::without_operator("latecreds", Config::transparent()).await?;
    world.without_credentials();
    let file = world.credentials_file();
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    let app = world
        .until("NoCredentials", "shop", Duration::from_secs(60), |app| {
            condition(app, "Synced").1 == "NoCredentials"
        })
        .await?;
    ensure!(condition(&app, "Ready").0 == "False");
    ensure!(
        world.proxy.calls().is_empty(),
        "AWS was called without credentials"
    );
    let keys = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        world.account,
        testbed::SECRET_ACCESS_KEY
    );
    std::fs::write(&file, keys)?;
    let given = Instant::now();
    world.until_ready("shop", Duration::from_secs(60)).await?;
    println!(
        "Ready {:.1} s after the credentials came",
        given.elapsed().as_secs_f64()
    );
    world.assert_nothing_twice().await?;
    world.assert_quiet("shop").await
}

/// As on EKS: the role comes with the pod's environment, its token in a file that is not there at first.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_identity_whose_token_comes_late_is_assumed() -> Result<()> {
    let mut world = World::without_operator("webidentity", Config::transparent()).await?;
    let trust = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Federated": "*"}, "Action": "sts:AssumeRoleWithWebIdentity",
    }]});
    let role = json!({"RoleName": "operator", "AssumeRolePolicyDocument": trust.to_string()});
    world
        .aws()
        .call("iam", "CreateRole", "us-east-1", &role)
        .await?;
    world.without_credentials();
    let token = world.credentials_file().with_file_name("token");
    world.set(
        "AWS_ROLE_ARN",
        &format!("arn:aws:iam::{}:role/operator", world.account),
    );
    world.set("AWS_WEB_IDENTITY_TOKEN_FILE", &token.to_string_lossy());
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    world
        .until("NoCredentials", "shop", Duration::from_secs(60), |app| {
            condition(app, "Synced").1 == "NoCredentials"
        })
        .await?;

    // A role that may not be assumed is a matter of credentials; an STS that is away is not.
    // There is no other call before it is assumed.
    for (kind, reason) in [
        (FaultKind::RefuseRegion, "Unreachable"),
        (FaultKind::AccessDenied, "NoCredentials"),
    ] {
        world
            .proxy
            .configure(|config| config.faults = vec![Fault::new(kind)]);
        std::fs::write(&token, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcGVyYXRvciJ9.")?;
        world
            .annotate("shop", &format!("example.com/now={reason}"))
            .await?;
        let what = format!("{reason} while STS answers with {kind:?}");
        world
            .until(&what, "shop", Duration::from_secs(60), |app| {
                condition(app, "Synced").1 == reason
            })
            .await?;
    }
    world.proxy.configure(|config| config.faults.clear());
    world.until_ready("shop", Duration::from_secs(60)).await?;
    world.assert_quiet("shop").await
}
