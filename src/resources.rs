//! The kinds of AWS resources: one file each, one line each in [`REGISTRY`].
//!
//! A kind knows how to observe, create, update and delete its resource, each as one idempotent step, and how to read
//! AWS's answer into the same struct that the topology fills. It decides nothing: what to do when is the plan's.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::aws::Pass;
use crate::model::{
    DataPolicy, Deleted, Failure, FailureKind, Live, Observed, Owner, Phase, ResourceId,
};

pub mod acm_certificate;
pub mod cloudfront;
pub mod cloudfront_cache_policy;
pub mod cloudfront_distribution;
pub mod cloudfront_function;
pub mod cloudfront_invalidation;
pub mod cloudfront_key_value_store;
pub mod cloudfront_origin_access_control;
pub mod cloudfront_origin_access_identity;
pub mod cloudfront_origin_request_policy;
pub mod cloudfrontkeyvaluestore_key;
pub mod cloudwatch_log_group;
pub mod dynamodb;
pub mod dynamodb_table;
pub mod dynamodb_table_replica;
pub mod iam_role;
pub mod lambda_function;
pub mod lambda_function_url;
pub mod lambda_permission;
pub mod policy;
pub mod route53;
pub mod route53_hosted_zone;
pub mod route53_record;
pub mod s3;
pub mod s3_bucket;
pub mod s3_bucket_policy;
pub mod s3_bucket_replication;
pub mod s3_object;
#[cfg(test)]
pub(crate) mod testing;

/// Tags as every kind keeps them. Only the keys that are wanted are compared: others' tags stay.
pub type Tags = BTreeMap<String, String>;

/// A resource as a kind saw it, or left it.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen<C> {
    /// The managed fields.
    pub config: C,
    /// What others may refer to, by the names in [`Kind::OUTPUTS`]; only what can be used already.
    pub outputs: BTreeMap<&'static str, String>,
    /// Whose it is.
    pub owner: Owner,
    /// How far AWS is with it.
    pub phase: Phase,
    /// AWS's id or ARN.
    pub physical_id: String,
    /// Fields left out of this observation (see [`Pass::every_facet`]); they are not compared.
    pub unread: BTreeSet<&'static str>,
}

impl<C> Seen<C> {
    /// Ours, at rest, fully read, without outputs.
    pub fn ours(config: C, physical_id: impl Into<String>) -> Self {
        Self {
            config,
            outputs: BTreeMap::new(),
            owner: Owner::Ours,
            phase: Phase::Ready,
            physical_id: physical_id.into(),
            unread: BTreeSet::new(),
        }
    }

    /// Adds an output.
    #[must_use]
    pub fn output(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.outputs.insert(name, value.into());
        self
    }
}

/// What may help to find a resource whose name AWS chose.
#[derive(Clone, PartialEq, Debug)]
pub struct Hint<C> {
    /// The `physical_id` it had before, which saves a list call; may be stale or missing.
    pub known_id: Option<String>,
    /// What is wanted of it, references resolved as far as they could be (see [`Kind::LOCATED_BY_INPUTS`]).
    pub wanted: Option<C>,
}

/// One kind of resource.
#[async_trait]
pub trait Kind: Send + Sync + 'static {
    /// The managed fields, and nothing else: what `topology` fills and `observe` returns.
    ///
    /// Sets are `BTreeSet`, maps `BTreeMap`. A field that may be unmanaged is an `Option` that is skipped when `None`.
    /// Tags go into a field named `tags`.
    type Config: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Terraform's name of the kind, without the provider.
    const NAME: &'static str;
    /// Names of the outputs.
    const OUTPUTS: &'static [&'static str] = &[];
    /// Kinds of the same app that must be gone, or settled without it, before one of this kind is deleted.
    const DELETED_AFTER: &'static [&'static str] = &[];
    /// Whether it holds data of the user's, and so goes only when the deletion policy says so.
    const HOLDS_DATA: bool = false;
    /// Whether the id alone does not say where to look: then what its wanted configuration refers to is observed first.
    const LOCATED_BY_INPUTS: bool = false;
    /// Whether a read may for a moment show what was there before a write, as those of IAM and of S3's configurations do.
    const READS_LAG: bool = false;
    /// The IAM actions that its four steps need.
    const ACTIONS: &'static [Action];

    /// The resource without which this one cannot exist; while that is absent, this is not asked for.
    fn parent(_id: &ResourceId) -> Option<ResourceId> {
        None
    }

    /// Reads the resource; `None` if AWS says that there is none. An error of kind `NotFound` means the same.
    async fn observe(
        pass: &Pass,
        id: &ResourceId,
        hint: Hint<Self::Config>,
    ) -> Result<Option<Seen<Self::Config>>, Failure>;

    /// Makes it. Returns it as it is now by AWS's answer, without another read where the answer tells.
    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Self::Config,
    ) -> Result<Seen<Self::Config>, Failure>;

    /// Brings the top-level fields named in `changed` to `desired`, and leaves all others as they are.
    async fn update(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Self::Config>,
        desired: &Self::Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Self::Config>, Failure>;

    /// Takes it away. What is not there any more is [`Deleted::Gone`].
    async fn delete(
        pass: &Pass,
        id: &ResourceId,
        live: Seen<Self::Config>,
        data: DataPolicy,
    ) -> Result<Deleted, Failure>;
}

