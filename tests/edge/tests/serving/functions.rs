//! Viewer-request functions: the origins they choose by a KeyValueStore, what they answer themselves, and their errors.

use std::time::Duration;

use strict_aws::{Config as ProxyConfig, Fault, FaultKind, Proxy};
use testbed::Emulator;
use testbed::wait::{Seen, until};

use crate::config::{Behavior, Config, server};
use crate::server::Server;
use crate::world::{Distribution, World};

/// Sends writes to the origin that the store names, reads to both of them in that order.
const WRITER: &str = r#"
import cf from 'cloudfront';
const kvs = cf.kvs();

async function handler(event) {
    const request = event.request;
    const safe = ['GET', 'HEAD', 'OPTIONS'].includes(request.method);
    let writer = 'one';
    try {
        writer = await kvs.get(event.context.distributionId, { format: 'string' });
    } catch (error) {
        if (!safe) {
            return {
                statusCode: 503,
                statusDescription: 'Service Unavailable',
                headers: { 'retry-after': { value: '1' }, 'x-why': { value: error.message } },
                body: { encoding: 'text', data: 'no writer is known' },
            };
        }
    }
    if (request.uri === '/api/writer') {
        return { statusCode: 200, headers: { 'content-type': { value: 'text/plain' } }, body: writer };
    }
    const other = writer === 'one' ? 'two' : 'one';
    if (safe) {
        cf.createRequestOriginGroup({
            originIds: [{ originId: writer }, { originId: other }],
            failoverCriteria: { statusCodes: [500, 502, 503, 504] },
        });
    } else {
        cf.selectRequestOriginById(writer);
    }
    return request;
}
"#;

struct Shop {
    one: Server,
    two: Server,
    world: World,
    shop: Distribution,
    store: String,
}

impl Shop {
    async fn ask(&self, method: &str, path: &str) -> crate::world::Reply {
        self.world.ask(method, &self.shop.host, path, &[], "").await
    }

    async fn set_writer(&self, origin: &str) {
        self.world.put(&self.store, &self.shop.id, origin).await;
    }
}

/// Two origins, of which the first is the behaviour's own, and a function before them.
async fn shop(code: &str) -> Shop {
    shop_at(&Emulator::shared().await.unwrap().url(), code).await
}

async fn shop_at(endpoint: &str, code: &str) -> Shop {
    let (one, two) = (Server::start("one").await, Server::start("two").await);
    let world = World::at(endpoint, &[("one", &one), ("two", &two)]).await;
    let store = world.store("writers").await;
    let function = world.function("writer", &store, code).await;
    let mut config = Config::of(
        &[server("one"), server("two")],
        Behavior::to("one").running(&function),
    );
    config.error_ttls = [500, 502, 503, 504].map(|status| (status, 0)).to_vec();
    let shop = world.distribution(&config).await;
    Shop {
        one,
        two,
        world,
        shop,
        store,
    }
}

#[tokio::test]
async fn a_function_selects_the_origin_that_the_store_names() {
    let shop = shop(WRITER).await;
    for writer in ["one", "two", "one"] {
        shop.set_writer(writer).await;
        assert_eq!(shop.ask("POST", "/api/cart").await.told().1, writer);
        let answered = shop.ask("GET", "/api/writer").await;
        assert_eq!(answered.body, writer);
        assert_eq!(
            answered.header("x-cache"),
            "FunctionGeneratedResponse from cloudfront"
        );
    }
}

#[tokio::test]
async fn a_group_of_the_functions_own_fails_over_for_reads_only() {
    let shop = shop(WRITER).await;
    shop.set_writer("two").await;
    shop.two.answer(503);
    assert_eq!(
        shop.ask("GET", "/api/cart").await.told(),
        (200, "one", "two=1 one=1")
    );
    assert_eq!(
        shop.ask("POST", "/api/cart").await.told(),
        (503, "two", "two=1")
    );
    assert_eq!(shop.one.count(), 1);
}

#[tokio::test]
async fn a_store_out_of_reach_and_a_missing_key_throw() {
    let shop = shop(WRITER).await;
    let missing = shop.ask("POST", "/api/cart").await;
    assert_eq!(
        (missing.status, missing.header("x-why")),
        (503, "KeyNotFound")
    );
    shop.set_writer("two").await;
    shop.world.edge.reach_stores(false);
    let refused = shop.ask("POST", "/api/cart").await;
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (503, "no writer is known")
    );
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(shop.ask("GET", "/api/cart").await.told().1, "one");
    shop.world.edge.reach_stores(true);
    assert_eq!(shop.ask("POST", "/api/cart").await.told().1, "two");
}

#[tokio::test]
async fn a_change_of_the_store_is_seen_after_its_delay() {
    let shop = shop(WRITER).await;
    shop.set_writer("one").await;
    assert_eq!(shop.ask("POST", "/").await.told().1, "one");
    shop.world.edge.delay_stores(Duration::from_millis(700));
    shop.set_writer("two").await;
    let start = std::time::Instant::now();
    assert_eq!(shop.ask("POST", "/").await.told().1, "one");
    let seen = until("the change to be seen", Duration::from_secs(10), || async {
        let origin = shop.ask("POST", "/").await.told().1.to_owned();
        Ok(Seen::when(origin == "two", origin))
    });
    seen.await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(700));
}

