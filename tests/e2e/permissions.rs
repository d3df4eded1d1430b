//! The generated IAM policy is enough for a whole life, on an emulator that enforces policies.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Service};
use testbed::{Emulator, EmulatorOptions};

use crate::world::{BINARY, World, condition, minimal};

#[tokio::test(flavor = "multi_thread")]
async fn the_generated_policy_carries_an_app_from_nothing_to_nothing() -> Result<()> {
    let emulator = Emulator::start(EmulatorOptions {
        auth: true,
        ..EmulatorOptions::default()
    })
    .await?;
    let mut world = World::at(&emulator, "policy", Config::transparent()).await?;
    let keys = operator_user(&world).await?;
    world.use_keys(&keys);
    let boundary = world.create_boundary().await?;
    world.configure_own(&json!({"permissionsBoundaryARN": boundary}))?;
    world.start().await?;
    let mut spec = minimal();
    world.create_zone("example.com").await?;
    spec["deletionPolicy"] = json!("Delete");
    spec["domain"] = json!({"name": "shop.example.com", "hostedZone": "example.com"});
    spec["staticAssets"] = json!({"originAccess": "OriginAccessIdentity"});
    spec["tables"] = json!([{"name": "visits", "deletionProtection": "Disabled", "timeToLiveAttribute": "expires"}]);
    world.apply("shop", &spec).await?;
    world.until_ready("shop", Duration::from_secs(90)).await?;
    world.assert_quiet("shop").await?;
    let role = json!({"RoleName": "shop-lambda-role"});
    let aws = world.aws();
    aws.call("iam", "DeleteRolePermissionsBoundary", "us-east-1", &role)
        .await?;
    spec["staticAssets"] = json!({"originAccess": "OriginAccessControl"});
    spec["function"] = json!({"memorySizeMiB": 256, "logRetentionDays": 7});
    world.apply("shop", &spec).await?;
    world.until_ready("shop", Duration::from_secs(90)).await?;
    ensure!(
        world
            .proxy
            .counts()
            .contains_key(&(Service::Iam, "PutRolePermissionsBoundary".into())),
        "the boundary was not put back"
    );
    world.assert_quiet("shop").await?;
    world.delete("shop").await?;
    world.until_gone("shop", Duration::from_secs(90)).await?;
    let denied: Vec<_> = world
        .proxy
        .calls()
        .into_iter()
        .filter(|call| call.status == Some(403))
        .collect();
    ensure!(denied.is_empty(), "{denied:#?}");
    Ok(())
}

/// Without one action of the policy, the condition names that action and what it was for.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named() -> Result<()> {
    let emulator = Emulator::start(EmulatorOptions {
        auth: true,
        ..EmulatorOptions::default()
    })
    .await?;
    let mut world = World::at(&emulator, "rights", Config::transparent()).await?;
    let keys = operator_user(&world).await?;
    let deny = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Deny", "Action": "lambda:CreateFunction", "Resource": "*"},
    ]});
    let put =
        json!({"UserName": "operator", "PolicyName": "deny", "PolicyDocument": deny.to_string()});
    world
        .aws()
        .call("iam", "PutUserPolicy", "us-east-1", &put)
        .await?;
    world.use_keys(&keys);
    world.start().await?;
    world.apply("shop", &minimal()).await?;
    let app = world
        .until("AccessDenied", "shop", Duration::from_secs(60), |app| {
            condition(app, "Synced").1 == "AccessDenied"
        })
        .await?;
    ensure!(
        condition(&app, "Synced")
            .2
            .contains("lambda:CreateFunction"),
        "{}",
        condition(&app, "Synced").2
    );
    Ok(())
}

/// A user with the generated policy and nothing else; returns its access key's two parts.
async fn operator_user(world: &World) -> Result<(String, String)> {
    let printed = tokio::process::Command::new(BINARY)
        .arg("iam-policy")
        .output()
        .await?;
    let policy = for_the_emulator(&printed.stdout)?;
    let aws = world.aws();
    aws.call(
        "iam",
        "CreateUser",
        "us-east-1",
        &json!({"UserName": "operator"}),
    )
    .await?;
    let put = json!({"UserName": "operator", "PolicyName": "generated", "PolicyDocument": policy});
    aws.call("iam", "PutUserPolicy", "us-east-1", &put).await?;
    // The emulator asks for these without the ARN that AWS asks with, so that no narrower resource matches.
    let creations = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": [
            "lambda:CreateFunction", "cloudfront:CreateCloudFrontOriginAccessIdentity",
            "dynamodb:ListTagsOfResource", "dynamodb:TagResource",
        ],
        "Resource": "*",
    }]});
    let put = json!({"UserName": "operator", "PolicyName": "emulator", "PolicyDocument": creations.to_string()});
    aws.call("iam", "PutUserPolicy", "us-east-1", &put).await?;
    let key = aws
        .call(
            "iam",
            "CreateAccessKey",
            "us-east-1",
            &json!({"UserName": "operator"}),
        )
        .await?;
    let part = |name: &str| {
        let part = key
            .pointer(&format!("/AccessKey/{name}"))
            .and_then(Value::as_str);
        part.map(str::to_owned)
            .with_context(|| format!("the key has {name}"))
    };
    Ok((part("AccessKeyId")?, part("SecretAccessKey")?))
}

/// The generated policy, plus the same actions on any resource where the emulator asks for `*` instead of the resource
/// that AWS would ask for: a function that is yet to be made, a change of records, and everything of CloudFront but a
/// distribution by its id.
fn for_the_emulator(printed: &[u8]) -> Result<String> {
    let mut policy: Value = serde_json::from_slice(printed)?;
    let statements = policy["Statement"].as_array_mut();
    let statements = statements.context("the policy has statements")?;
    let widened: Vec<Value> = statements
        .iter()
        .filter_map(|statement| statement["Action"].as_array())
        .flatten()
        .filter(|action| {
            action.as_str().is_some_and(|action| {
                action.starts_with("cloudfront:")
                    || ["lambda:CreateFunction", "route53:GetChange"].contains(&action)
            })
        })
        .cloned()
        .collect();
    statements.push(json!({"Effect": "Allow", "Action": widened, "Resource": "*"}));
    Ok(policy.to_string())
}
