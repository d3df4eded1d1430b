//! The web page: served by a replica that stands by, to whoever may read, and in a browser.
//!
//! The statuses are written by hand: no AWS is needed, and any state can be shown.

mod statuses;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testbed::wait::{self, Seen};
use testbed::{ControlPlane, Operator, OperatorOptions};
use tokio::sync::OnceCell;

use crate::browser::Browser;
use crate::world::BINARY;

const TIMEOUT: Duration = Duration::from_secs(60);
/// The page believes the API server for 30 s.
const FORGOTTEN: Duration = Duration::from_secs(90);

/// A cluster with three apps in two namespaces, and two replicas, of which the one that stands by serves the page.
struct Cluster {
    control_plane: ControlPlane,
    standby: Operator,
    _leader: Operator,
    url: String,
}

/// One for all tests of this file.
async fn cluster() -> Result<&'static Cluster> {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER.get_or_try_init(start).await
}

async fn start() -> Result<Cluster> {
    let control_plane = ControlPlane::start(&testbed::paths::scratch()?).await?;
    for arguments in [&["crd"][..], &["rbac", "--web"]] {
        let mut command = tokio::process::Command::new(BINARY);
        let printed = String::from_utf8(command.args(arguments).output().await?.stdout)?;
        apply(&control_plane, &printed).await?;
    }
    let established = [
        "wait",
        "--for=condition=Established",
        "crd/multiregionapps.multiregion.dev",
    ];
    control_plane.kubectl_ok(&established, None).await?;
    apply(&control_plane, include_str!("web/cluster.yaml")).await?;

    let kubeconfig = control_plane
        .service_account_kubeconfig("multiregion-system", "multiregion")
        .await?;
    let replica = |arguments: &[&str]| -> Result<Operator> {
        // Nobody reads or writes AWS: the leader has no app, the other one does not lead.
        let nowhere = "http://127.0.0.1:1";
        let mut options = OperatorOptions::emulated(BINARY, &kubeconfig, nowhere, "111122223333")?;
        let shared = ["--log-format=text", "--lease-name=web"];
        let all = shared.iter().chain(arguments);
        options.arguments = all.map(|&argument| argument.to_owned()).collect();
        Operator::start(&options)
    };
    let mut leader = replica(&["--namespace=empty", "--cluster-id=c"])?;
    let says = |expected: &'static str| move |_, body: &str| body.contains(expected);
    leader.wait_readyz(TIMEOUT, says("ok: leader")).await?;
    let address = format!("127.0.0.1:{}", testbed::ports::free_port()?);
    let mut standby = replica(&[&format!("--web={address}")])?;
    standby.wait_readyz(TIMEOUT, says("ok: standby")).await?;
    let cluster = Cluster {
        control_plane,
        standby,
        _leader: leader,
        url: format!("http://{address}"),
    };
    cluster.tell("web", "shop", &statuses::well()).await?;
    cluster.tell("other", "forum", &statuses::well()).await?;
    let token = cluster.token("everywhere", &[]).await?;
    wait::until("the page's list", TIMEOUT, || async {
        let (status, body) = cluster.get("/api/apps", &token).await?;
        let listed = status == 200 && body.contains("forum");
        Ok(Seen::when(listed, format!("{status} {body}")))
    })
    .await?;
    Ok(cluster)
}

async fn apply(control_plane: &ControlPlane, manifests: &str) -> Result<()> {
    let arguments = ["apply", "--server-side", "-f", "-"];
    let applied = control_plane.kubectl_ok(&arguments, Some(manifests)).await;
    applied.map(drop)
}

impl Cluster {
    /// Writes a status, as the controller does.
    async fn tell(&self, namespace: &str, name: &str, status: &Value) -> Result<()> {
        let patch = json!({ "status": status }).to_string();
        let arguments = [
            "patch",
            "multiregionapp",
            name,
            "-n",
            namespace,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ];
        self.control_plane
            .kubectl_ok(&arguments, None)
            .await
            .map(drop)
    }

