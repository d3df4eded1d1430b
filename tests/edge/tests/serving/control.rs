//! The edge's own API, and the edge as a program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::config::{Behavior, CACHING_OPTIMIZED, Config, function_url, server};
use crate::server::Server;
use crate::world::World;

#[tokio::test]
async fn faults_stores_cache_and_clock_are_set_over_http() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let config = Config::of(
        &[server("one")],
        Behavior::to("one").cached_by(CACHING_OPTIMIZED),
    );
    let shop = world.distribution(&config).await;
    let control = async |method: &str, path: &str, body: &str| {
        let reply = world
            .ask(method, "anything", &format!("/_edge/{path}"), &[], body)
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    };
    let state = control(
        "POST",
        "faults",
        r#"{"origin": "one", "fault": {"status": 429}}"#,
    )
    .await;
    assert_eq!(
        state,
        r#"{"faults":[{"origin":"one","fault":{"status":429}}],"store":{"reachable":true,"delay":0.0}}"#
    );
    assert_eq!(world.get(&shop, "/").await.status, 429);
    control("DELETE", "faults?origin=one", "").await;
    assert_eq!(world.get(&shop, "/").await.body, "one 1");
    control("POST", "clock", r#"{"advance": 86401}"#).await;
    assert_eq!(world.get(&shop, "/").await.body, "one 2");
    control("DELETE", "cache", "").await;
    assert_eq!(world.get(&shop, "/").await.body, "one 3");
    let state = control("PUT", "store", r#"{"reachable": false, "delay": 1.5}"#).await;
    assert!(
        state.ends_with(r#""store":{"reachable":false,"delay":1.5}}"#),
        "{state}"
    );
    let refused = world
        .ask("POST", "anything", "/_edge/faults", &[], "{}")
        .await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_regions_fault_is_of_what_is_in_the_region() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let west = format!("{}.lambda-url.us-west-2.on.aws", "a".repeat(32));
    let origins = [server("one"), function_url("west", &west, "")];
    let mut config = Config::of(&origins, Behavior::to("one"));
    config.behaviors = vec![Behavior::to("west").at("/west")];
    let shop = world.distribution(&config).await;
    world.edge.fail(
        edge::Target::Region("us-west-2".to_owned()),
        edge::Fault::Refuse,
    );
    assert_eq!(
        world.get(&shop, "/west").await.told(),
        (502, "west", "west=3")
    );
    assert_eq!(world.get(&shop, "/").await.status, 200);
}

#[tokio::test]
async fn the_program_prints_its_address_and_serves() {
    let one = Server::start("one").await;
    let world = World::new(&[("one", &one)]).await;
    let mut program = Command::new(env!("CARGO_BIN_EXE_edge"))
        .args(["--listen", "127.0.0.1:0", "--account", &world.account])
        .args([
            "--endpoint",
            &testbed::Emulator::shared().await.unwrap().url(),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(program.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let answer = ready(address.trim()).await;
    program.kill().unwrap();
    program.wait().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// One request and its whole answer.
async fn ready(url: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "GET /_edge/ready HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
