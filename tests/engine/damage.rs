//! What others, accidents and half-finished work leave behind.

use multiregion::model::{Desired, Owner, ResourceId};
use proptest::prelude::*;
use rand::Rng;
use serde_json::{Value, json};

use super::rules;
use super::sim::{OWNED_BY_PARENT, World};

/// Whoever else.
const SOMEBODY: &str = "multiregion.dev/other/web/theirs";
/// Found by what only we write, so never somebody else's.
const FOUND_BY_OWNER: &[&str] = &[
    "cloudfront_distribution",
    "cloudfront_origin_access_identity",
    "acm_certificate",
];
/// AWS refuses to change these, so nobody has.
const IMMUTABLE: &[&str] = &[
    "partition_key",
    "sort_key",
    "billing_mode",
    "source_region",
    "domain_name",
    "zone_id",
    "source",
    "store_arn",
    "key",
    "initial",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    Absent,
    Drifted,
    Foreign,
    Unowned,
    Failed,
    Busy,
    UsersData,
    NewVersion,
}

pub fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => Just(Damage::Absent),
        6 => Just(Damage::Drifted),
        2 => Just(Damage::Foreign),
        1 => Just(Damage::Unowned),
        1 => Just(Damage::Failed),
        1 => Just(Damage::Busy),
        1 => Just(Damage::UsersData),
        1 => Just(Damage::NewVersion),
    ]
}

/// Does it to one of `desired`, if that can happen to it.
pub fn inflict(world: &mut World, desired: &[Desired], pick: usize, damage: Damage) {
    let desired = &desired[pick % desired.len()];
    let id = &desired.id;
    if desired.data {
        return;
    }
    if !world.resources.contains_key(id) {
        appear(world, desired, damage);
        return;
    }
    let fields: Vec<String> = world.resources[id]
        .config
        .as_object()
        .into_iter()
        .flat_map(|fields| fields.keys())
        .filter(|field| !IMMUTABLE.contains(&field.as_str()))
        .cloned()
        .collect();
    // What AWS refuses the operator it refuses others too.
    let in_use = rules::in_use(world, id, &world.resources[id]);
    let (tick, choice) = (world.tick, world.rng.random_range(0..1000));
    let Some(stored) = world.resources.get_mut(id) else {
        return;
    };
    match damage {
        Damage::Absent if !in_use => world.remove(id),
        Damage::Drifted if !fields.is_empty() => {
            let field = &fields[choice % fields.len()];
            drift(&mut stored.config[field], choice / 7);
        }
        Damage::Foreign if can_be_foreign(id) => stored.owner = Owner::Other(SOMEBODY.into()),
        Damage::Unowned if can_be_foreign(id) => stored.owner = Owner::Nobody,
        Damage::Failed if id.kind == "lambda_function" => stored.failed = Some("Broken".into()),
        Damage::Busy if rules::is_asynchronous(&id.kind) => stored.busy_until = tick + 3,
        Damage::UsersData if id.kind == "s3_bucket" => stored.user_data = true,
        Damage::NewVersion if id.kind == "s3_object" && stored.config["source"].is_string() => {
            stored.incarnation += 1000;
            stored.user_data = true;
        }
        _ => {}
    }
}

fn can_be_foreign(id: &ResourceId) -> bool {
    let kind = id.kind.as_str();
    !FOUND_BY_OWNER.contains(&kind) && !OWNED_BY_PARENT.contains(&kind)
}

/// Something of the name was there before.
fn appear(world: &mut World, desired: &Desired, damage: Damage) {
    let id = &desired.id;
    let fits = rules::parent(id).is_none_or(|parent| world.resources.contains_key(&parent));
    let owner = match damage {
        Damage::Foreign => Owner::Other(SOMEBODY.into()),
        Damage::Unowned => Owner::Nobody,
        Damage::Drifted => Owner::Ours,
        _ => return,
    };
    if fits && (owner == Owner::Ours || can_be_foreign(id)) {
        let mut config = desired.config.clone();
        blank(&mut config);
        world.put(id, config, owner);
    }
}

/// References become values that nothing yields.
fn blank(value: &mut Value) {
    match value {
        Value::Object(fields) if fields.contains_key("$output") => *value = json!("somewhere-else"),
        Value::Object(fields) => fields.values_mut().for_each(blank),
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}

/// Another value of the same type, or an entry less.
fn drift(value: &mut Value, choice: usize) {
    match value {
        Value::Bool(flag) => *flag = !*flag,
        Value::Number(number) => *value = json!(number.as_i64().unwrap_or_default() + 1),
        Value::String(_) => *value = json!("drifted"),
        Value::Null => *value = json!("drifted"),
        Value::Array(items) => {
            let count = items.len();
            match items.get_mut(choice % count.max(1)) {
                Some(item) if choice.is_multiple_of(2) => drift(item, choice / 2),
                Some(_) => {
                    items.remove(choice % count);
                }
                None => {}
            }
        }
        Value::Object(fields) => {
            let keys: Vec<String> = fields.keys().cloned().collect();
            let Some(key) = keys.get(choice % keys.len().max(1)) else {
                return;
            };
            if choice.is_multiple_of(3) {
                fields.remove(key);
            } else {
                drift(&mut fields[key], choice / 3);
            }
        }
    }
}
