//! Origin groups: on which failures the second origin is asked, for which methods, and how long that takes.

use std::time::{Duration, Instant};

use edge::{Fault, Target};

use crate::config::{Behavior, Config, group, server, server_with};
use crate::server::Server;
use crate::world::{Distribution, World};

struct Pair {
    one: Server,
    two: Server,
    world: World,
    shop: Distribution,
}

/// Two servers in a group that fails over on these statuses; nothing is cached, errors neither. `extra` is the first
/// origin's.
async fn pair(statuses: &[u16], extra: &str) -> Pair {
    let (one, two) = (Server::start("one").await, Server::start("two").await);
    let world = World::new(&[("one", &one), ("two", &two)]).await;
    let origins = [server_with("one", extra), server("two")];
    let mut config = Config::of(&origins, Behavior::to("both"));
    config.groups = vec![group("both", ["one", "two"], statuses)];
    config.error_ttls = [400, 403, 404, 500, 501, 502, 503, 504]
        .map(|status| (status, 0))
        .to_vec();
    let shop = world.distribution(&config).await;
    Pair {
        one,
        two,
        world,
        shop,
    }
}

fn first() -> Target {
    Target::Origin("one".to_owned())
}

#[tokio::test]
async fn each_listed_status_fails_over_and_no_other() {
    let listed = [403, 500, 502, 503, 504];
    let Pair {
        one,
        two: _two,
        world,
        shop,
    } = pair(&listed, "").await;
    for status in [200, 302, 400, 403, 404, 429, 500, 501, 502, 503, 504] {
        one.answer(status);
        let reply = world.get(&shop, "/").await;
        let expected = if listed.contains(&status) {
            (200, "two", "one=1 two=1")
        } else {
            (status, "one", "one=1")
        };
        assert_eq!(reply.told(), expected, "{status}");
    }
}

#[tokio::test]
async fn only_what_is_safe_fails_over() {
    let Pair {
        one,
        two,
        world,
        shop,
    } = pair(&[500], "").await;
    one.answer(500);
    for method in ["GET", "HEAD", "OPTIONS"] {
        let reply = world.ask(method, &shop.host, "/", &[], "").await;
        assert_eq!(
            (reply.status, reply.header("x-edge-origin")),
            (200, "two"),
            "{method}"
        );
    }
    let asked = two.count();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let reply = world.ask(method, &shop.host, "/", &[], "x").await;
        assert_eq!(
            (reply.status, reply.header("x-edge-origin")),
            (500, "one"),
            "{method}"
        );
    }
    assert_eq!(two.count(), asked);
}

#[tokio::test]
async fn the_seconds_answer_stands_whatever_it_is() {
    let Pair {
        one,
        two,
        world,
        shop,
    } = pair(&[500, 503], "").await;
    one.answer(500);
    two.answer(503);
    assert_eq!(
        world.get(&shop, "/").await.told(),
        (503, "two", "one=1 two=1")
    );
}

#[tokio::test]
async fn no_connection_counts_as_503_and_no_answer_as_504() {
    let Pair {
        one,
        two: _two,
        world,
        shop,
    } = pair(&[503], "").await;
    world.edge.fail(first(), Fault::Refuse);
    assert_eq!(world.get(&shop, "/").await.told().1, "two");
    world.edge.heal_all();
    one.script.lock().unwrap().hangs = true;
    assert_eq!(
        world.get(&shop, "/").await.told(),
        (504, "one", "one=1"),
        "504 is not listed"
    );

    let Pair {
        one,
        two: _two,
        world,
        shop,
    } = pair(&[504], "").await;
    one.script.lock().unwrap().hangs = true;
    assert_eq!(
        world.get(&shop, "/").await.told(),
        (200, "two", "one=1 two=1")
    );
    world.edge.fail(first(), Fault::Refuse);
    assert_eq!(
        world.get(&shop, "/").await.told(),
        (502, "one", "one=1"),
        "503 is not listed"
    );
}

