//! Whom function URLs and buckets let in: the distribution that their policies name, signed for by its access control.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use strict_aws::{Config as ProxyConfig, Proxy};
use testbed::Emulator;

use crate::config::{Behavior, Config, bucket, function_url};
use crate::world::{Distribution, World};

const ECHO: &str = "exports.handler = async (event) => ({ statusCode: 200, body: JSON.stringify({ \
    method: event.requestContext.http.method, path: event.rawPath, body: event.body, \
    from: event.headers['x-from'] }) });";
const BOTH: [&str; 2] = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"];

/// A distribution before a function's URL.
async fn lambda(world: &World, permissions: &[&str]) -> Distribution {
    let host = world.lambda("shop", ECHO).await;
    let control = world.access_control("lambda").await;
    let config = Config::of(
        &[function_url("lambda", &host, &control)],
        Behavior::to("lambda"),
    );
    let shop = world.distribution(&config).await;
    for action in permissions {
        world.permit("shop", action, &shop.arn).await;
    }
    shop
}

#[tokio::test]
async fn a_function_answers_the_distribution_that_it_admits() {
    let world = World::new(&[]).await;
    let shop = lambda(&world, &BOTH).await;
    let reply = world
        .ask("GET", &shop.host, "/cart/1", &[("x-from", "viewer")], "")
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(seen["path"], "/cart/1");
    assert_eq!(seen["from"], "viewer");
    assert_eq!(reply.header("x-edge-origin"), "lambda");
}

#[tokio::test]
async fn a_body_wants_its_hash_from_the_viewer() {
    let world = World::new(&[]).await;
    let shop = lambda(&world, &BOTH).await;
    let post =
        async |headers: &[(&str, &str)]| world.ask("POST", &shop.host, "/", headers, "hello").await;
    assert_eq!(post(&[]).await.status, 403);
    let wrong = hex::encode(Sha256::digest(b"another"));
    assert_eq!(post(&[("x-amz-content-sha256", &wrong)]).await.status, 403);
    let right = hex::encode(Sha256::digest(b"hello"));
    let reply = post(&[("x-amz-content-sha256", &right)]).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let seen: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(seen["method"], "POST");
}

#[tokio::test]
async fn a_function_wants_both_permissions_of_this_distribution() {
    let world = World::new(&[]).await;
    let shop = lambda(&world, &BOTH[..1]).await;
    assert_eq!(world.get(&shop, "/").await.status, 403, "one of two");
    let another = shop.arn.replace(&shop.id, "EANOTHER");
    world.permit("shop", BOTH[1], &another).await;
    assert_eq!(
        world.get(&shop, "/").await.status,
        403,
        "another distribution's"
    );
}

#[tokio::test]
async fn without_an_access_control_or_with_the_viewers_host_a_function_refuses() {
    let world = World::new(&[]).await;
    let host = world.lambda("shop", ECHO).await;
    let control = world.access_control("lambda").await;
    let mut config = Config::of(&[function_url("lambda", &host, "")], Behavior::to("lambda"));
    let shop = world.distribution(&config).await;
    for action in BOTH {
        world.permit("shop", action, &shop.arn).await;
    }
    assert_eq!(world.get(&shop, "/").await.status, 403, "unsigned");
    config.origins = vec![function_url("lambda", &host, &control)];
    config.default.origin_request_policy = "216adef6-5c7f-47e4-b989-5492eafa07d3".to_owned();
    world.update(&shop, &config).await;
    assert_eq!(
        world.get(&shop, "/").await.status,
        403,
        "AllViewer forwards the viewer's Host"
    );
}

/// Makes a bucket with one object, of a name of the account's.
async fn make_bucket(world: &World) -> String {
    let name = format!("{}-static", world.account);
    world.api("s3", "PUT", &format!("/{name}"), &[], "").await;
    world
        .api("s3", "PUT", &format!("/{name}/_nuxt/app.js"), &[], "app")
        .await;
    name
}

