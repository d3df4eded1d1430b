//! The operator under exactly the rights that are rendered, in both scopes, with the arguments that are rendered.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use strict_aws::{Config, Proxy};
use testbed::wait::{self, Seen};
use testbed::{ControlPlane, Emulator, Operator, OperatorOptions};

use crate::objects::{arguments, of_kind, one, pod};
use crate::world::{HOME, apply, ensure_namespace, kustomized, program, rendered};

/// Of everything that is waited for: other tests run on the same machine.
const LIMIT: Duration = Duration::from_secs(180);
const IMAGE: &str = "image.repository=registry.example.com/multiregion";

/// First with a role in each of two namespaces; then, as after an upgrade of the release, with the cluster role.
#[tokio::test(flavor = "multi_thread")]
async fn with_the_rights_that_are_rendered_apps_get_ready_in_their_namespaces_and_then_in_all()
-> Result<()> {
    let world = World::start("210000000501", &["web", "shop", "aside"]).await?;
    for namespace in ["web", "shop", "aside"] {
        world.apply_app(namespace).await?;
    }
    let settings = format!("{IMAGE},watchNamespaces={{web,shop}},settings.clusterId=cluster-1");
    // The operator ends where it cannot read its configuration, or finds an unknown field.
    let accounts = "accounts.default=Refuse,accounts.namespaces.web.allowedPrefixes={app-*},\
                    accounts.namespaces.shop.allowedPrefixes={app-shop}";
    let narrow = rendered(&["--set", &settings, "--set", accounts]).await?;
    let operator = world.install(&narrow).await?;
    world.until_ready("web", &operator).await?;
    world.until_ready("shop", &operator).await?;
    let aside = world.app("aside").await?;
    // What the API server itself begins a status with.
    ensure!(
        aside["status"] == json!({"observedGeneration": -1})
            && aside["metadata"]["finalizers"].is_null(),
        "an app outside of the scope was touched: {aside:#}"
    );
    world.end(operator).await?;

    // Helm removes what is not rendered any more.
    for role in of_kind(&narrow, "Role") {
        let namespace = role["metadata"]["namespace"]
            .as_str()
            .context("namespace")?;
        if role["metadata"]["name"] == "multiregion-apps" {
            let delete = [
                "delete",
                "role,rolebinding",
                "multiregion-apps",
                "-n",
                namespace,
            ];
            world.control_plane.kubectl_ok(&delete, None).await?;
        }
    }
    let settings = format!("{IMAGE},settings.clusterId=cluster-1");
    let wide = rendered(&["--set", &settings]).await?;
    let operator = world.install(&wide).await?;
    world.until_ready("aside", &operator).await?;
    world.end(operator).await
}

/// With its rights in one namespace: each shard has a lease, and the page asks who its viewer is, and shows that one's apps.
#[tokio::test(flavor = "multi_thread")]
async fn with_page_and_shards_as_rendered_every_shard_is_held_and_the_page_shows_the_app()
-> Result<()> {
    let world = World::start("210000000503", &["web"]).await?;
    world.apply_app("web").await?;
    let settings = format!("{IMAGE},watchNamespaces={{web}},settings.clusterId=cluster-1");
    let added = "web.enabled=true,sharding.shards=3,limits={lambda=10/20}";
    let objects = rendered(&["--set", &settings, "--set", added]).await?;
    let mut operator = world.install(&objects).await?;
    operator
        .wait_readyz(LIMIT, |_, body| body.contains("ok: 3 shards"))
        .await?;
    world.until_ready("web", &operator).await?;

    // The operator's own account may list the apps, so it may see them.
    let token = ["create", "token", "multiregion", "-n", HOME];
    let token = world.control_plane.kubectl_ok(&token, None).await?;
    wait::until("the page to list the app", LIMIT, || async {
        let request = reqwest::Client::new().get(format!("http://{}/api/apps", world.page));
        let answer = request.bearer_auth(token.trim()).send().await?;
        let (status, body) = (answer.status(), answer.text().await?);
        let listed = status.is_success() && body.contains("app-web");
        Ok(Seen::when(listed, format!("{status} {body}")))
    })
    .await?;
    world.end(operator).await
}

/// Without a cluster's id in the settings it reads that of kube-system, which the rights must allow.
#[tokio::test(flavor = "multi_thread")]
async fn as_the_base_of_kustomize_has_it_an_app_gets_ready_and_readers_only_read() -> Result<()> {
    let world = World::start("210000000502", &["web"]).await?;
    world.apply_app("web").await?;
    let base = kustomized("deploy/base").await?;
    let operator = world.install(&base).await?;
    world.until_ready("web", &operator).await?;
    world.end(operator).await?;

    // Nothing aggregates roles here, so they are bound by themselves.
    for (role, may, may_not) in [
        ("view", "get", "patch"),
        ("view", "watch", "create"),
        ("edit", "patch", "get"),
        ("edit", "delete", "watch"),
    ] {
        let bind = [
            "create",
            "rolebinding",
            &format!("{role}-{may}"),
            &format!("--clusterrole=multiregion-{role}"),
            &format!("--user={role}-{may}"),
            "-n",
            "web",
        ];
        world.control_plane.kubectl_ok(&bind, None).await?;
        for (verb, expected) in [(may, "yes"), (may_not, "no")] {
            let ask = [
                "auth",
                "can-i",
                verb,
                "multiregionapps",
                "-n",
                "web",
                "--as",
                &format!("{role}-{may}"),
            ];
            let told = world.control_plane.kubectl(&ask, None).await?;
            ensure!(told.stdout.trim() == expected, "{role} {verb}: {told:?}");
        }
    }
    Ok(())
}