/// IAM actions on some ARNs, for the generated policy.
///
/// In `resource`, `{prefix}` stands for the names the operator gives (`*` unless narrowed), `{account}` for the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// As in `lambda:CreateFunction`.
    pub names: &'static [&'static str],
    /// As in `arn:aws:lambda:*:{account}:function:{prefix}`; `*` where AWS offers no resource level.
    pub resource: &'static str,
    /// Condition of the statement as `(operator, key, value)`, as for `iam:PassRole`.
    pub condition: Option<(&'static str, &'static str, &'static str)>,
}

impl Action {
    /// `names` on `resource`.
    pub const fn on(resource: &'static str, names: &'static [&'static str]) -> Self {
        Self {
            names,
            resource,
            condition: None,
        }
    }
}

/// What is known of a kind without asking AWS.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// See [`Kind::NAME`].
    pub name: &'static str,
    /// See [`Kind::OUTPUTS`].
    pub outputs: &'static [&'static str],
    /// See [`Kind::DELETED_AFTER`].
    pub deleted_after: &'static [&'static str],
    /// See [`Kind::HOLDS_DATA`].
    pub holds_data: bool,
    /// See [`Kind::LOCATED_BY_INPUTS`].
    pub located_by_inputs: bool,
    /// See [`Kind::READS_LAG`].
    pub reads_lag: bool,
    /// See [`Kind::ACTIONS`].
    pub actions: &'static [Action],
    /// See [`Kind::parent`].
    pub parent: fn(&ResourceId) -> Option<ResourceId>,
}

/// A [`Kind`] behind JSON, as the engine handles all of them alike.
#[async_trait]
pub trait AnyKind: Send + Sync {
    /// What is known of it without asking AWS.
    fn facts(&self) -> Facts;
    /// `config`, with or without its references, as the kind understands it.
    fn understood(&self, config: &Value) -> Result<Value, Failure>;
    /// See [`Kind::observe`].
    async fn observe(&self, pass: &Pass, id: &ResourceId, hint: Hint<Value>) -> Observed;
    /// See [`Kind::create`].
    async fn create(&self, pass: &Pass, id: &ResourceId, desired: &Value) -> Result<Live, Failure>;
    /// See [`Kind::update`].
    async fn update(
        &self,
        pass: &Pass,
        id: &ResourceId,
        live: &Live,
        desired: &Value,
        changed: &BTreeSet<String>,
    ) -> Result<Live, Failure>;
    /// See [`Kind::delete`].
    async fn delete(
        &self,
        pass: &Pass,
        id: &ResourceId,
        live: &Live,
        data: DataPolicy,
    ) -> Result<Deleted, Failure>;
}

/// Adapts a [`Kind`] to [`AnyKind`].
struct Erased<K>(PhantomData<K>);

#[async_trait]
impl<K: Kind> AnyKind for Erased<K> {
    fn facts(&self) -> Facts {
        Facts {
            name: K::NAME,
            outputs: K::OUTPUTS,
            deleted_after: K::DELETED_AFTER,
            holds_data: K::HOLDS_DATA,
            located_by_inputs: K::LOCATED_BY_INPUTS,
            reads_lag: K::READS_LAG,
            actions: K::ACTIONS,
            parent: K::parent,
        }
    }

    fn understood(&self, config: &Value) -> Result<Value, Failure> {
        let config = from_value::<K>(config)?;
        Ok(serde_json::to_value(config).expect("a configuration is plain data with string keys"))
    }

    async fn observe(&self, pass: &Pass, id: &ResourceId, hint: Hint<Value>) -> Observed {
        let wanted = match hint
            .wanted
            .map(|wanted| from_value::<K>(&wanted))
            .transpose()
        {
            Ok(wanted) => wanted,
            Err(failure) => return Observed::Unknown(failure),
        };
        match K::observe(
            pass,
            id,
            Hint {
                known_id: hint.known_id,
                wanted,
            },
        )
        .await
        {
            Ok(Some(seen)) => Observed::Present(Box::new(to_live(seen))),
            Ok(None) => Observed::Absent,
            Err(failure) if failure.kind == FailureKind::NotFound => Observed::Absent,
            Err(failure) => Observed::Unknown(failure),
        }
    }

    async fn create(&self, pass: &Pass, id: &ResourceId, desired: &Value) -> Result<Live, Failure> {
        K::create(pass, id, &from_value::<K>(desired)?)
            .await
            .map(to_live)
    }

    async fn update(
        &self,
        pass: &Pass,
        id: &ResourceId,
        live: &Live,
        desired: &Value,
        changed: &BTreeSet<String>,
    ) -> Result<Live, Failure> {
        let seen = to_seen::<K>(live)?;
        K::update(pass, id, seen, &from_value::<K>(desired)?, changed)
            .await
            .map(to_live)
    }

