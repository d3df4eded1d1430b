//! The engine's vocabulary: what a resource is called, what is wanted of it, what was seen of it.
//!
//! Nothing here knows AWS, Kubernetes or a particular kind of resource. Configurations are JSON trees
//! ([`serde_json::Value`]) so that one diff serves every kind; the kinds keep the typed structs.

mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use writer::{NoWriter, Side, Writer};

/// The region of resources that have none: IAM, CloudFront, Route 53.
pub const GLOBAL: &str = "global";

/// Names one resource of an app, stable over its life and known before it exists.
///
/// Displayed as `lambda_function/us-east-1/shop-primary`, or `iam_role/shop-lambda-role` for a global one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ResourceId {
    /// Terraform's name of the kind without its provider, as in `s3_bucket_policy`.
    pub kind: String,
    /// AWS region, or [`GLOBAL`].
    pub region: String,
    /// The name within kind and region.
    pub name: String,
}

impl ResourceId {
    /// A resource that lives in `region`.
    pub fn new(kind: &str, region: &str, name: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            region: region.into(),
            name: name.into(),
        }
    }

    /// A resource that belongs to no region.
    pub fn global(kind: &str, name: impl Into<String>) -> Self {
        Self::new(kind, GLOBAL, name)
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.region == GLOBAL {
            write!(f, "{}/{}", self.kind, self.name)
        } else {
            write!(f, "{}/{}/{}", self.kind, self.region, self.name)
        }
    }
}

/// A string of a configuration: known now, or an output of another resource.
///
/// The engine finds the edges of its graph by walking configurations for these.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Input {
    /// The value itself.
    Known(String),
    /// The value that another resource yields once it is there.
    Output(Reference),
}

/// Where an [`Input::Output`] comes from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The resource that yields the value.
    #[serde(rename = "$from")]
    pub from: ResourceId,
    /// Which of its outputs.
    #[serde(rename = "$output")]
    pub output: String,
    /// The text around it; `{}` is replaced by the output.
    #[serde(rename = "$template")]
    pub template: String,
}

impl Input {
    /// The output `output` of `from`, as it is.
    pub fn output(from: &ResourceId, output: &str) -> Self {
        Self::templated(from, output, "{}")
    }

    /// The output `output` of `from`, put in the place of `{}` in `template`.
    pub fn templated(from: &ResourceId, output: &str, template: &str) -> Self {
        Self::Output(Reference {
            from: from.clone(),
            output: output.into(),
            template: template.into(),
        })
    }

    /// The value. Kinds only ever see resolved configurations; of an unresolved one this is its template.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(value) => value,
            Self::Output(reference) => &reference.template,
        }
    }
}

impl From<&str> for Input {
    fn from(value: &str) -> Self {
        Self::Known(value.into())
    }
}

impl From<String> for Input {
    fn from(value: String) -> Self {
        Self::Known(value)
    }
}

impl Serialize for Input {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(value) => serializer.serialize_str(value),
            Self::Output(reference) => reference.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Known(String),
            Output(Reference),
        }
        Ok(match Either::deserialize(deserializer)? {
            Either::Known(value) => Self::Known(value),
            Either::Output(reference) => Self::Output(reference),
        })
    }
}

/// One resource that should exist, as the topology wants it.
///
/// `config` is the serialised configuration of the kind: an object whose keys are the managed fields. A field
/// that is not there is not managed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Desired {
    /// Which resource.
    pub id: ResourceId,
    /// Its managed fields, references unresolved.
    pub config: Value,
    /// What to create instead while a reference of `config` cannot be had because what yields it is out of
    /// reach; replaced by `config` as soon as that resolves. Applied to a resource that exists only while it still has its
    /// guard's initial values.
    pub fallback: Option<Value>,
    /// The resource it is a part of: while that is somebody else's, so is this, whatever it says of itself.
    pub parent: Option<ResourceId>,
    /// Resources that must be there before this one is created, beyond its parent and those it takes outputs from.
    pub after: Vec<ResourceId>,
    /// Fields that may change only once others are in place.
    pub guard: Option<Guard>,
    /// Entries that may leave only once others have settled.
    pub overlap: Option<Overlap>,
    /// Fields that may change only once another resource allows it.
    pub hold: Option<Hold>,
    /// Only read: neither created, changed nor deleted (a hosted zone, a certificate of the user's).
    pub data: bool,
    /// Whether it holds data, and so is never made again in place of a failed one.
    pub holds_data: bool,
}

