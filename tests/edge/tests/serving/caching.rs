//! What is kept, under which key, for how long.

use std::time::Duration;

use edge::{Fault, Target};

use crate::config::{Behavior, CACHING_DISABLED, CACHING_OPTIMIZED, Config, server};
use crate::server::Server;
use crate::world::{Distribution, World};

async fn cached(policy: &str) -> (Server, World, Distribution) {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let shop = distribution(&world, policy, &[]).await;
    (one, world, shop)
}

async fn distribution(world: &World, policy: &str, error_ttls: &[(u16, u64)]) -> Distribution {
    let mut config = Config::of(&[server("one")], Behavior::to("one").cached_by(policy));
    config.error_ttls = error_ttls.to_vec();
    config.reference = format!("{policy}{error_ttls:?}");
    world.distribution(&config).await
}

/// A policy with a minute's caching, all query strings, one header and one cookie.
async fn policy(world: &World) -> String {
    let body = "<CachePolicyConfig xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Name>minute</Name>\
        <MinTTL>0</MinTTL><DefaultTTL>60</DefaultTTL><MaxTTL>300</MaxTTL><ParametersInCacheKeyAndForwardedToOrigin>\
        <EnableAcceptEncodingGzip>false</EnableAcceptEncodingGzip>\
        <HeadersConfig><HeaderBehavior>whitelist</HeaderBehavior><Headers><Quantity>1</Quantity><Items>\
        <Name>X-Shop</Name></Items></Headers></HeadersConfig><CookiesConfig><CookieBehavior>whitelist</CookieBehavior>\
        <Cookies><Quantity>1</Quantity><Items><Name>lang</Name></Items></Cookies></CookiesConfig>\
        <QueryStringsConfig><QueryStringBehavior>all</QueryStringBehavior></QueryStringsConfig>\
        </ParametersInCacheKeyAndForwardedToOrigin></CachePolicyConfig>";
    world
        .cloudfront("POST", "cache-policy", "", body)
        .await
        .xml("Id")
}

#[tokio::test]
async fn a_hit_is_a_hit_until_its_time_is_over() {
    let (one, world, shop) = cached(CACHING_OPTIMIZED).await;
    let first = world.get(&shop, "/app.js").await;
    let second = world.get(&shop, "/app.js?v=2").await;
    assert_eq!(
        (first.body.as_str(), first.header("x-cache")),
        ("one 1", "Miss from cloudfront")
    );
    assert_eq!(
        (second.body.as_str(), second.header("x-cache")),
        ("one 1", "Hit from cloudfront")
    );
    assert_eq!(second.header("x-edge-origin"), "one");
    let head = world.ask("HEAD", &shop.host, "/app.js", &[], "").await;
    assert_eq!(
        (head.body.as_str(), head.header("x-cache")),
        ("", "Hit from cloudfront")
    );
    world.edge.advance(Duration::from_secs(86_401));
    assert_eq!(world.get(&shop, "/app.js").await.body, "one 2");
    world.edge.clear_cache();
    assert_eq!(world.get(&shop, "/app.js").await.body, "one 3");
    assert_eq!(one.count(), 3);
}

#[tokio::test]
async fn a_policy_of_ones_own_decides_on_the_key() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let policy = policy(&world).await;
    let shop = distribution(&world, &policy, &[]).await;
    let ask = async |path: &str, headers: &[(&str, &str)]| {
        world.ask("GET", &shop.host, path, headers, "").await.body
    };
    let base = ask("/?page=1", &[("x-shop", "a"), ("cookie", "lang=de; id=1")]).await;
    assert_eq!(
        ask(
            "/?page=1",
            &[
                ("x-shop", "a"),
                ("cookie", "id=2; lang=de"),
                ("x-other", "1")
            ]
        )
        .await,
        base
    );
    assert_ne!(
        ask("/?page=2", &[("x-shop", "a"), ("cookie", "lang=de")]).await,
        base
    );
    assert_ne!(
        ask("/?page=1", &[("x-shop", "b"), ("cookie", "lang=de")]).await,
        base
    );
    assert_ne!(
        ask("/?page=1", &[("x-shop", "a"), ("cookie", "lang=fr")]).await,
        base
    );
    let got = one.got.lock().unwrap();
    assert_eq!(
        got[0].headers["cookie"], "lang=de",
        "what is in the key is sent, and nothing else"
    );
    assert_eq!(got[0].headers["x-shop"], "a");
    assert_eq!(got[0].target, "/?page=1");
}