    /// Writes an event about `web/shop`, as the controller does.
    async fn tell_event(&self) -> Result<()> {
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "shop.moved", "namespace": "web"},
            "regarding": {
                "apiVersion": "multiregion.dev/v1alpha1", "kind": "MultiRegionApp", "name": "shop", "namespace": "web",
            },
            "type": "Warning", "reason": "WriterMoved", "action": "MoveWriter",
            "note": "the primary does not answer: writes go to us-west-2, epoch 2",
            "eventTime": format!("{:.6}", jiff::Timestamp::now()),
            "reportingController": "multiregion", "reportingInstance": "multiregion-0",
        });
        apply(&self.control_plane, &event.to_string()).await
    }

    /// A token of one of the service accounts of `web/cluster.yaml`.
    async fn token(&self, name: &str, more: &[&str]) -> Result<String> {
        let arguments = [&["create", "token", name, "-n", "people"], more].concat();
        let token = self.control_plane.kubectl_ok(&arguments, None).await?;
        Ok(token.trim().to_owned())
    }

    fn request(&self, path: &str) -> Result<reqwest::RequestBuilder> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .build()?;
        Ok(client.get(format!("{}{path}", self.url)))
    }

    async fn get(&self, path: &str, token: &str) -> Result<(u16, String)> {
        let answer = self.request(path)?.bearer_auth(token).send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Namespaces and names of the apps that are shown for a token.
    async fn shown(&self, token: &str) -> Result<Vec<String>> {
        let (status, body) = self.get("/api/apps", token).await?;
        ensure!(status == 200, "{status} {body}");
        let list: Value = serde_json::from_str(&body)?;
        let apps = list["apps"].as_array().context("a list")?;
        let text = |app: &Value, field: &str| app[field].as_str().unwrap_or_default().to_owned();
        let names = apps.iter();
        let names = names.map(|app| format!("{}/{}", text(app, "namespace"), text(app, "name")));
        Ok(names.collect())
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.standby.log())?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sees_what_the_cluster_lets_them_read_and_nothing_else() -> Result<()> {
    let cluster = cluster().await?;
    let everywhere = cluster.token("everywhere", &[]).await?;
    ensure!(cluster.shown(&everywhere).await? == ["other/forum", "other/plain", "web/shop"]);
    let (status, body) = cluster.get("/api/apps/other/forum", &everywhere).await?;
    ensure!(
        status == 200 && body.contains("\"picture\":{"),
        "{status} {body}"
    );
    let app: Value = serde_json::from_str(&body)?;
    ensure!(app["events"]["error"].is_null(), "{}", app["events"]);
    ensure!(
        !body.contains("do-not-show"),
        "a value of the environment: {body}"
    );

    let one = cluster.token("one", &[]).await?;
    ensure!(cluster.shown(&one).await? == ["web/shop"]);
    let (_, list) = cluster.get("/api/apps", &one).await?;
    ensure!(!list.contains("forum") && !list.contains("other"), "{list}");
    let (status, body) = cluster.get("/api/apps/web/shop", &one).await?;
    ensure!(
        status == 200 && body.contains("you may not list events"),
        "{status} {body}"
    );
    let there = cluster.get("/api/apps/other/forum", &one).await?;
    let not_there = cluster.get("/api/apps/other/nothing", &one).await?;
    ensure!(
        there.0 == 403 && there == not_there,
        "{there:?} {not_there:?}"
    );
    ensure!(cluster.get("/api/apps/web/nothing", &one).await?.0 == 404);

    let nobody = cluster.token("nobody", &[]).await?;
    ensure!(cluster.shown(&nobody).await?.is_empty());
    ensure!(cluster.get("/api/apps/web/shop", &nobody).await?.0 == 403);

    let elsewhere = cluster
        .token("everywhere", &["--audience=elsewhere"])
        .await?;
    for token in [elsewhere.as_str(), "guess"] {
        let (status, body) = cluster.get("/api/apps", token).await?;
        ensure!(
            status == 401 && body.contains("does not take this token"),
            "{status} {body}"
        );
    }
    let log = cluster.log()?;
    for token in [&everywhere, &one, &nobody, &elsewhere] {
        ensure!(!log.contains(token.as_str()), "a token is in the log");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lasts_until_it_is_ended() -> Result<()> {
    let cluster = cluster().await?;
    let token = cluster.token("everywhere", &[]).await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let session = format!("{}/session", cluster.url);
    let sign_in = client
        .post(&session)
        .header("content-type", "application/json")
        .body(json!({"token": token}).to_string());
    let answer = sign_in.send().await?;
    ensure!(answer.status() == 204, "{}", answer.status());
    let cookie = answer
        .headers()
        .get("set-cookie")
        .context("a cookie")?
        .to_str()?;
    for attribute in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        ensure!(cookie.contains(attribute), "{cookie}");
    }
    ensure!(!cookie.contains(&token));
    let cookie = cookie.split(';').next().context("a pair")?.to_owned();
    let look = async || -> Result<u16> {
        let request = cluster.request("/api/apps")?.header("cookie", &cookie);
        Ok(request.send().await?.status().as_u16())
    };
    ensure!(look().await? == 200);
    let ended = client
        .delete(&session)
        .header("cookie", &cookie)
        .send()
        .await?;
    ensure!(ended.status() == 204);
    ensure!(look().await? == 401);
    Ok(())
}

/// Also of a stream that was opened while there was one.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_a_right_soon_sees_no_more() -> Result<()> {
    let cluster = cluster().await?;
    let token = cluster.token("guest", &[]).await?;
    ensure!(cluster.shown(&token).await? == ["web/shop"]);
    let stream = cluster.request("/api/apps/web/shop")?.bearer_auth(&token);
    let stream = stream
        .header("accept", "text/event-stream")
        .timeout(FORGOTTEN);
    let mut stream = stream.send().await?;
    ensure!(stream.status() == 200);
    let first = stream.chunk().await?.context("a document")?;
    ensure!(first.starts_with(b"data: {"));
    let delete = ["delete", "rolebinding", "guest", "-n", "web"];
    cluster.control_plane.kubectl_ok(&delete, None).await?;
    let mut rest = Vec::new();
    while let Some(chunk) = stream.chunk().await? {
        rest.extend_from_slice(&chunk);
    }
    let rest = String::from_utf8(rest)?;
    ensure!(rest.contains("event: refused"), "{rest}");
    wait::until("an empty list", FORGOTTEN, || async {
        let shown = cluster.shown(&token).await?;
        Ok(Seen::when(shown.is_empty(), shown.join(", ")))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_an_app_and_its_change_without_being_asked() -> Result<()> {
    let cluster = cluster().await?;
    let mut browser = Browser::start().await?;
    sign_in(cluster, &mut browser).await?;
    let rows = "document.querySelectorAll('tbody tr').length === 3";
    browser.until(rows, TIMEOUT).await?;
    shoot(&mut browser, "list", &["light"]).await?;

    browser.click("app-web/shop").await?;
    let writer = |side: &str| format!("document.getElementById('writer')?.innerText === '{side}'");
    browser.until(&writer("Primary"), TIMEOUT).await?;
    browser.value("window.before = 'the same page'").await?;
    let down = statuses::primary_down();
    cluster.tell("web", "shop", &down).await?;
    cluster.tell_event().await?;
    browser.until(&writer("DR"), TIMEOUT).await?;
    let event = "document.body.innerText.includes('writes go to us-west-2')";
    browser.until(event, TIMEOUT).await?;
    let same = browser.value("window.before").await?;
    ensure!(same == "the same page", "it was loaded again");

    let spoken = "document.querySelector('[data-node=lambdadr]').getAttribute('aria-label')";
    let spoken = browser.value(spoken).await?;
    let expected = "Lambda, shop-dr, in DR, Healthy, takes the writes";
    ensure!(spoken == expected, "{spoken}");
    // Of the one table that lags, in one direction: as it is spoken, and as it is seen.
    let lag = "document.querySelector(\"[aria-label='Replication from shop-visits to shop-visits: 300 s, LagExceeded']\") !== null \
               && document.querySelector('svg .label.bad')?.lastChild.data === '✖ 300 s, LagExceeded'";
    browser.until(lag, TIMEOUT).await?;
    let title = browser.value("document.title").await?;
    ensure!(title == "shop: Ready True", "{title}");
    whole(&mut browser).await?;
    shoot(&mut browser, "web", &["light", "dark"]).await?;

    // Least is known of a new app of one region.
    browser.click("home").await?;
    browser.until(rows, TIMEOUT).await?;
    browser.click("app-other/plain").await?;
    let shown = "document.querySelector('[data-node=lambdaprimary]') !== null";
    browser.until(shown, TIMEOUT).await?;
    whole(&mut browser).await?;
    shoot(&mut browser, "plain", &["light"]).await?;

    browser.click("sign-out").await?;
    browser.until(SIGN_IN, TIMEOUT).await?;
    let left = browser.value("document.body.innerText.includes('plain')");
    ensure!(left.await? == false, "it shows what it did before");
    Ok(())
}

/// Whether the page waits for a token.
const SIGN_IN: &str = "document.activeElement?.id === 'token'";

/// Signs in as a person does, who at first takes the wrong token.
async fn sign_in(cluster: &Cluster, browser: &mut Browser) -> Result<()> {
    let token = cluster.token("everywhere", &[]).await?;
    browser.go(&cluster.url).await?;
    browser.until(SIGN_IN, TIMEOUT).await?;
    let told = browser.value("document.body.innerText.includes('shop')");
    ensure!(told.await? == false, "a name is shown to nobody");
    browser.type_text("guess").await?;
    browser.click("sign-in").await?;
    let problem = "document.getElementById('problem').innerText";
    let refused = format!("{problem}.includes('does not take this token')");
    browser.until(&refused, TIMEOUT).await?;
    // The refusals so far were asked for, and no others are.
    browser.problems.clear();
    browser.type_text(&token).await?;
    browser.click("sign-in").await?;
    let signed_in = "document.getElementById('viewer').innerText !== ''";
    browser.until(signed_in, TIMEOUT).await?;
    let cookie = browser.value("document.cookie").await?;
    ensure!(cookie == "", "a script may read the session");
    Ok(())
}

/// Nothing of the picture lacks a name or a number, nothing failed, and nothing was refused by the policy.
async fn whole(browser: &mut Browser) -> Result<()> {
    let unnamed = "document.querySelectorAll('svg [role=img]:not([aria-label])').length";
    ensure!(browser.value(unnamed).await? == 0, "a part has no name");
    let missing = "document.querySelector('main').outerHTML.match(/.{40}(NaN|undefined|null|\\[object).{40}/)";
    let missing = browser.value(missing).await?;
    ensure!(missing.is_null(), "drawn without a value: {missing}");
    ensure!(browser.problems.is_empty(), "{:#?}", browser.problems);
    Ok(())
}

/// Screenshots, where they can be looked at; `MULTIREGION_SCREENSHOTS` names where the documentation has its own.
async fn shoot(browser: &mut Browser, name: &str, schemes: &[&str]) -> Result<()> {
    let directory = match std::env::var_os("MULTIREGION_SCREENSHOTS") {
        Some(directory) => directory.into(),
        None => testbed::paths::scratch()?,
    };
    for scheme in schemes {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        let media = json!({ "features": features });
        browser.call("Emulation.setEmulatedMedia", media).await?;
        let image = browser.screenshot().await?;
        ensure!(image.starts_with(b"\x89PNG"));
        let file = format!("{name}-{scheme}.png");
        std::fs::write(directory.join(&file), &image)?;
        let size = image.len();
        ensure!(
            size < 200_000,
            "{file}: {size} bytes are too many for the documentation"
        );
    }
    Ok(())
}