impl Desired {
    /// A resource that should be as `config` says.
    ///
    /// # Panics
    /// Never: configurations are plain data, which always serialises.
    pub fn new(id: ResourceId, config: &impl Serialize) -> Self {
        let config =
            serde_json::to_value(config).expect("a configuration is plain data with string keys");
        Self {
            id,
            config,
            fallback: None,
            parent: None,
            after: Vec::new(),
            guard: None,
            overlap: None,
            hold: None,
            data: false,
            holds_data: false,
        }
    }

    /// A resource that is only read.
    pub fn data(id: ResourceId, config: &impl Serialize) -> Self {
        Self {
            data: true,
            ..Self::new(id, config)
        }
    }

    /// Waits with the creation until `id` exists.
    #[must_use]
    pub fn after(mut self, id: &ResourceId) -> Self {
        self.after.push(id.clone());
        self
    }
}

/// Fields of a live resource that keep their present value until others are in place.
///
/// A distribution is never pointed at an origin that does not admit it yet: `routing` is held until the permissions
/// are there, and a new distribution is made disabled (`initial`) for as long.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Guard {
    /// Names of top-level fields that stay as they are while what the *wanted* configuration needs is not in place.
    pub fields: BTreeSet<String>,
    /// Fields with the value to create with, that change to the wanted one when what the *present* configuration needs
    /// is in place.
    pub initial: Map<String, Value>,
    /// What has to be in place.
    pub until: Vec<Needed>,
}

/// A resource that a configuration needs in place.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Needed {
    /// The resource.
    pub id: ResourceId,
    /// JSON pointer into the configuration: needed only where that is there, as in `/routing/origins/lambda-dr`.
    pub only_with: String,
}

/// A map field whose surplus entries stay until others have settled without them.
///
/// A bucket goes on admitting the old origin access identity until the distribution that stopped using it is deployed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Overlap {
    /// Name of the top-level field, an object.
    pub field: String,
    /// What has to be converged and at rest.
    pub until: Vec<ResourceId>,
}

/// Fields of a live resource that keep their present value until another resource lets them change.
///
/// A change is tried on one of two like resources first, and only what has proven itself there comes to the other. What
/// does not exist yet is made at once: nothing serves by it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Hold {
    /// Names of the top-level fields.
    pub fields: BTreeSet<String>,
    /// The other resource.
    pub on: ResourceId,
    /// What lets them change.
    pub until: Until,
}

/// See [`Hold::until`].
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum Until {
    /// The other one is not being changed itself.
    AtRest,
    /// The other one is as wanted and at rest, and what it then is was proven, or is what this one is already.
    Proven {
        /// Name of the output, of both, that says what each is.
        output: String,
        /// The value of it that was proven.
        proven: Option<String>,
        /// What the proof waits for, in words.
        lacking: String,
    },
    /// Nothing, for now; the text says why.
    Further(String),
}

/// Who a resource belongs to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum Owner {
    /// This app, or shared by all apps of the operator.
    Ours,
    /// Nobody says.
    Nobody,
    /// Somebody else, in words for a condition's message.
    Other(String),
}

/// How far a resource is by AWS's own account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum Phase {
    /// At rest.
    Ready,
    /// AWS is busy with it and takes no change meanwhile; the text says what it will become, as in `Active (Creating)`.
    Pending(String),
    /// AWS is spreading it and takes further changes meanwhile, as in `Deployed (InProgress)`.
    Deploying(String),
    /// A person has to do something first, as a DNS record at another provider; the text says what.
    WaitingForPerson(String),
    /// It ended in an error of its own and must be made again. Never said of what holds data.
    Failed(String),
    /// On its way out.
    Deleting,
}

