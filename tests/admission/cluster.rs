//! The server with the definition installed, and the few calls the tests make.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams, Request};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::{Api, Client, Config, ResourceExt as _};
use multiregion::api::{MultiRegionApp, crd_yaml};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testbed::ControlPlane;
use tokio::sync::OnceCell;

/// A client for a namespace of one test's own, on the shared server.
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
    pub control_plane: &'static ControlPlane,
}

/// The server's refusal: its message, and the fields it is about.
#[derive(Debug)]
pub struct Refusal {
    pub message: String,
    pub fields: BTreeSet<String>,
}

impl Cluster {
    /// The shared server with the definition, and a new namespace, `<name>-<random>`.
    pub async fn start(name: &str) -> Result<Self> {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let control_plane = ControlPlane::shared().await?;
        INSTALLED.get_or_try_init(|| install(control_plane)).await?;

        let kubeconfig = Kubeconfig::read_from(control_plane.kubeconfig())?;
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        // On a cluster of somebody's, another run's objects may still be there.
        let object = json!({"metadata": {"generateName": format!("{name}-")}});
        let namespaces = Api::<Namespace>::all(client.clone());
        let namespace = namespaces
            .create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?
            .name_any();
        Ok(Self {
            client,
            namespace,
            control_plane,
        })
    }

    /// The apps of the test's namespace, untyped: as the server has them, not as our types read them.
    pub fn apps(&self) -> Api<DynamicObject> {
        let resource = ApiResource::erase::<MultiRegionApp>(&());
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// What `kubectl create --dry-run=server` sends, with unknown fields refused as kubectl has it: the object as it would be
    /// stored, with the server's warnings, or the refusal.
    pub async fn dry_create(
        &self,
        object: &Value,
    ) -> Result<Result<(Value, Vec<String>), Refusal>> {
        let path = format!(
            "/apis/multiregion.dev/v1alpha1/namespaces/{}/multiregionapps",
            self.namespace
        );
        let parameters = PostParams {
            dry_run: true,
            field_manager: Some("test".into()),
        };
        let mut request = Request::new(path).create(&parameters, serde_json::to_vec(object)?)?;
        *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse()?;
        let response = self.client.send(request.map(Body::from)).await?;
        let warnings = response.headers().get_all("warning").iter();
        let warnings: Vec<String> = warnings
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
            .collect();
        let stored = response.status().is_success();
        let body: Value = serde_json::from_slice(&response.into_body().collect_bytes().await?)?;
        Ok(if stored {
            Ok((body, warnings))
        } else {
            Err(refusal(&body))
        })
    }

    /// `kubectl apply --server-side`: the stored object, or the refusal.
    pub async fn apply(&self, object: &Value) -> Result<Result<Value, Refusal>> {
        let name = object["metadata"]["name"].as_str().context("a name")?;
        let parameters = PatchParams::apply("test").force().validation_strict();
        match self
            .apps()
            .patch(name, &parameters, &Patch::Apply(object))
            .await
        {
            Ok(stored) => Ok(Ok(serde_json::to_value(stored)?)),
            Err(kube::Error::Api(status)) => Ok(Err(refusal(&serde_json::to_value(&status)?))),
            Err(error) => Err(error.into()),
        }
    }
}

async fn install(control_plane: &ControlPlane) -> Result<()> {
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--filename=-",
    ];
    control_plane
        .kubectl_ok(&arguments, Some(&crd_yaml()))
        .await?;
    let arguments = [
        "wait",
        "--for=condition=Established",
        "crd/multiregionapps.multiregion.dev",
        "--timeout=30s",
    ];
    control_plane.kubectl_ok(&arguments, None).await?;
    Ok(())
}

fn refusal(status: &Value) -> Refusal {
    let causes = status["details"]["causes"].as_array().into_iter().flatten();
    Refusal {
        message: status["message"].as_str().unwrap_or_default().to_owned(),
        fields: causes
            // Said beside errors of type or length, and no fault of its own.
            .filter(|cause| {
                !cause
                    .to_string()
                    .contains("some validation rules were not checked")
            })
            .map(|cause| cause["field"].as_str().unwrap_or_default().to_owned())
            .collect(),
    }
}
