//! Runs the scripts of Argo CD's `resource_customizations` as Argo CD runs them: `obj` is the live object, of Lua's
//! libraries there are only the basic one and `table`, and the answer is what the script returns.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use mlua::{Lua, LuaOptions, LuaSerdeExt, StdLib};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Health of a resource, as a script tells it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// `Healthy`, `Progressing`, `Degraded`, `Suspended`.
    pub status: String,
    /// Why.
    #[serde(default)]
    pub message: String,
}

/// The words for health that Argo CD takes from a script.
const STATUSES: [&str; 4] = ["Healthy", "Progressing", "Degraded", "Suspended"];

/// An action as it is offered.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Action {
    /// Whether it cannot be used now.
    pub disabled: bool,
    /// What the button says; its name if empty.
    pub display_name: String,
    /// Its icon.
    pub icon_class: String,
}

/// The folder of this repository with the customization of `MultiRegionApp`, in the layout of Argo CD's.
pub fn customization() -> PathBuf {
    argocd().join("resource_customizations/multiregion.dev/MultiRegionApp")
}

/// The folder with everything for Argo CD.
pub fn argocd() -> PathBuf {
    deploy().join("argocd")
}

/// `deploy/` of this repository.
pub fn deploy() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy"))
}

/// A file of the customization.
pub fn script(name: &str) -> Result<String> {
    let path = customization().join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Health of `object` by `health.lua`.
pub fn health(object: &Value) -> Result<Health> {
    let health: Health = run(&script("health.lua")?, object)?;
    ensure!(
        STATUSES.contains(&health.status.as_str()),
        "no word of Argo CD's: {}",
        health.status
    );
    Ok(health)
}

/// The actions that `actions/discovery.lua` offers for `object`.
pub fn actions(object: &Value) -> Result<BTreeMap<String, Action>> {
    run(&script("actions/discovery.lua")?, object)
}

/// What the action `name` makes of `object`.
pub fn act(name: &str, object: &Value) -> Result<Value> {
    run(&script(&format!("actions/{name}/action.lua"))?, object)
}

fn run<T: for<'a> Deserialize<'a>>(script: &str, object: &Value) -> Result<T> {
    let lua = Lua::new_with(StdLib::TABLE, LuaOptions::default()).map_err(told)?;
    let object = lua.to_value(object).map_err(told)?;
    lua.globals().set("obj", object).map_err(told)?;
    let answer = lua.load(script).eval().map_err(told)?;
    lua.from_value(answer).map_err(told)
}

/// Lua's errors cannot leave their thread.
fn told(error: mlua::Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}