#[tokio::test]
async fn a_function_that_throws_or_loops_is_a_503() {
    for (code, why) in [
        (
            "function handler(event) { throw new Error('no idea'); }",
            "no idea",
        ),
        (
            "const handler = async (event) => { await null; return nothing.at.all; };",
            "nothing is not defined",
        ),
        ("function handler(event) { while (true) {} }", "timed out"),
        (
            "import cf from 'cloudfront';\nfunction handler(event) { cf.kvs('another'); }",
            "NotAssociated",
        ),
        (
            "function handler(event) { return process.env; }",
            "process is not defined",
        ),
        ("function broken(", "Unexpected token"),
    ] {
        let shop = shop(code).await;
        let reply = shop.ask("GET", "/").await;
        assert_eq!(reply.status, 503, "{code}");
        assert_eq!(
            reply.header("x-cache"),
            "FunctionExecutionError from cloudfront"
        );
        let told = reply.header("x-edge-function-error");
        assert!(told.contains(why), "{told}");
        assert_eq!(shop.one.count(), 0);
    }
}

#[tokio::test]
async fn a_function_that_returns_neither_request_nor_response_or_chooses_what_is_not_there_is_a_502()
 {
    for code in [
        "function handler(event) {}",
        "function handler(event) { return {}; }",
        "import cf from 'cloudfront';\nfunction handler(event) { cf.selectRequestOriginById('three'); return event.request; }",
    ] {
        let shop = shop(code).await;
        let reply = shop.ask("GET", "/").await;
        assert_eq!(reply.status, 502, "{code}");
        assert_eq!(
            reply.header("x-cache"),
            "FunctionValidationError from cloudfront"
        );
    }
}

#[tokio::test]
async fn what_a_function_changes_is_what_the_origin_gets() {
    let shop = shop(
        "function handler(event) {\n\
         const request = event.request;\n\
         request.uri = request.uri + 'index.html';\n\
         request.headers['x-added'] = { value: request.headers.host.value };\n\
         delete request.cookies.secret;\n\
         request.querystring.page = { value: '2' };\n\
         return request;\n}",
    )
    .await;
    let headers = [("cookie", "secret=1; lang=de")];
    shop.world
        .ask("GET", &shop.shop.host, "/a/?b=1", &headers, "")
        .await;
    let got = shop.one.got.lock().unwrap();
    assert_eq!(got[0].target, "/a/index.html?b=1&page=2");
    assert_eq!(got[0].headers["x-added"], shop.shop.host.as_str());
    assert_eq!(got[0].headers["cookie"], "lang=de");
}

#[tokio::test]
async fn the_published_code_runs_and_no_other() {
    let shop = shop("function handler(event) { return { statusCode: 204 }; }").await;
    assert_eq!(shop.ask("GET", "/").await.status, 204);
    let described = shop
        .world
        .cloudfront("GET", "function/writer/describe?Stage=DEVELOPMENT", "", "")
        .await;
    let code = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        "function handler(event) { return { statusCode: 202 }; }",
    );
    let body = format!(
        "<UpdateFunctionRequest xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><FunctionConfig>\
         <Comment>two</Comment><Runtime>cloudfront-js-2.0</Runtime></FunctionConfig><FunctionCode>{code}</FunctionCode>\
         </UpdateFunctionRequest>"
    );
    let updated = shop
        .world
        .cloudfront("PUT", "function/writer", described.header("etag"), &body)
        .await;
    assert_eq!(shop.ask("GET", "/").await.status, 204, "not published yet");
    shop.world
        .cloudfront(
            "POST",
            "function/writer/publish",
            updated.header("etag"),
            "",
        )
        .await;
    assert_eq!(shop.ask("GET", "/").await.status, 202);
}

#[tokio::test]
async fn the_writer_moves_while_us_east_1_is_away() {
    let emulator = Emulator::shared().await.unwrap();
    let proxy = Proxy::start(&emulator.url(), ProxyConfig::transparent())
        .await
        .unwrap();
    let shop = shop_at(&proxy.url(), WRITER).await;
    shop.set_writer("one").await;
    assert_eq!(shop.ask("POST", "/").await.told().1, "one");
    let away = Fault::new(FaultKind::RefuseRegion).region("us-east-1");
    proxy.configure(|config| config.faults.push(away));
    assert_eq!(shop.ask("POST", "/").await.told().1, "one");
    shop.set_writer("two").await;
    let seen = until("the writer to move", Duration::from_secs(10), || async {
        let origin = shop.ask("POST", "/").await.told().1.to_owned();
        Ok(Seen::when(origin == "two", origin))
    });
    seen.await.unwrap();
}