    async fn delete(
        &self,
        pass: &Pass,
        id: &ResourceId,
        live: &Live,
        data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        match K::delete(pass, id, to_seen::<K>(live)?, data).await {
            Err(failure) if failure.kind == FailureKind::NotFound => Ok(Deleted::Gone),
            other => other,
        }
    }
}

fn to_live<C: Serialize>(seen: Seen<C>) -> Live {
    let Seen {
        config,
        outputs,
        owner,
        phase,
        physical_id,
        unread,
    } = seen;
    Live {
        config: serde_json::to_value(config)
            .expect("a configuration is plain data with string keys"),
        outputs: outputs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        owner,
        phase,
        physical_id,
        unread: unread.into_iter().map(str::to_owned).collect(),
    }
}

fn to_seen<K: Kind>(live: &Live) -> Result<Seen<K::Config>, Failure> {
    // What was unread is nothing to a write: the plan decides changes on complete reads only.
    let Live {
        config,
        outputs,
        owner,
        phase,
        physical_id,
        unread: _,
    } = live;
    let known = |name: &String| K::OUTPUTS.iter().copied().find(|output| output == name);
    Ok(Seen {
        config: from_value::<K>(config)?,
        outputs: outputs
            .iter()
            .filter_map(|(name, value)| Some((known(name)?, value.clone())))
            .collect(),
        owner: owner.clone(),
        phase: phase.clone(),
        physical_id: physical_id.clone(),
        unread: BTreeSet::new(),
    })
}

fn from_value<K: Kind>(value: &Value) -> Result<K::Config, Failure> {
    serde_json::from_value(value.clone()).map_err(|error| Failure {
        kind: FailureKind::Invalid,
        operation: format!("multiregion:{}", K::NAME),
        code: "ConfigurationNotUnderstood".into(),
        message: error.to_string(),
    })
}

/// `NotFound` as `None`: what a read makes of it.
pub fn found<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// How long a [`request_token`] stays the same. Seconds.
const TOKEN_WINDOW: u64 = 600;

/// What marks two requests to create `id` as one: 32 characters, the same for ten minutes, then others.
///
/// It cannot be the same for ever. CloudFront refuses a reference, and ACM answers a token with the first certificate,
/// without saying whether that ends when what it made is deleted: an app deleted and made anew must not depend on it.
pub fn request_token(pass: &Pass, id: &ResourceId) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let window = now.map_or(0, |since| since.as_secs() / TOKEN_WINDOW);
    let hash = Sha256::digest(format!("{} {id} {window}", pass.owner()));
    hex::encode(&hash[..16])
}

/// An answer that lacks what AWS always sends.
pub fn incomplete(operation: &str, missing: &str) -> Failure {
    Failure {
        kind: FailureKind::Transient,
        operation: operation.into(),
        code: "AnswerIncomplete".into(),
        message: format!("the answer has no {missing}"),
    }
}

/// All kinds, by name.
pub static REGISTRY: LazyLock<BTreeMap<&'static str, Box<dyn AnyKind>>> = LazyLock::new(|| {
    let kinds: Vec<Box<dyn AnyKind>> = vec![
        kind::<acm_certificate::Certificate>(),
        kind::<cloudfront_cache_policy::CachePolicy>(),
        kind::<cloudfront_distribution::Distribution>(),
        kind::<cloudfront_function::Function>(),
        kind::<cloudfront_key_value_store::KeyValueStore>(),
        kind::<cloudfrontkeyvaluestore_key::Key>(),
        kind::<cloudfront_invalidation::Invalidation>(),
        kind::<cloudfront_origin_access_control::OriginAccessControl>(),
        kind::<cloudfront_origin_access_identity::OriginAccessIdentity>(),
        kind::<cloudfront_origin_request_policy::OriginRequestPolicy>(),
        kind::<cloudwatch_log_group::LogGroup>(),
        kind::<iam_role::Role>(),
        kind::<lambda_function::Function>(),
        kind::<lambda_function_url::FunctionUrl>(),
        kind::<lambda_permission::Permission>(),
        kind::<route53_hosted_zone::HostedZone>(),
        kind::<route53_record::Record>(),
        kind::<dynamodb_table::Table>(),
        kind::<dynamodb_table_replica::TableReplica>(),
        kind::<s3_bucket::Bucket>(),
        kind::<s3_bucket_policy::BucketPolicy>(),
        kind::<s3_bucket_replication::BucketReplication>(),
        kind::<s3_object::Object>(),
    ];
    kinds
        .into_iter()
        .map(|kind| (kind.facts().name, kind))
        .collect()
});

fn kind<K: Kind>() -> Box<dyn AnyKind> {
    Box::new(Erased::<K>(PhantomData))
}

/// What is known of the kind called `name`.
pub fn facts(name: &str) -> Option<Facts> {
    REGISTRY.get(name).map(|kind| kind.facts())
}
