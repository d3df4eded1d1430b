//! What is answered before anybody is known.

use super::*;

/// A page on a port of its own. Nothing listens where its API server should be: what it answers, it answers by itself.
async fn page() -> String {
    let config = kube::Config::new("http://127.0.0.1:1".parse().expect("an address"));
    let client = Client::try_from(config).expect("a client");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let all = BTreeSet::new();
    tokio::spawn(serve(listener, client, all, CancellationToken::new()));
    format!("http://{address}")
}

fn http() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    client.build().expect("a client")
}

#[tokio::test]
async fn every_answer_forbids_what_a_page_of_data_must_not_do() {
    let page = page().await;
    for path in ["/", "/main.js", "/api/apps", "/nothing", "/session"] {
        let answer = http()
            .get(format!("{page}{path}"))
            .send()
            .await
            .expect("an answer");
        for (name, value) in HEADERS {
            let got = answer.headers().get(&name).expect("the header");
            assert_eq!(got, value, "{path}");
        }
    }
}

#[tokio::test]
async fn without_a_token_no_path_tells_anything() {
    let page = page().await;
    for path in ["/api/apps", "/api/apps/web/shop"] {
        for (header, value) in [
            ("accept", "*/*"),
            ("accept", "text/event-stream"),
            ("authorization", "Basic c2hvcA=="),
            ("cookie", "__Host-multiregion=0123"),
        ] {
            let request = http().get(format!("{page}{path}")).header(header, value);
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.status(), 401, "{path} with {header}");
            let body = answer.text().await.expect("a body");
            assert!(body.contains("sign in"), "{body}");
        }
    }
}

#[tokio::test]
async fn a_token_that_nobody_could_check_opens_nothing() {
    let page = page().await;
    let request = http().get(format!("{page}/api/apps")).bearer_auth("abc");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    let request = http().post(format!("{page}/session"));
    let request = request
        .header("content-type", "application/json")
        .body(r#"{"token": "abc"}"#);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().get("set-cookie").is_none());
}

/// A form of another site can send any of these, but not that type.
#[tokio::test]
async fn nobody_is_signed_in_by_a_form() {
    let page = page().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let request = http().post(format!("{page}/session"));
        let request = request
            .header("content-type", kind)
            .body(r#"{"token": "abc"}"#);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 401, "{kind}");
    }
}

#[tokio::test]
async fn a_body_longer_than_any_token_is_not_read() {
    let page = page().await;
    let request = http()
        .post(format!("{page}/session"))
        .header("content-type", "application/json");
    let answer = request
        .body("x".repeat(LONGEST_BODY + 1))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 413);
}