#[tokio::test]
async fn a_closed_port_fails_over() {
    let Pair {
        one,
        two: _two,
        world,
        shop,
    } = pair(&[500, 502, 503, 504], "").await;
    drop(one);
    // The listener goes with its task, which ends when it is next looked at.
    let gone = testbed::wait::until("the port to close", Duration::from_secs(5), || async {
        let reply = world.get(&shop, "/").await;
        Ok(testbed::wait::Seen::when(
            reply.told() == (200, "two", "one=1 two=1"),
            format!("{reply:?}"),
        ))
    });
    gone.await.unwrap();
}

#[tokio::test]
async fn a_black_hole_costs_all_attempts_times_the_connection_timeout() {
    let two_attempts = "<ConnectionAttempts>2</ConnectionAttempts>";
    let Pair {
        one: _one,
        two: _two,
        world,
        shop,
    } = pair(&[500, 502, 503, 504], two_attempts).await;
    world.edge.fail(first(), Fault::BlackHole);
    let start = Instant::now();
    let reply = world.get(&shop, "/").await;
    let took = start.elapsed();
    assert_eq!(reply.told(), (200, "two", "one=2 two=1"));
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );

    let reply = world.ask("POST", &shop.host, "/", &[], "x").await;
    assert_eq!(
        reply.told(),
        (504, "one", "one=2"),
        "a connection may be tried again for any method"
    );
    world.edge.heal(&first());
    assert_eq!(world.get(&shop, "/").await.told(), (200, "one", "one=1"));
}

#[tokio::test]
async fn a_hanging_origin_is_asked_again_for_get_and_never_for_post() {
    let two_attempts = "<ConnectionAttempts>2</ConnectionAttempts>";
    let Pair {
        one,
        two: _two,
        world,
        shop,
    } = pair(&[504], two_attempts).await;
    one.script.lock().unwrap().hangs = true;
    assert_eq!(
        world.get(&shop, "/").await.told(),
        (200, "two", "one=2 two=1")
    );
    let asked = one.count();
    let reply = world.ask("POST", &shop.host, "/", &[], "x").await;
    assert_eq!(reply.told(), (504, "one", "one=1"));
    assert_eq!(one.count(), asked + 1);
}

#[tokio::test]
async fn a_reset_is_a_502_and_is_not_tried_again() {
    let two_attempts = "<ConnectionAttempts>2</ConnectionAttempts>";
    let Pair {
        one: _one,
        two: _two,
        world,
        shop,
    } = pair(&[502], two_attempts).await;
    world
        .edge
        .fail(Target::Host("one.origin.test".to_owned()), Fault::Reset);
    assert_eq!(
        world.get(&shop, "/").await.told(),
        (200, "two", "one=1 two=1")
    );
    let reply = world.ask("DELETE", &shop.host, "/", &[], "").await;
    assert_eq!(reply.told(), (502, "one", "one=1"));
}

#[tokio::test]
async fn every_request_begins_with_the_first_origin_again() {
    let Pair {
        one,
        two: _two,
        world,
        shop,
    } = pair(&[500], "").await;
    one.answer(500);
    assert_eq!(world.get(&shop, "/").await.told().1, "two");
    one.answer(200);
    assert_eq!(world.get(&shop, "/").await.told().1, "one");
}

#[tokio::test]
async fn custom_headers_and_the_origins_own_host_are_sent() {
    let header = "<CustomHeaders><Quantity>1</Quantity><Items><OriginCustomHeader><HeaderName>X-From</HeaderName>\
                  <HeaderValue>edge</HeaderValue></OriginCustomHeader></Items></CustomHeaders><OriginPath>/site</OriginPath>";
    let Pair {
        one,
        two: _two,
        world,
        shop,
    } = pair(&[500], header).await;
    world
        .ask("GET", &shop.host, "/a%20b?c=d", &[("x-from", "viewer")], "")
        .await;
    let got = one.got.lock().unwrap();
    assert_eq!(got[0].headers["x-from"], "edge");
    assert_eq!(got[0].headers["host"], "one.origin.test");
    assert_eq!(got[0].target, "/site/a%20b?c=d");
}
