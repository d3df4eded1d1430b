//! [`Cloud`] over the registry of kinds: AWS itself.

use std::collections::BTreeSet;
use std::time::Instant;

use async_trait::async_trait;
use serde_json::Value;

use crate::aws::Pass;
use crate::model::{DataPolicy, Deleted, Failure, FailureKind, Live, Observed, ResourceId};
use crate::reconcile::Cloud;
use crate::resources::{self, AnyKind, Hint, REGISTRY};

/// The AWS account, for the length of one pass.
pub struct AwsCloud {
    pass: Pass,
}

impl AwsCloud {
    /// AWS as `pass` may use it.
    pub fn new(pass: Pass) -> Self {
        Self { pass }
    }

    /// Since when nothing of what was seen was read again.
    pub fn seen_since(&self) -> Instant {
        self.pass.seen_since()
    }
}

fn kind(id: &ResourceId) -> Result<&'static dyn AnyKind, Failure> {
    REGISTRY
        .get(id.kind.as_str())
        .map(|kind| &**kind)
        .ok_or_else(|| Failure {
            kind: FailureKind::Invalid,
            operation: "multiregion:Registry".into(),
            code: "UnknownKind".into(),
            message: format!("no kind {} in this version", id.kind),
        })
}

#[async_trait]
impl Cloud for AwsCloud {
    fn parent(&self, id: &ResourceId) -> Option<ResourceId> {
        resources::facts(&id.kind).and_then(|facts| (facts.parent)(id))
    }

    fn located_by_inputs(&self, id: &ResourceId) -> bool {
        resources::facts(&id.kind).is_some_and(|facts| facts.located_by_inputs)
    }

    fn reads_lag(&self, id: &ResourceId) -> bool {
        resources::facts(&id.kind).is_some_and(|facts| facts.reads_lag)
    }

    fn reads_every_facet(&self) -> bool {
        self.pass.every_facet() && !self.pass.believes()
    }

    async fn observe(
        &self,
        id: &ResourceId,
        known_id: Option<String>,
        wanted: Option<Value>,
    ) -> Observed {
        match kind(id) {
            Ok(kind) => {
                kind.observe(&self.pass, id, Hint { known_id, wanted })
                    .await
            }
            Err(failure) => Observed::Unknown(failure),
        }
    }

    async fn create(&self, id: &ResourceId, config: &Value) -> Result<Live, Failure> {
        kind(id)?.create(&self.pass, id, config).await
    }

    async fn update(
        &self,
        id: &ResourceId,
        live: &Live,
        config: &Value,
        changed: &BTreeSet<String>,
    ) -> Result<Live, Failure> {
        kind(id)?
            .update(&self.pass, id, live, config, changed)
            .await
    }

    async fn delete(
        &self,
        id: &ResourceId,
        live: &Live,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        kind(id)?.delete(&self.pass, id, live, data).await
    }
}