async fn admit(world: &World, name: &str, actions: &[&str], principal: Value, source: &str) {
    let statements: Vec<Value> = actions
        .iter()
        .map(|action| {
            let resource = if *action == "s3:ListBucket" { "" } else { "/*" };
            let mut statement = json!({
                "Effect": "Allow", "Principal": principal, "Action": action,
                "Resource": format!("arn:aws:s3:::{name}{resource}"),
            });
            if !source.is_empty() {
                statement["Condition"] = json!({"StringEquals": {"AWS:SourceArn": source}});
            }
            statement
        })
        .collect();
    let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    world
        .api("s3", "PUT", &format!("/{name}?policy"), &[], policy)
        .await;
}

#[tokio::test]
async fn a_bucket_answers_the_distribution_that_its_policy_names() {
    let world = World::new(&[]).await;
    let name = make_bucket(&world).await;
    let control = world.access_control("s3").await;
    let mut config = Config::of(
        &[bucket("static", &name, &control, "")],
        Behavior::to("static"),
    );
    config.error_ttls = vec![(404, 0)];
    let shop = world.distribution(&config).await;
    let status = async |path: &str| world.get(&shop, path).await.status;
    assert_eq!(status("/_nuxt/app.js").await, 403, "no policy");

    let service = json!({"Service": "cloudfront.amazonaws.com"});
    let another = shop.arn.replace(&shop.id, "EANOTHER");
    admit(&world, &name, &["s3:GetObject"], service.clone(), &another).await;
    assert_eq!(status("/_nuxt/app.js").await, 403, "another distribution's");

    admit(&world, &name, &["s3:GetObject"], service.clone(), &shop.arn).await;
    let reply = world.get(&shop, "/_nuxt/app.js").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "app"));
    assert_eq!(
        status("/_nuxt/gone.js").await,
        403,
        "whoever may not list is not told what is missing"
    );

    admit(
        &world,
        &name,
        &["s3:GetObject", "s3:ListBucket"],
        service,
        &shop.arn,
    )
    .await;
    assert_eq!(status("/_nuxt/gone.js").await, 404);
}

#[tokio::test]
async fn a_bucket_answers_the_access_identity_that_its_policy_names() {
    let emulator = Emulator::shared().await.unwrap();
    // The emulator has no access identities: the proxy has.
    let proxy = Proxy::start(&emulator.url(), ProxyConfig::transparent())
        .await
        .unwrap();
    let world = World::at(&proxy.url(), &[]).await;
    let name = make_bucket(&world).await;
    let body = "<CloudFrontOriginAccessIdentityConfig xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\">\
                <CallerReference>one</CallerReference><Comment>one</Comment></CloudFrontOriginAccessIdentityConfig>";
    let made = world
        .cloudfront("POST", "origin-access-identity/cloudfront", "", body)
        .await;
    let (id, user) = (made.xml("Id"), made.xml("S3CanonicalUserId"));
    let config = Config::of(&[bucket("static", &name, "", &id)], Behavior::to("static"));
    let shop = world.distribution(&config).await;
    let status = async || world.get(&shop, "/_nuxt/app.js").await.status;
    let get = ["s3:GetObject"];

    admit(
        &world,
        &name,
        &get,
        json!({"Service": "cloudfront.amazonaws.com"}),
        &shop.arn,
    )
    .await;
    assert_eq!(status().await, 403, "an access control's statement");
    let arn =
        |id: &str| format!("arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity {id}");
    admit(&world, &name, &get, json!({"AWS": arn(&id)}), "").await;
    assert_eq!(status().await, 200);
    admit(&world, &name, &get, json!({"AWS": arn("EANOTHER")}), "").await;
    assert_eq!(status().await, 403);
    admit(&world, &name, &get, json!({"CanonicalUser": user}), "").await;
    assert_eq!(status().await, 200);
}
