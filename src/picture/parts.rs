//! What a picture consists of.

use serde::Serialize;

use crate::api::{RegionHealth, Role};

/// What is drawn.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// The parts, in the order in which requests meet them.
    pub nodes: Vec<Node>,
    /// The regions that some of them are in.
    pub regions: Vec<Region>,
    /// What leads from one to another.
    pub arrows: Vec<Arrow>,
    /// What is to be done about resources that have no node.
    pub besides: Vec<String>,
}

/// One part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// For the arrows.
    pub id: String,
    /// What it is, and so where it is drawn.
    pub part: Part,
    /// What it is, in words.
    pub title: &'static str,
    /// Its name, or what else tells it from others.
    pub name: String,
    /// Where it is; none for what is global.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Role>,
    /// Whether it takes the writes.
    pub takes_writes: bool,
    /// How it is, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// What is to be done about it.
    pub to_do: Vec<String>,
}

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Part {
    /// The DNS records.
    Records,
    /// The certificate.
    Certificate,
    /// The distribution.
    Distribution,
    /// The origin group of the functions.
    FunctionGroup,
    /// The origin group of the static files.
    StaticGroup,
    /// What sends the writes to their region.
    EdgeFunction,
    /// A function.
    Function,
    /// The bucket that its code comes from.
    Code,
    /// The bucket of the static files.
    StaticFiles,
    /// A table, or its replica.
    Table,
    /// A role.
    Role,
}

/// How a part is, in a word and for a colour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct State {
    /// For the colour.
    pub level: Level,
    /// For people.
    pub text: String,
}

/// Whether a state is one to wake up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Level {
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// Not as it should be.
    Bad,
    /// Nobody knows.
    Unknown,
}

/// A region's frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Region {
    /// Primary or DR.
    pub role: Role,
    /// Such as us-east-1.
    pub name: String,
    /// What the probes say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<RegionHealth>,
    /// Whether it takes the writes.
    pub takes_writes: bool,
}

/// What leads from one node to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrow {
    /// Id of a node.
    pub from: String,
    /// Id of a node.
    pub to: String,
    /// What goes there.
    pub carries: Carries,
    /// Which of it.
    pub text: String,
    /// How a replication stands, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

/// What an arrow stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Carries {
    /// Requests.
    Requests,
    /// Requests that the other origin failed to answer.
    Failover,
    /// Writes, and reads with them.
    Writes,
    /// Code, or rows.
    Data,
    /// What is copied to the other region.
    Replication,
    /// What a role or a certificate gives.
    Grant,
}
