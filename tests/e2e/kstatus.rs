//! What kstatus makes of an app over its whole life, at every state that the API server's watch shows of it: Current only
//! when AWS is as declared, and never InProgress for ever.

use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::{Stream, StreamExt};
use gitops::argocd;
use gitops::kstatus::{self, Kstatus};
use kube::api::DynamicObject;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use multiregion::api::MultiRegionApp;
use serde_json::{Value, json};
use strict_aws::{Config, Fault, FaultKind, Service};
use testbed::wait::{self, Seen};

use crate::world::World;

/// Under the strict proxy, and beside other tests.
const TIMEOUT: Duration = Duration::from_secs(240);
const REGIONS: [(&str, &str); 2] = [("us-east-1", "shop-primary"), ("us-west-2", "shop-dr")];

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<DynamicObject>>> + Send>>;

/// The app `shop`, watched from before it was there.
struct Life {
    world: World,
    events: Events,
    /// What kstatus said last, and all that it said, without repetitions.
    now: Option<Kstatus>,
    said: Vec<Kstatus>,
}

impl Life {
    async fn begin(world: World) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(world.control_plane.kubeconfig())?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let client = Client::try_from(config)?;
        let resource = ApiResource::erase::<MultiRegionApp>(&());
        let apps = Api::<DynamicObject>::namespaced_with(client, &world.namespace, &resource);
        let mut life = Self {
            world,
            events: Box::pin(watcher(apps, watcher::Config::default())),
            now: None,
            said: Vec::new(),
        };
        while !matches!(life.next().await?, Event::InitDone) {}
        Ok(life)
    }

    async fn next(&mut self) -> Result<Event<DynamicObject>> {
        let event = tokio::time::timeout(TIMEOUT, self.events.next());
        let event = event.await.with_context(|| {
            format!(
                "nothing happens; kstatus said {:?}\n{}",
                self.said,
                self.world.log_tail()
            )
        })?;
        event
            .context("the watch ended")?
            .context("the watch failed")
    }

    /// Goes on until the object is gone, or `holds` of it; whatever it is on the way there is looked at.
    async fn until(
        &mut self,
        what: &str,
        holds: impl Fn(Kstatus, &Value) -> bool,
    ) -> Result<Option<Value>> {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let event = tokio::time::timeout_at(deadline, self.next())
                .await
                .with_context(|| format!("{what}: {:?}\n{}", self.said, self.world.log_tail()))?;
            match event? {
                Event::Apply(object) | Event::InitApply(object) => {
                    let object = serde_json::to_value(object)?;
                    let kstatus = self.look(&object).await.with_context(|| what.to_owned())?;
                    if holds(kstatus, &object) {
                        return Ok(Some(object));
                    }
                }
                Event::Delete(_) => return Ok(None),
                Event::Init | Event::InitDone => {}
            }
        }
    }

    /// Until what is declared by now is Current.
    async fn until_current(&mut self, what: &str) -> Result<Value> {
        self.until_told(what, Kstatus::Current).await
    }

    /// Until kstatus says so of what is declared by now, once the operator has looked at it.
    async fn until_told(&mut self, what: &str, wanted: Kstatus) -> Result<Value> {
        let declared = self.world.get("shop").await?["metadata"]["generation"].clone();
        let object = self.until(what, |kstatus, object| {
            kstatus == wanted && object["status"]["observedGeneration"] == declared
        });
        object.await?.context("it is there")
    }

    /// Holds one state of the object against AWS.
    async fn look(&mut self, object: &Value) -> Result<Kstatus> {
        let (kstatus, rule) = kstatus::compute(object);
        let health = argocd::health(object)?;
        if kstatus == Kstatus::Current {
            ensure!(health.status != "Progressing", "Current, but {health:?}");
        } else {
            ensure!(
                health.status != "Healthy",
                "{kstatus:?} by {rule}, but {health:?}"
            );
        }
        // What was edited since says nothing of AWS as it is now.
        let live = self.world.get("shop").await.unwrap_or_default();
        let is_live = live["metadata"]["generation"] == object["metadata"]["generation"];
        if kstatus == Kstatus::Current && is_live {
            self.has_memory(object)
                .await
                .with_context(|| rule.clone())?;
        }
        if self.now != Some(kstatus) {
            if kstatus == Kstatus::Current && is_live {
                self.nothing_is_left(object).await?;
            }
            println!("{kstatus:?} by {rule}");
            self.said.push(kstatus);
            self.now = Some(kstatus);
        }
        Ok(kstatus)
    }

    /// The functions are as the object declares, by AWS's own word.
    async fn has_memory(&self, object: &Value) -> Result<()> {
        let memory = &object["spec"]["function"]["memorySizeMiB"];
        for (region, function) in REGIONS {
            let has = self
                .world
                .function_field(region, function, "MemorySize")
                .await?;
            ensure!(
                has == *memory,
                "Current, but {function} has {has} MiB, not {memory}"
            );
        }
        Ok(())
    }

    /// AWS in full, by the plan of what the object declares.
    async fn nothing_is_left(&self, object: &Value) -> Result<()> {
        let manifest = self
            .world
            .manifest("current.json", "shop", &object["spec"])?;
        let plan = self
            .world
            .multiregion(&["plan", "-f", &manifest], &[])
            .await?;
        let text = String::from_utf8_lossy(&plan.stdout);
        ensure!(
            plan.status.code() == Some(0),
            "Current, but:\n{text}\n{}",
            self.world.log_tail()
        );
        Ok(())
    }

    async fn set_memory(&self, mebibytes: u32) -> Result<()> {
        let change = json!({"spec": {"function": {"memorySizeMiB": mebibytes}}});
        self.world.patch("shop", &change).await
    }

    fn break_aws(&self, fault: Option<Fault>) {
        let faults = fault.into_iter().collect();
        self.world.proxy.configure(|config| config.faults = faults);
    }
}

