//! `spec.failover` and `spec.objectives`: how health is told, which region takes the writes, how much may be lost.

use super::rules::rules;
use super::{Role, Toggle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Health and the write path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    /// Requests by which the health of both regions is told.
    pub probe: Probe,
    /// Small writes by which the replication lag is measured.
    pub heartbeat: Heartbeat,
    /// Which region takes the writes, and who decides.
    pub writes: Writes,
    /// A write that may be repeated, for drills. Absent: a drill sends no write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_probe: Option<WriteProbe>,
}

/// Signed requests to both functions, and one through the distribution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// Path that is asked for, with GET. Any answer below 500 but 429 is healthy.
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rules([(
        "self.matches('^/[A-Za-z0-9_.$/~:@+&%=-]*$')",
        "must be a path without query and spaces, such as /healthz",
    )])))]
    pub path: String,
    /// Between two probes, in seconds.
    #[schemars(range(min = 5, max = 300))]
    pub interval_seconds: i32,
    /// Longest wait for an answer, in seconds.
    #[schemars(range(min = 1, max = 30))]
    pub timeout_seconds: i32,
    /// Probes that fail in a row until a region is Unhealthy.
    #[schemars(range(min = 1, max = 10))]
    pub failure_threshold: i32,
    /// Probes that succeed in a row until it is Healthy again.
    #[schemars(range(min = 1, max = 10))]
    pub success_threshold: i32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            path: "/".into(),
            interval_seconds: 30,
            timeout_seconds: 5,
            failure_threshold: 3,
            success_threshold: 3,
        }
    }
}

/// One fixed item in each table and direction, one fixed object in the static bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Heartbeat {
    /// `Disabled`: nothing is written, and the lag is what CloudWatch says, if it says anything.
    pub mode: Toggle,
    /// Between two heartbeats of a table, in seconds.
    #[schemars(range(min = 5, max = 3600))]
    pub interval_seconds: i32,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            mode: Toggle::Enabled,
            interval_seconds: 60,
        }
    }
}

/// Which region takes the requests under `cdn.writePaths`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Writes {
    /// `Manual`: the region in `active`, always. `Automatic`: `active` while it is healthy, the other one after it has failed.
    pub mode: WritesMode,
    /// The region that takes the writes; in mode Automatic, the preferred one.
    pub active: Role,
    /// In mode Automatic, whether the writes go back by themselves once the preferred region is healthy again.
    pub failback: Failback,
    /// In mode Automatic, whether the writes move while nobody knows how much would be lost.
    pub when_lag_unknown: WhenLagUnknown,
}

impl Default for Writes {
    fn default() -> Self {
        Self {
            mode: WritesMode::Manual,
            active: Role::Primary,
            failback: Failback::Manual,
            when_lag_unknown: WhenLagUnknown::Refuse,
        }
    }
}

/// Who decides which region takes the writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WritesMode {
    /// People.
    #[default]
    Manual,
    /// The controller, by two witnesses.
    Automatic,
}

/// Whether writes go back by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Failback {
    /// On the annotation `multiregion.dev/failback`.
    #[default]
    Manual,
    /// Once the preferred region is healthy and up to date.
    Automatic,
}

/// What to do while the lag is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenLagUnknown {
    /// Move nothing.
    #[default]
    Refuse,
    /// Move all the same.
    Allow,
}

/// A write that may be sent any number of times, and what answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WriteProbe {
    /// HTTP method.
    pub method: WriteMethod,
    /// Path, under one of `cdn.writePaths`.
    #[schemars(length(min = 1, max = 255), extend("x-kubernetes-validations" = rules([(
        "self.matches('^/[A-Za-z0-9_.$/~:@+&%=-]*$')",
        "must be a path without query and spaces, such as /api/ping",
    )])))]
    pub path: String,
    /// Body, sent as JSON.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub body: String,
    /// Status of a good answer.
    #[serde(default = "ok")]
    #[schemars(range(min = 200, max = 499))]
    pub expect_status: i32,
}

fn ok() -> i32 {
    200
}

/// Method of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they are HTTP's own")]
pub enum WriteMethod {
    Post,
    Put,
    Patch,
    Delete,
}

impl WriteMethod {
    /// As it stands in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// How much may be lost, in time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Objectives {
    /// Longest acceptable lag of the tables, in seconds; also the most that an automatic move of the writes may lose.
    #[schemars(range(min = 1, max = 86_400))]
    pub recovery_point_seconds: i32,
    /// Longest acceptable lag of the static files, in seconds.
    #[schemars(range(min = 1, max = 86_400))]
    pub static_recovery_point_seconds: i32,
}

impl Default for Objectives {
    fn default() -> Self {
        Self {
            recovery_point_seconds: 60,
            static_recovery_point_seconds: 900,
        }
    }
}
