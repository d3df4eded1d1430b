//! Which distribution, which behaviour, and whether a request may come in at all.

use std::time::{Duration, Instant};

use strict_aws::{Config as ProxyConfig, Fault, FaultKind, Proxy};
use testbed::Emulator;
use testbed::wait::{Seen, until};

use crate::config::{Behavior, Config, server};
use crate::server::Server;
use crate::world::World;

#[tokio::test]
async fn the_first_pattern_that_matches_decides_and_the_default_takes_the_rest() {
    let (one, two) = (Server::start("one").await, Server::start("two").await);
    let world = World::new(&[("one", &one), ("two", &two)]).await;
    let mut config = Config::of(&[server("one"), server("two")], Behavior::to("one"));
    config.behaviors = vec![
        Behavior::to("two").at("/api/*"),
        Behavior::to("one").at("/api/v2/*"),
        Behavior::to("two").at("*.ic?"),
    ];
    let shop = world.distribution(&config).await;
    for (path, origin, behavior) in [
        ("/", "one", "default"),
        ("/api/cart", "two", "/api/*"),
        ("/api/v2/cart", "two", "/api/*"),
        ("/API/cart", "one", "default"),
        ("/favicon.ico", "two", "*.ic?"),
    ] {
        let reply = world.get(&shop, path).await;
        assert_eq!(reply.header("x-edge-origin"), origin, "{path}");
        assert_eq!(reply.header("x-edge-behavior"), behavior, "{path}");
        assert_eq!(reply.header("x-cache"), "Miss from cloudfront", "{path}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_allowed_is_refused() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let mut config = Config::of(&[server("one")], Behavior::to("one"));
    config.default.methods = &["GET", "HEAD"];
    let shop = world.distribution(&config).await;
    let reply = world.ask("POST", &shop.host, "/", &[], "x").await;
    assert_eq!((reply.status, one.count()), (403, 0));
    let reply = world.ask("HEAD", &shop.host, "/", &[], "").await;
    assert_eq!((reply.status, one.count()), (200, 1));
}

#[tokio::test]
async fn http_is_redirected_or_refused_as_the_behaviour_says() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let mut config = Config::of(&[server("one")], Behavior::to("one"));
    config.default.protocol = "redirect-to-https";
    let mut only = Behavior::to("one").at("/only");
    only.protocol = "https-only";
    config.behaviors = vec![only];
    let shop = world.distribution(&config).await;
    let reply = world
        .ask_plainly("GET", &shop.host, "/a?b=c", &[], "")
        .await;
    assert_eq!(reply.status, 301);
    assert_eq!(
        reply.header("location"),
        format!("https://{}/a?b=c", shop.host)
    );
    let reply = world.ask_plainly("POST", &shop.host, "/a", &[], "x").await;
    assert_eq!(reply.status, 307);
    let reply = world.ask_plainly("GET", &shop.host, "/only", &[], "").await;
    assert_eq!((reply.status, one.count()), (403, 0));
    assert_eq!(world.get(&shop, "/only").await.status, 200);
}

#[tokio::test]
async fn a_host_is_served_by_name_or_alias_while_the_distribution_is_enabled() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let mut config = Config::of(&[server("one")], Behavior::to("one"));
    config.aliases = vec![
        "shop.example.com".to_owned(),
        "*.shop.example.com".to_owned(),
    ];
    let shop = world.distribution(&config).await;
    let status = async |host: &str| world.ask("GET", host, "/", &[], "").await.status;
    assert_eq!(status(&shop.host).await, 200);
    assert_eq!(status("shop.example.com").await, 200);
    assert_eq!(status("www.Shop.example.com:443").await, 200);
    assert_eq!(status("example.com").await, 403);

    config.aliases = Vec::new();
    world.update(&shop, &config).await;
    assert_eq!(status("shop.example.com").await, 403);
    config.enabled = false;
    world.update(&shop, &config).await;
    assert_eq!(status(&shop.host).await, 403);
}