#[tokio::test]
async fn the_origins_cache_control_wins_within_the_bounds() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let policy = policy(&world).await;
    let shop = distribution(&world, &policy, &[]).await;
    for (number, (said, seconds)) in [
        ("max-age=10", 10),
        ("s-maxage=20, max-age=1", 20),
        ("max-age=9999", 300),
        ("public", 60),
    ]
    .into_iter()
    .enumerate()
    {
        one.say("cache-control", said);
        let path = format!("/{number}");
        let first = world.get(&shop, &path).await.body;
        world.edge.advance(Duration::from_secs(seconds - 1));
        assert_eq!(world.get(&shop, &path).await.body, first, "{said}");
        world.edge.advance(Duration::from_secs(2));
        assert_ne!(world.get(&shop, &path).await.body, first, "{said}");
    }
    one.say("cache-control", "no-store");
    assert_ne!(
        world.get(&shop, "/no").await.body,
        world.get(&shop, "/no").await.body
    );
}

#[tokio::test]
async fn an_error_is_kept_for_ten_seconds_though_caching_is_disabled() {
    let (one, world, shop) = cached(CACHING_DISABLED).await;
    one.answer(502);
    assert_eq!(world.get(&shop, "/").await.status, 502);
    one.answer(200);
    let kept = world.get(&shop, "/?another=1").await;
    assert_eq!(
        (kept.status, kept.header("x-cache")),
        (502, "Error from cloudfront")
    );
    world.edge.advance(Duration::from_secs(11));
    assert_eq!(world.get(&shop, "/").await.status, 200);
    assert_eq!(one.count(), 2);
}

#[tokio::test]
async fn with_an_error_ttl_of_zero_a_repaired_origin_serves_at_once() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let shop = distribution(&world, CACHING_DISABLED, &[(502, 0), (504, 0)]).await;
    world
        .edge
        .fail(Target::Origin("one".to_owned()), Fault::Status(502));
    assert_eq!(world.get(&shop, "/").await.status, 502);
    world.edge.heal_all();
    assert_eq!(world.get(&shop, "/").await.status, 200);
    world
        .edge
        .fail(Target::Origin("one".to_owned()), Fault::Status(503));
    assert_eq!(world.get(&shop, "/").await.status, 503);
    world.edge.heal_all();
    assert_eq!(
        world.get(&shop, "/").await.status,
        503,
        "503 has no TTL of its own"
    );
}

#[tokio::test]
async fn a_post_is_never_kept() {
    let (one, world, shop) = cached(CACHING_OPTIMIZED).await;
    for _ in 0..2 {
        world.ask("POST", &shop.host, "/", &[], "x").await;
    }
    assert_eq!(one.count(), 2);
}

#[tokio::test]
async fn an_invalidation_is_heard() {
    let (_one, world, shop) = cached(CACHING_OPTIMIZED).await;
    for path in ["/a/1", "/b/1"] {
        world.get(&shop, path).await;
    }
    let batch = "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths><Quantity>1</Quantity>\
                 <Items><Path>/a/*</Path></Items></Paths><CallerReference>one</CallerReference></InvalidationBatch>";
    let path = format!("distribution/{}/invalidation", shop.id);
    world.cloudfront("POST", &path, "", batch).await;
    assert_eq!(
        world.get(&shop, "/a/1").await.header("x-cache"),
        "Miss from cloudfront"
    );
    assert_eq!(
        world.get(&shop, "/b/1").await.header("x-cache"),
        "Hit from cloudfront"
    );
}