/// What a volume does: the configuration is where the arguments say it is, below the operator's own directory.
fn mount(objects: &[Value], options: &mut OperatorOptions) -> Result<()> {
    for argument in &mut options.arguments {
        if argument.starts_with("--config=") {
            let map = one(objects, "ConfigMap", "multiregion")?;
            let text = map["data"]["config.yaml"].as_str();
            let file = options.directory.join("config.yaml");
            std::fs::write(&file, text.context("the configuration")?)?;
            *argument = format!("--config={}", file.display());
        }
    }
    Ok(())
}

/// A cluster and an AWS of a test's own: an operator for the whole cluster is there alone.
struct World {
    control_plane: ControlPlane,
    proxy: Proxy,
    /// The test's own: two tests have apps of one name.
    account: &'static str,
    /// Where the page is served, if it is.
    page: String,
}

impl World {
    async fn start(account: &'static str, namespaces: &[&str]) -> Result<Self> {
        let control_plane = ControlPlane::start(&testbed::paths::scratch()?).await?;
        let emulator = Emulator::shared().await?;
        let proxy = Proxy::start(&emulator.url(), Config::transparent()).await?;
        let definition = crate::world::text("crds/multiregionapps.multiregion.dev.yaml")?;
        apply(&control_plane, &["-f", "-"], Some(&definition)).await?;
        let established = ["wait", "--for=condition=Established", "crd", "--all"];
        control_plane.kubectl_ok(&established, None).await?;
        for namespace in namespaces.iter().chain(&[HOME]) {
            ensure_namespace(&control_plane, namespace).await?;
        }
        Ok(Self {
            control_plane,
            proxy,
            account,
            page: format!("127.0.0.1:{}", testbed::ports::free_port()?),
        })
    }

    /// An app of the namespace's name.
    async fn apply_app(&self, namespace: &str) -> Result<()> {
        let app = json!({
            "apiVersion": "multiregion.dev/v1alpha1",
            "kind": "MultiRegionApp",
            "metadata": {"name": format!("app-{namespace}"), "namespace": namespace},
            "spec": {
                "regions": {"primary": "us-east-1", "dr": "us-west-2"},
                "tables": [{"name": "visits"}],
            },
        });
        let taken = wait::until("the app to be taken", LIMIT, || async {
            apply(&self.control_plane, &["-f", "-"], Some(&app.to_string())).await?;
            Ok(Seen::Done(()))
        });
        taken.await
    }

    /// Applies what was rendered, and starts the program as the deployment says, as its service account.
    async fn install(&self, objects: &[Value]) -> Result<Operator> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        apply(&self.control_plane, &["-f", "-"], Some(&list.to_string())).await?;
        let deployment = one(objects, "Deployment", "multiregion")?;
        let account = pod(deployment)?["serviceAccountName"].as_str();
        let account = account.context("the pod has a service account")?;
        let kubeconfig = self.control_plane.service_account_kubeconfig(HOME, account);
        let program = program()?.display().to_string();
        let mut options = OperatorOptions::emulated(
            &program,
            &kubeconfig.await?,
            &self.proxy.url(),
            self.account,
        )?;
        // `run`, and the addresses, which are the harness's own here.
        options.arguments = arguments(deployment)?
            .into_iter()
            .skip(1)
            .filter(|argument| !argument.starts_with("--listen="))
            .collect();
        for argument in &mut options.arguments {
            if argument.starts_with("--web=") {
                *argument = format!("--web={}", self.page);
            }
        }
        mount(objects, &mut options)?;
        // What the deployment takes from the pod's own fields.
        options.environment = vec![
            ("POD_NAME".to_owned(), "multiregion-0".to_owned()),
            ("POD_NAMESPACE".to_owned(), HOME.to_owned()),
        ];
        let mut operator = Operator::start(&options)?;
        operator
            .wait_readyz(LIMIT, |status, body| {
                status == 200 && !body.contains("standby")
            })
            .await?;
        Ok(operator)
    }

    async fn app(&self, namespace: &str) -> Result<Value> {
        let name = format!("app-{namespace}");
        let get = ["get", "mra", &name, "-n", namespace, "-o", "json"];
        let told = self.control_plane.kubectl_ok(&get, None).await?;
        Ok(serde_json::from_str(&told)?)
    }

    async fn until_ready(&self, namespace: &str, operator: &Operator) -> Result<()> {
        let what = format!("the app in {namespace} to be Ready");
        let waited = wait::until(&what, LIMIT, || async {
            let app = self.app(namespace).await?;
            let conditions = app.pointer("/status/conditions").and_then(Value::as_array);
            let ready = conditions
                .into_iter()
                .flatten()
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
            Ok(Seen::when(ready, app["status"]["conditions"].to_string()))
        });
        waited
            .await
            .with_context(|| testbed::process::tail(operator.log(), 40))
    }

    /// Stops the operator; the API server has refused it nothing.
    async fn end(&self, operator: Operator) -> Result<()> {
        let log = operator.log().to_owned();
        let status = operator.terminate(LIMIT).await?;
        ensure!(status.success(), "it ended with {status}");
        let log = std::fs::read_to_string(log)?;
        ensure!(!log.to_lowercase().contains("forbidden"), "{log}");
        Ok(())
    }
}
