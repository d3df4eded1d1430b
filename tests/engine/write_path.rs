//! The writer: known before an edge asks for it, and as long as one may ask.

use multiregion::model::{Owner, ResourceId};
use serde_json::json;

use super::apps::Shape;
use super::stories::{at, converged, writes};

const DISTRIBUTION: &str = "cloudfront_distribution/shop";
const KEY: &str = "cloudfrontkeyvaluestore_key/shop";
const STORE: &str = "cloudfront_key_value_store/multiregion-writers";

fn single() -> Shape {
    Shape {
        dr: false,
        ..Shape::default()
    }
}

/// Where the one write that begins so is.
fn of_function(writes: &[String], verb: &str) -> usize {
    let text = format!("{verb} cloudfront_function/multiregion-writer-");
    writes
        .iter()
        .position(|write| write.starts_with(&text))
        .unwrap_or_else(|| panic!("no {text} among {writes:#?}"))
}

#[test]
fn with_a_dr_region_the_writer_is_put_before_the_distribution_asks_for_it() {
    let mut driver = converged(single());
    let ours = driver.ours();
    assert!(ours.iter().all(|id| !id.to_string().contains("writer")));
    let writes = writes(&mut driver, |driver| driver.edit(Shape::default()));
    let moved = at(&writes, &format!("update {DISTRIBUTION}"));
    assert!(at(&writes, &format!("create {STORE}")) < of_function(&writes, "create"));
    assert!(of_function(&writes, "create") < moved);
    assert!(at(&writes, &format!("create {KEY}")) < moved);
}

#[test]
fn a_new_distribution_serves_only_once_its_writer_is_known() {
    let mut driver = converged(Shape::default());
    let key = ResourceId::global("cloudfrontkeyvaluestore_key", "shop");
    assert_eq!(
        driver.sim.world().resources[&key].config["initial"],
        json!("Primary:1")
    );
    let enabled = driver.sim.world().writes.iter().rposition(|write| {
        format!("{} {}", write.verb, write.id) == format!("update {DISTRIBUTION}")
    });
    let put = driver
        .sim
        .world()
        .writes
        .iter()
        .position(|write| write.id == key);
    assert!(put < enabled);
    let writes = writes(&mut driver, |driver| {
        driver.sim.world().remove(&key);
    });
    assert_eq!(
        writes,
        [format!("create {KEY}")],
        "and nothing waits for it"
    );
}

#[test]
fn without_a_dr_region_the_distribution_stops_asking_before_the_writer_goes() {
    let mut driver = converged(Shape::default());
    let writes = writes(&mut driver, |driver| driver.edit(single()));
    let moved = at(&writes, &format!("update {DISTRIBUTION}"));
    assert!(of_function(&writes, "delete") > moved);
    assert!(at(&writes, &format!("delete {KEY}")) > moved);
    let store = at(&writes, &format!("delete {STORE}"));
    assert!(store > of_function(&writes, "delete"));
    assert!(store > at(&writes, &format!("delete {KEY}")));
}

#[test]
fn a_deleted_app_takes_its_writer_with_it() {
    let mut driver = converged(Shape::default());
    let writes = writes(&mut driver, |driver| driver.delete());
    let gone = at(&writes, &format!("delete {DISTRIBUTION}"));
    assert!(at(&writes, &format!("delete {KEY}")) > gone);
    assert!(at(&writes, &format!("delete {STORE}")) > of_function(&writes, "delete"));
}

#[test]
fn a_function_that_was_made_and_not_published_is_published() {
    let mut driver = converged(single());
    driver.edit(Shape::default());
    let mut function = driver
        .desired()
        .iter()
        .find(|desired| desired.id.kind == "cloudfront_function")
        .cloned()
        .unwrap();
    function.config["published"] = json!(false);
    function.config["key_value_store_arn"] = json!("of a store that is gone");
    driver
        .sim
        .world()
        .put(&function.id, function.config, Owner::Ours);
    assert!(driver.settle().plan.is_empty());
}

#[test]
fn somebody_elses_store_keeps_a_new_app_from_moving_its_writes_and_not_from_serving() {
    let mut driver = super::drive::Driver::new(Shape::default(), 1);
    let store = ResourceId::global("cloudfront_key_value_store", "multiregion-writers");
    driver
        .sim
        .world()
        .put(&store, json!({}), Owner::Other("the web team".into()));
    assert!(!driver.settle().plan.is_empty());
    let distribution = ResourceId::global("cloudfront_distribution", "shop");
    let world = driver.sim.world();
    let config = &world.resources[&distribution].config;
    assert_eq!(config["enabled"], json!(true));
    assert_eq!(
        config.pointer("/routing/behaviors/0/behavior/viewer_request"),
        None
    );
}