#[tokio::test]
async fn a_change_is_served_when_it_is_deployed_and_not_before() {
    let (one, two) = (Server::start("one").await, Server::start("two").await);
    let mut slow = ProxyConfig::transparent();
    slow.strict.cloudfront_in_progress = true;
    slow.delays.distribution_in_progress = Duration::from_secs(3600);
    let emulator = Emulator::shared().await.unwrap();
    let proxy = Proxy::start(&emulator.url(), slow).await.unwrap();
    let world = World::at(&proxy.url(), &[("one", &one), ("two", &two)]).await;
    let deploy = |time| proxy.configure(|config| config.delays.distribution_in_progress = time);

    let mut config = Config::of(&[server("one"), server("two")], Behavior::to("one"));
    let shop = world.distribution(&config).await;
    assert_eq!(
        world.get(&shop, "/").await.status,
        403,
        "nothing is deployed yet"
    );
    deploy(Duration::ZERO);
    assert_eq!(world.get(&shop, "/").await.told().1, "one");
    deploy(Duration::from_secs(3600));
    config.default.target = "two".to_owned();
    world.update(&shop, &config).await;
    assert_eq!(world.get(&shop, "/").await.told().1, "one");
    deploy(Duration::ZERO);
    assert_eq!(world.get(&shop, "/").await.told().1, "two");
}

#[tokio::test]
async fn the_edge_serves_on_while_the_api_is_away() {
    let one = Server::start("one").await;
    let emulator = Emulator::shared().await.unwrap();
    let proxy = Proxy::start(&emulator.url(), ProxyConfig::transparent())
        .await
        .unwrap();
    let world = World::at(&proxy.url(), &[("one", &one)]).await;
    let shop = world
        .distribution(&Config::of(&[server("one")], Behavior::to("one")))
        .await;
    assert_eq!(world.get(&shop, "/").await.status, 200);
    drop(proxy);
    assert_eq!(world.get(&shop, "/").await.status, 200);
}

#[tokio::test]
async fn an_api_that_never_answers_holds_up_viewers_for_a_moment_only() {
    let one = Server::start("one").await;
    let emulator = Emulator::shared().await.unwrap();
    let proxy = Proxy::start(&emulator.url(), ProxyConfig::transparent())
        .await
        .unwrap();
    let world = World::at(&proxy.url(), &[("one", &one)]).await;
    let shop = world
        .distribution(&Config::of(&[server("one")], Behavior::to("one")))
        .await;
    assert_eq!(world.get(&shop, "/").await.status, 200);
    proxy.configure(|config| config.faults.push(Fault::new(FaultKind::BlackHole)));
    let start = Instant::now();
    assert_eq!(world.get(&shop, "/").await.status, 200);
    let first = start.elapsed();
    assert_eq!(world.get(&shop, "/").await.status, 200);
    let second = start.elapsed() - first;
    assert!(first < Duration::from_secs(4), "{first:?}");
    assert!(second < Duration::from_secs(1), "{second:?}");
}

#[tokio::test]
async fn what_was_deployed_while_nobody_asked_is_served_while_the_next_change_is_in_progress() {
    let (one, two) = (Server::start("one").await, Server::start("two").await);
    let mut slow = ProxyConfig::transparent();
    slow.strict.cloudfront_in_progress = true;
    slow.delays.distribution_in_progress = Duration::ZERO;
    let emulator = Emulator::shared().await.unwrap();
    let proxy = Proxy::start(&emulator.url(), slow).await.unwrap();
    let world = World::at(&proxy.url(), &[("one", &one), ("two", &two)]).await;
    let mut config = Config::of(&[server("one"), server("two")], Behavior::to("one"));
    proxy.clear_calls();
    let shop = world.distribution(&config).await;
    let seen = until("the edge to see it", Duration::from_secs(10), || async {
        let reads = proxy
            .calls()
            .into_iter()
            .filter(|call| call.operation == "GetDistribution" && call.status == Some(200));
        Ok(Seen::when(reads.count() > 0, "no GetDistribution"))
    });
    seen.await.unwrap();
    proxy.configure(|config| config.delays.distribution_in_progress = Duration::from_secs(3600));
    config.default.target = "two".to_owned();
    world.update(&shop, &config).await;
    let before = until("the deployed config", Duration::from_secs(5), || async {
        let reply = world.get(&shop, "/").await;
        Ok(Seen::when(reply.told().1 == "one", format!("{reply:?}")))
    });
    before.await.unwrap();
}
