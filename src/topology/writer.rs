//! The write path: the function on it, the store that it reads the writer from, the app's key in there.
//!
//! Only with a DR region, since without one there is nowhere to move the writes to.

use super::edge::shared_id;
use super::{ids, want};
use crate::api::Role;
use crate::app::App;
use crate::model::{Desired, Input, Needed, ResourceId, Side, Writer};
use crate::resources::{
    cloudfront_function, cloudfront_key_value_store, cloudfrontkeyvaluestore_key,
};

/// The function in a distribution's configuration, where it has one: write paths come first.
const IN_ROUTING: &str = "/routing/behaviors/0/behavior/viewer_request";

/// Whether the writes of `app` can be moved.
fn is_movable(app: &App) -> bool {
    app.dr.is_some() && !app.spec.cdn.write_paths.is_empty()
}

/// The side that an app's writes begin on. Later nobody but the writer itself decides; a key that was lost comes back
/// as the status knew it, one move later.
fn initial(app: &App) -> Writer {
    let side = |role| match role {
        Role::Primary => Side::Primary,
        Role::Dr => Side::Dr,
    };
    match app.writer {
        Some((role, epoch)) => Writer {
            side: side(role),
            epoch: u64::try_from(epoch).unwrap_or_default() + 1,
        },
        None => Writer::first(side(app.spec.failover.writes.active)),
    }
}

/// Store, function and key.
pub(super) fn writer(app: &App) -> Vec<Desired> {
    if !is_movable(app) {
        return Vec::new();
    }
    let store = ids::key_value_store();
    let (function_id, function) = function(app);
    let key = cloudfrontkeyvaluestore_key::Config {
        store_arn: Input::output(&store, "arn"),
        key: Input::output(&ids::distribution(app), "id"),
        initial: initial(app).to_string(),
    };
    vec![
        want(store, &cloudfront_key_value_store::Config {}),
        want(function_id, &function),
        want(ids::writer_key(app), &key),
    ]
}

fn function(app: &App) -> (ResourceId, cloudfront_function::Config) {
    let codes = app.spec.cdn.failover_status_codes.iter().copied().collect();
    let store_arn = Input::output(&ids::key_value_store(), "arn");
    let config = cloudfront_function::Config::writer(codes, store_arn);
    let id = shared_id("cloudfront_function", cloudfront_function::WRITER, &config);
    (id, config)
}

/// What the write paths' behaviors name: the function's ARN.
pub(super) fn viewer_request(app: &App) -> Option<Input> {
    is_movable(app).then(|| Input::output(&function(app).0, "arn"))
}

/// What has to be there, and ours, before any edge asks for it: the key, and the function of that name.
pub(super) fn needed(app: &App) -> Vec<Needed> {
    if !is_movable(app) {
        return Vec::new();
    }
    [ids::writer_key(app), function(app).0]
        .map(|id| Needed {
            id,
            only_with: IN_ROUTING.into(),
        })
        .into()
}