fn spec() -> Value {
    json!({
        "regions": {"primary": "us-east-1", "dr": "us-west-2"},
        "tables": [{"name": "visits"}],
        "failover": {"probe": {"intervalSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 2, "successThreshold": 1}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn kstatus_is_right_over_the_whole_life_of_an_app() -> Result<()> {
    use Kstatus::{Current, Failed, InProgress, Terminating};
    let world = World::new("kstatus", Config::strict()).await?;
    let mut life = Life::begin(world).await?;

    life.world.apply("shop", &spec()).await?;
    let new = life.until("the new object", |_, _| true).await?;
    let new = new.context("it is there")?;
    ensure!(
        life.now == Some(InProgress),
        "new, and already {:?}: {new}",
        life.now
    );
    life.until_current("creation").await?;

    life.set_memory(256).await?;
    life.until_current("a change").await?;

    edited_in_the_midst_of_a_pass(&mut life).await?;

    // AWS fails for a while.
    let failing = Fault::new(FaultKind::Status500)
        .service(Service::Lambda)
        .writes();
    life.break_aws(Some(failing));
    life.set_memory(448).await?;
    life.until_told("a failure", InProgress).await?;
    life.break_aws(None);
    life.until_current("recovery").await?;

    stalled(&mut life).await?;

    // Suspending changes nothing in AWS, and leaves nothing to wait for. What is declared then is not done.
    life.world
        .patch("shop", &json!({"spec": {"suspend": true}}))
        .await?;
    life.until_current("suspension").await?;
    life.set_memory(512).await?;
    let suspended = life
        .until_told("a change of what is suspended", InProgress)
        .await?;
    ensure!(argocd::health(&suspended)?.status == "Suspended");
    life.world
        .patch("shop", &json!({"spec": {"suspend": false}}))
        .await?;
    life.until_current("going on").await?;

    life.world.delete("shop").await?;
    let before = life.said.len();
    let gone = life.until("deletion", |_, _| false).await?;
    ensure!(
        gone.is_none() && life.said[before..] == [Terminating],
        "{:?}",
        life.said
    );
    let turns = [
        InProgress, Current, InProgress, Current, InProgress, Current, InProgress, Current,
    ];
    ensure!(
        life.said.starts_with(&turns) && life.said.contains(&Failed),
        "{:?}",
        life.said
    );
    Ok(())
}

/// What a pass has brought about is what was declared when it began.
async fn edited_in_the_midst_of_a_pass(life: &mut Life) -> Result<()> {
    let proxy = &life.world.proxy;
    life.break_aws(Some(
        Fault::new(FaultKind::BlackHole)
            .service(Service::Lambda)
            .region("us-west-2"),
    ));
    proxy.clear_calls();
    life.world
        .annotate("shop", "multiregion.dev/reconcile=midst")
        .await?;
    wait::until("the pass to read DR's function", TIMEOUT, || async {
        let calls = proxy.calls();
        let reads = calls
            .iter()
            .any(|call| call.service == Service::Lambda && call.region == "us-west-2");
        Ok(Seen::when(reads, "not yet"))
    })
    .await?;
    life.set_memory(384).await?;
    life.break_aws(None);
    let edited = life.until("the edit", |_, object| {
        object["spec"]["function"]["memorySizeMiB"] == 384
    });
    let edited = edited.await?.context("it is there")?;
    if kstatus::compute(&edited).0 != Kstatus::InProgress {
        bail!("edited, and already {edited}");
    }
    life.until_current("an edit in the midst of a pass")
        .await
        .map(drop)
}

/// A table of the name that the app wants is another's, until that one goes.
async fn stalled(life: &mut Life) -> Result<()> {
    let aws = life.world.aws();
    let theirs = json!({
        "TableName": "shop-orders",
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "PK", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    aws.call("dynamodb", "CreateTable", "us-east-1", &theirs)
        .await?;
    let tables = json!({"spec": {"tables": [{"name": "visits"}, {"name": "orders"}]}});
    life.world.patch("shop", &tables).await?;
    life.until_told("another's table", Kstatus::Failed).await?;
    let name = json!({"TableName": "shop-orders"});
    wait::until("the other's table to go", TIMEOUT, || async {
        // Under the strict proxy a table that is still being made cannot go.
        let gone = aws
            .call("dynamodb", "DeleteTable", "us-east-1", &name)
            .await;
        Ok(match gone {
            Ok(_) => Seen::Done(()),
            Err(error) => Seen::Waiting(format!("{error:#}")),
        })
    })
    .await?;
    life.world
        .annotate("shop", "multiregion.dev/reconcile=gone")
        .await?;
    life.until_current("the way out of it").await.map(drop)
}