/// A resource as it was seen.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Live {
    /// Its managed fields, in the same shape as [`Desired::config`].
    pub config: Value,
    /// What others may refer to. An output is there only once it can be used.
    pub outputs: BTreeMap<String, String>,
    /// Whose it is.
    pub owner: Owner,
    /// How far it is.
    pub phase: Phase,
    /// AWS's name for it: an id or ARN.
    pub physical_id: String,
    /// Fields that were not read in this pass, and so are not compared.
    pub unread: BTreeSet<String>,
}

/// What is known of a resource in a pass.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum Observed {
    /// AWS says that it is not there.
    Absent,
    /// It is there.
    Present(Box<Live>),
    /// AWS could not be asked, or did not answer usefully.
    Unknown(Failure),
}

impl Observed {
    /// The live resource, if it was seen.
    pub fn live(&self) -> Option<&Live> {
        match self {
            Self::Present(live) => Some(live),
            Self::Absent | Self::Unknown(_) => None,
        }
    }
}

/// Everything seen in a pass.
pub type Snapshot = BTreeMap<ResourceId, Observed>;

/// All that an app should have, and all that it should no longer have.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Wanted {
    /// What should be there.
    pub desired: Vec<Desired>,
    /// What should not, as far as it is known.
    pub removals: Vec<Removal>,
}

/// Why a call to AWS did not do what it was for, sorted by what to do about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum FailureKind {
    /// The thing is not there.
    NotFound,
    /// Something else happened first (409, 412, a used name): look again.
    Conflict,
    /// Too many calls: back off, all apps of the account together.
    Throttled,
    /// AWS failed (5xx), or the reply was lost.
    Transient,
    /// No connection, or the region's breaker is open.
    Unreachable,
    /// Not allowed (yet).
    Denied,
    /// No usable credentials.
    NoCredentials,
    /// AWS refuses the request as it is: an edit is needed.
    Invalid,
    /// A quota is used up.
    Quota,
    /// It belongs to somebody else.
    Foreign,
    /// The operator's configuration does not allow it; AWS was not asked.
    NotAllowed,
    /// Deletion protection is on.
    DeletionProtected,
    /// Not yet, by a rule of AWS's with a date.
    NotYet,
}

impl FailureKind {
    /// In one word, as metrics and traces tell it.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::Unreachable => "unreachable",
            Self::Denied => "denied",
            Self::NoCredentials => "no_credentials",
            Self::Invalid => "invalid",
            Self::Quota => "quota",
            Self::Foreign => "foreign",
            Self::DeletionProtected => "deletion_protected",
            Self::NotYet => "not_yet",
            Self::NotAllowed => "not_allowed",
        }
    }

    /// Whether only a person's act can mend it.
    pub fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::Invalid
                | Self::Quota
                | Self::Foreign
                | Self::NotAllowed
                | Self::DeletionProtected
        )
    }

    /// Whether it tells nothing of the resource's state.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Self::Throttled | Self::Transient | Self::Unreachable)
    }
}

/// A failed call: what was tried, what AWS answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct Failure {
    /// What to do about it.
    pub kind: FailureKind,
    /// The operation as IAM spells it, as in `lambda:CreateFunction`.
    pub operation: String,
    /// AWS's error code, or a word of ours where no answer came.
    pub code: String,
    /// AWS's message.
    pub message: String,
}

/// What may become of the data in a resource that is to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum DataPolicy {
    /// Delete only what holds no data but the operator's own.
    Keep,
    /// Delete with all that is in it.
    Delete,
}

/// What came of a deletion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// AWS is at it; the text says what it waits for.
    Pending(String),
    /// Left on purpose; the text says why.
    Retained(String),
}

/// A resource that should go, or be left behind knowingly.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Removal {
    /// Which resource.
    pub id: ResourceId,
    /// Delete it, and what of its data; or leave it, with the reason.
    pub mode: RemovalMode,
    /// The resource it is a part of: while that is somebody else's, so is this.
    pub parent: Option<ResourceId>,
    /// Resources that must be gone, or settled without this one, before it goes.
    pub after: Vec<ResourceId>,
}

/// See [`Removal::mode`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum RemovalMode {
    /// Delete.
    Delete(DataPolicy),
    /// Leave; the reason is shown in `status.retained`.
    Retain(String),
}
