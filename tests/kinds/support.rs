//! One emulator for all tests of this program, one account for each of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use multiregion::aws::tags::OwnerKey;
use multiregion::aws::{Aws, Pass};
use multiregion::model::{DataPolicy, Deleted, Failure, Live, Observed, Owner, Phase, ResourceId};
use multiregion::plan::diff::{self, FieldChange};
use multiregion::resources::{AnyKind, Hint, REGISTRY, Tags};
use serde::Serialize;
use serde_json::Value;
use strict_aws::{Config, Delays, Proxy};
use testbed::{Emulator, SECRET_ACCESS_KEY};

/// The region most resources of the tests are in.
pub const PRIMARY: &str = "us-east-1";
/// The other region.
pub const DR: &str = "us-west-2";

/// A resource that is not where it should be after so many passes will never be.
const PASSES: usize = 200;

/// An account of the emulator that no other test uses.
pub struct Account {
    /// Its 12 digits. S3's bucket names, which are global, have them inside.
    pub id: String,
    aws: Arc<Aws>,
}

impl Account {
    /// A new one.
    pub async fn new() -> Self {
        let emulator = Emulator::shared().await.expect("the emulator starts");
        Self::at(&emulator.url())
    }

    /// A new one behind a proxy that makes the emulator as strict as AWS, but no slower unless `config` says so.
    pub async fn strict(change: impl FnOnce(&mut Config)) -> (Self, Proxy) {
        let emulator = Emulator::shared().await.expect("the emulator starts");
        let mut config = Config {
            delays: at_once(),
            ..Config::strict()
        };
        config.strict.rate_limits = false;
        change(&mut config);
        let proxy = Proxy::start(&emulator.url(), config).await;
        let proxy = proxy.expect("the proxy starts");
        (Self::at(&proxy.url()), proxy)
    }

    /// A new one of the emulator, which is called at `endpoint`: a proxy of the test's own.
    pub fn at(endpoint: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(100_000_000_000);
        let id = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        let credentials = Credentials::new(&id, SECRET_ACCESS_KEY, None, None, "test");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(PRIMARY))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let aws = Arc::new(Aws::new(config, Arc::new(|_| ())));
        Self { id, aws }
    }

    /// A pass for the app `web/shop` that reads every facet.
    pub fn pass(&self) -> Pass {
        self.pass_of("shop")
    }

    /// A pass for another app of the account.
    pub fn pass_of(&self, app: &str) -> Pass {
        Pass::new(self.aws.clone(), owner(app), true)
    }

    /// A pass that leaves out what nothing serving depends on.
    pub fn quick_pass(&self) -> Pass {
        Pass::new(self.aws.clone(), owner("shop"), false)
    }

    /// A pass for an app that believes what was read for others.
    pub fn believing_pass_of(&self, app: &str) -> Pass {
        Pass::new(self.aws.clone(), owner(app), false).believing()
    }

    /// Calls to a service by hand, as in `account.clients(PRIMARY).s3`.
    pub fn clients(&self, region: &str) -> Arc<multiregion::aws::Clients> {
        self.aws.clients(region)
    }
}

/// No delay at all, whichever there are.
fn at_once() -> Delays {
    let mut delays = value(&Delays::default());
    for delay in delays.as_object_mut().into_iter().flatten() {
        *delay.1 = 0.into();
    }
    serde_json::from_value(delays).expect("a delay is a number of seconds")
}

/// The owner key of an app.
pub fn owner(app: &str) -> OwnerKey {
    OwnerKey {
        cluster: "c1".into(),
        namespace: "web".into(),
        name: app.into(),
    }
}

/// The tags of the app `web/shop`, and one of the user's.
pub fn tags() -> Tags {
    let mut tags = owner("shop").tags();
    tags.insert("team".into(), "web".into());
    tags
}

/// One resource under test, handled as the engine handles it. Each step is a pass of its own.
pub struct Subject<'a> {
    /// The account it is in.
    pub account: &'a Account,
    /// Its id.
    pub id: ResourceId,
}

impl<'a> Subject<'a> {
    /// The resource `id` of `account`.
    pub fn new(account: &'a Account, id: ResourceId) -> Self {
        Self { account, id }
    }

