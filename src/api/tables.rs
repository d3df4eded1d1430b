//! `spec.tables`: the DynamoDB tables.

use super::Toggle;
use super::rules::rules;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A DynamoDB table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules([(
    "!has(self.timeToLiveAttribute) || (self.timeToLiveAttribute != self.key.partition.name && (!has(self.key.sort) || self.timeToLiveAttribute != self.key.sort.name))",
    "timeToLiveAttribute cannot be an attribute of the key: name another attribute",
)])))]
pub struct Table {
    /// Name without the prefix: the table in AWS is `<prefix>-<name>`, its variable TABLE_<NAME>.
    #[schemars(length(max = 255), extend("x-kubernetes-validations" = rules([(
        "self.matches('^[a-z][a-z0-9-]{0,99}$')",
        "must be at most 100 lower case letters, digits and dashes, starting with a letter",
    )])))]
    pub name: String,
    /// Primary key. Immutable.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-map-type" = "atomic"))]
    pub key: TableKey,
    /// Restore to any second of the last 35 days.
    #[serde(default = "Toggle::enabled")]
    pub point_in_time_recovery: Toggle,
    /// AWS refuses to delete the table.
    #[serde(default = "Toggle::enabled")]
    pub deletion_protection: Toggle,
    /// Attribute with the time at which an item expires, in seconds since 1970. Absent: items stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub time_to_live_attribute: Option<String>,
}

/// Primary key of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules([(
    "!has(self.sort) || self.sort.name != self.partition.name",
    "key.sort must be another attribute than key.partition",
)])))]
pub struct TableKey {
    /// Partition key.
    pub partition: KeyAttribute,
    /// Sort key. Absent in a given key: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<KeyAttribute>,
}

impl Default for TableKey {
    fn default() -> Self {
        let string = |name: &str| KeyAttribute {
            name: name.into(),
            r#type: AttributeType::String,
        };
        Self {
            partition: string("PK"),
            sort: Some(string("SK")),
        }
    }
}

/// An attribute of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyAttribute {
    /// Name of the attribute.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
    /// Type of its values.
    pub r#type: AttributeType,
}

/// Type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttributeType {
    /// Text.
    String,
    /// A number.
    Number,
    /// Bytes.
    Binary,
}