    fn kind(&self) -> &'static dyn AnyKind {
        REGISTRY
            .get(self.id.kind.as_str())
            .expect("the kind is registered")
            .as_ref()
    }

    /// Looks for it, as wanted.
    pub async fn observe(&self, wanted: &impl Serialize) -> Observed {
        self.observe_in(&self.account.pass(), Some(value(wanted)))
            .await
    }

    /// Looks for it in a given pass.
    pub async fn observe_in(&self, pass: &Pass, wanted: Option<Value>) -> Observed {
        let hint = Hint {
            known_id: None,
            wanted,
        };
        self.kind().observe(pass, &self.id, hint).await
    }

    /// It as it is, which is there.
    pub async fn live(&self, wanted: &impl Serialize) -> Live {
        match self.observe(wanted).await {
            Observed::Present(live) => *live,
            other => panic!("{} should be there: {other:?}", self.id),
        }
    }

    /// Creates it.
    pub async fn try_create(&self, wanted: &impl Serialize) -> Result<Live, Failure> {
        self.kind()
            .create(&self.account.pass(), &self.id, &value(wanted))
            .await
    }

    /// Creates it, and asserts that it is then seen as it was wanted, and as `create` said.
    pub async fn create(&self, wanted: &impl Serialize) -> Live {
        let created = self.try_create(wanted).await.expect("it can be made");
        self.assert_seen_as(created, wanted).await
    }

    /// Brings `live` to `wanted` as the engine would, by the fields that differ.
    pub async fn try_update(&self, live: &Live, wanted: &impl Serialize) -> Result<Live, Failure> {
        let changes = diff::fields(&value(wanted), live);
        assert!(!changes.is_empty(), "there is something to change");
        let changed: BTreeSet<String> = changes
            .iter()
            .map(|change| change.top_level().to_owned())
            .collect();
        self.kind()
            .update(
                &self.account.pass(),
                &self.id,
                live,
                &value(wanted),
                &changed,
            )
            .await
    }

    /// Brings it to `wanted`, and asserts that it is then seen so, and as `update` said.
    pub async fn update(&self, wanted: &impl Serialize) -> Live {
        let live = self.live(wanted).await;
        let updated = self
            .try_update(&live, wanted)
            .await
            .expect("it can be changed");
        self.assert_seen_as(updated, wanted).await
    }

    async fn assert_seen_as(&self, said: Live, wanted: &impl Serialize) -> Live {
        let live = self.live(wanted).await;
        assert_eq!(differences(wanted, &live), [], "{} as wanted", self.id);
        assert_eq!(live.owner, Owner::Ours);
        assert_eq!(live.phase, Phase::Ready);
        assert_eq!(differences(wanted, &said), [], "{} as it was said", self.id);
        assert_eq!(said.outputs, live.outputs);
        assert_eq!(said.physical_id, live.physical_id);
        assert_eq!(said.owner, Owner::Ours);
        live
    }

    /// Deletes it, as it is now.
    pub async fn try_delete(
        &self,
        wanted: &impl Serialize,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let live = self.live(wanted).await;
        self.kind()
            .delete(&self.account.pass(), &self.id, &live, data)
            .await
    }

    /// Makes it and changes it, pass by pass, as the engine would where AWS is busy or refuses for now, until it is as
    /// wanted and at rest.
    pub async fn converge(&self, wanted: &impl Serialize) -> Live {
        for _ in 0..PASSES {
            let step = match self.observe(wanted).await {
                Observed::Absent => self.try_create(wanted).await.map(drop),
                Observed::Present(live) if live.phase != Phase::Ready => Ok(()),
                Observed::Present(live) if differences(wanted, &live).is_empty() => return *live,
                Observed::Present(live) => self.try_update(&live, wanted).await.map(drop),
                Observed::Unknown(failure) => Err(failure),
            };
            self.pause_after(step).await;
        }
        panic!("{} never converges", self.id);
    }

    /// Deletes it with its data, pass by pass, until it is not seen any more.
    pub async fn vanish(&self, wanted: &impl Serialize) {
        for _ in 0..PASSES {
            let pass = self.account.pass();
            let step = match self.observe_in(&pass, Some(value(wanted))).await {
                Observed::Absent => return,
                Observed::Present(live) if live.phase == Phase::Deleting => Ok(()),
                Observed::Present(live) => self
                    .kind()
                    .delete(&pass, &self.id, &live, DataPolicy::Delete)
                    .await
                    .map(drop),
                Observed::Unknown(failure) => Err(failure),
            };
            self.pause_after(step).await;
        }
        panic!("{} never goes", self.id);
    }

    async fn pause_after(&self, step: Result<(), Failure>) {
        match step {
            Err(failure) if failure.kind.needs_a_person() => panic!("{}: {failure}", self.id),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }

    /// Deletes it with its data, asserts that it is then absent, and that a second deletion finds that in order.
    pub async fn delete(&self, wanted: &impl Serialize) {
        let live = self.live(wanted).await;
        let pass = self.account.pass();
        let delete = || {
            self.kind()
                .delete(&pass, &self.id, &live, DataPolicy::Delete)
        };
        let deleted = delete().await.expect("it can be deleted");
        assert!(
            matches!(deleted, Deleted::Gone | Deleted::Pending(_)),
            "{deleted:?}"
        );
        assert_eq!(self.observe(wanted).await, Observed::Absent);
        assert_eq!(delete().await, Ok(Deleted::Gone), "a second time");
    }
}

/// What `wanted` and `live` differ in, by the engine's own comparison.
pub fn differences(wanted: &impl Serialize, live: &Live) -> Vec<FieldChange> {
    diff::fields(&value(wanted), live)
}

/// A configuration as the engine handles it.
pub fn value(config: &impl Serialize) -> Value {
    serde_json::to_value(config).expect("a configuration is plain data")
}
