//! From what a pass saw to the facts, and from the decision to what the pass wants.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Course, Facts, Mark, Rollout, Trial, Verdict, decide};
use crate::api::{RegionHealth, Role};
use crate::app::{App, Site};
use crate::health::Thresholds;
use crate::model::{Desired, Hold, Live, Observed, Phase, Snapshot, Until, Wanted};
use crate::plan::{self, diff};
use crate::resources::lambda_function::VERSION_TAG;
use crate::topology::ids;

/// Tag of the DR function with the [`Mark`] of a release.
const MARK: &str = "multiregion.dev/rollout";
/// Tag of the DR function that says why a release failed.
const REASON: &str = "multiregion.dev/rollout-failure";
/// Lambda's longest value of a tag.
const LONGEST_TAG: usize = 256;

/// The fields of a function by which it behaves as it does, the code aside.
const CONFIGURATION: [&str; 6] = [
    "runtime",
    "handler",
    "architecture",
    "memory_size",
    "timeout",
    "environment",
];
/// Those that are held besides.
const HELD: [&str; 2] = ["role_arn", "code"];

/// What is known beside what a pass sees.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// The probes of the DR function since its last change.
    pub trial: Trial,
    /// The release that the primary was last seen to run as it should.
    pub settled: Option<String>,
    /// What AWS refused.
    pub refused: Option<Refused>,
    /// Which region takes the writes.
    pub writer: Role,
    /// The primary's health.
    pub primary: RegionHealth,
    /// The DR region's health.
    pub dr: RegionHealth,
    /// Why no probes are made; empty if they are.
    pub not_probed: String,
}

/// A release that AWS did not take for the DR function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The release.
    pub release: String,
    /// In AWS's words.
    pub reason: String,
}

/// What is seen of both sides.
struct Sides<'a> {
    primary: &'a Site,
    dr: &'a Site,
    primary_live: Option<&'a Live>,
    dr_live: Option<&'a Live>,
    /// Of the zip that is wanted.
    version: Option<String>,
    release: Option<String>,
}

/// `wanted` with the functions brought into step, and the decision that this was done by.
pub fn stage(
    app: &App,
    mut wanted: Wanted,
    snapshot: &Snapshot,
    known: &Known,
) -> (Wanted, Rollout) {
    let Some(sides) = sides(app, &wanted, snapshot) else {
        let version = version(app, snapshot);
        let rollout = Rollout {
            course: Course::Direct,
            release: None,
            settled: false,
            good: good_version(live(snapshot, &app.primary)),
            version,
            declared: true,
        };
        return (wanted, rollout);
    };
    let facts = facts(app, &wanted, snapshot, known, &sides);
    let mut course = decide(&facts);
    let good = good_version(sides.primary_live);
    let declared = app.spec.function.code.version.is_some()
        || !sides
            .primary_live
            .is_some_and(|live| has_configuration(&wanted, sides.primary, live));
    if let Course::Stop(reason) = &course
        && let Err(why) = go_back(app, &mut wanted, &sides, good.as_deref())
    {
        course = Course::Freeze(format!("{reason}; {why}"));
    }
    mark(&mut wanted, &sides, &course, &facts);
    hold(&mut wanted, &sides, &course);
    if let Course::Freeze(_) = course {
        mend(&mut wanted, &sides, &facts, good.as_deref());
    }
    let rollout = Rollout {
        course,
        settled: facts.primary_runs_wanted,
        release: sides.release,
        version: sides.version,
        good,
        declared,
    };
    (wanted, rollout)
}

fn sides<'a>(app: &'a App, wanted: &Wanted, snapshot: &'a Snapshot) -> Option<Sides<'a>> {
    let dr = app.dr.as_ref()?;
    let desired = function(wanted, &app.primary)?;
    let version = version(app, snapshot);
    let pinned = app.spec.function.code.version.is_some();
    let release = version.as_ref().map(|version| {
        let configuration: Vec<&Value> = CONFIGURATION
            .iter()
            .map(|name| &desired.config[*name])
            .collect();
        let all = json!([version, pinned, app.spec.function.code.key, configuration]);
        hex::encode(&Sha256::digest(all.to_string())[..8])
    });
    Some(Sides {
        primary: &app.primary,
        dr,
        primary_live: live(snapshot, &app.primary),
        dr_live: live(snapshot, dr),
        version,
        release,
    })
}

fn facts(
    app: &App,
    wanted: &Wanted,
    snapshot: &Snapshot,
    known: &Known,
    sides: &Sides<'_>,
) -> Facts {
    let tag = |name: &str| tag(sides.dr_live?, name);
    let release = |live: Option<&Live>| live?.outputs.get("release").cloned();
    let (primary_is, dr_is) = (release(sides.primary_live), release(sides.dr_live));
    let verdict = if dr_is.is_some() && known.trial.release == dr_is {
        known
            .trial
            .verdict(&Thresholds::of(&app.spec.failover.probe))
    } else {
        Verdict::Open
    };
    let at_rest = |live: Option<&Live>| live.is_some_and(|live| live.phase == Phase::Ready);
    let unseen = |id| matches!(snapshot.get(&id), Some(Observed::Unknown(_)));
    let dr_unseen = unseen(ids::function(sides.dr)) || unseen(ids::code(app, sides.dr));
    let runs = |site: &Site| {
        at_rest(live(snapshot, site))
            && matches(app, wanted, snapshot, site, |field| field != "tags")
    };
    Facts {
        pins_another: app.spec.function.code.version.is_some()
            && [sides.primary, sides.dr]
                .into_iter()
                .any(|site| !matches(app, wanted, snapshot, site, |field| field == "code")),
        mark: tag(MARK).as_deref().and_then(Mark::parse),
        remembered_reason: tag(REASON).unwrap_or_default(),
        dr_runs_wanted: runs(sides.dr),
        primary_runs_wanted: runs(sides.primary),
        drifted_with_dr_out_of_sight: dr_unseen
            && sides.release.is_some()
            && known.settled == sides.release,
        alike: primary_is.is_some() && primary_is == dr_is,
        both_recorded: [sides.primary_live, sides.dr_live]
            .into_iter()
            .all(|live| good_version(live).is_some()),
        verdict,
        refused: known
            .refused
            .as_ref()
            .filter(|refused| Some(&refused.release) == sides.release.as_ref())
            .map(|refused| refused.reason.clone()),
        wanted: sides.release.clone(),
        writer: known.writer,
        primary: known.primary,
        dr: known.dr,
        not_probed: known.not_probed.clone(),
    }
}

/// Whether the `relevant` fields of the function of `site`, and its zip, are as wanted.
fn matches(
    app: &App,
    wanted: &Wanted,
    snapshot: &Snapshot,
    site: &Site,
    relevant: fn(&str) -> bool,
) -> bool {
    let as_wanted = |desired: &Desired, all: bool| {
        let live = snapshot.get(&desired.id).and_then(Observed::live);
        let config = plan::resolved(&desired.config, snapshot);
        live.is_some_and(|live| {
            diff::fields(&config, live)
                .iter()
                .all(|field| !all && !relevant(field.top_level()))
        })
    };
    let code = ids::code(app, site);
    let code = wanted.desired.iter().find(|desired| desired.id == code);
    function(wanted, site).is_some_and(|desired| as_wanted(desired, false))
        && code.is_some_and(|desired| as_wanted(desired, true))
}

fn has_configuration(wanted: &Wanted, site: &Site, live: &Live) -> bool {
    function(wanted, site).is_some_and(|desired| {
        CONFIGURATION
            .iter()
            .all(|name| desired.config.get(*name) == live.config.get(*name))
    })
}

/// Lets both functions want what the primary runs.
fn go_back(
    app: &App,
    wanted: &mut Wanted,
    sides: &Sides<'_>,
    good: Option<&str>,
) -> Result<(), String> {
    let (Some(good), Some(primary)) = (good, sides.primary_live) else {
        return Err("which version is good is not recorded, so DR is left as it is".into());
    };
    if primary.phase != Phase::Ready {
        return Err("the primary is not at rest, so DR is left as it is".into());
    }
    for site in [sides.primary, sides.dr] {
        let Some(desired) = function_mut(wanted, site) else {
            continue;
        };
        for name in CONFIGURATION {
            if let Some(value) = primary.config.get(name) {
                desired.config[name] = value.clone();
            }
        }
        if site.role == Role::Primary {
            desired.config["code"]["version"] = json!(good);
        }
    }
    let copy = ids::code(app, sides.dr);
    for desired in &mut wanted.desired {
        if desired.id == copy
            && let Some(version) = desired.config.pointer_mut("/source/CopyOf/version")
        {
            *version = json!(good);
        }
    }
    Ok(())
}

/// Lets the primary want what a healthy DR runs while nothing is rolled out: what somebody broke by hand must not wait
/// for the primary to be healthy.
fn mend(wanted: &mut Wanted, sides: &Sides<'_>, facts: &Facts, good: Option<&str>) {
    let (Some(good), Some(dr)) = (good, sides.dr_live) else {
        return;
    };
    let trial = matches!(facts.mark, Some(Mark::Trying(_) | Mark::Failed(_)));
    if trial || facts.dr != RegionHealth::Healthy || dr.phase != Phase::Ready {
        return;
    }
    if let Some(desired) = function_mut(wanted, sides.primary) {
        for name in CONFIGURATION {
            if let Some(value) = dr.config.get(name) {
                desired.config[name] = value.clone();
            }
        }
        desired.config["code"]["version"] = json!(good);
        desired.hold = None;
    }
}

/// Notes on the DR function what is known of the release.
fn mark(wanted: &mut Wanted, sides: &Sides<'_>, course: &Course, facts: &Facts) {
    // Without a version to go back to, as of a new app, nothing is tried.
    let (Some(release), Some(_)) = (&sides.release, good_version(sides.primary_live)) else {
        return;
    };
    let is = |mark: fn(String) -> Mark| facts.mark == Some(mark(release.clone()));
    let new = match course {
        Course::Stop(reason) => Some((Mark::Failed(release.clone()), Some(reason))),
        // What only DR drifted from is not on trial.
        Course::Try(_) if !facts.dr_runs_wanted && !facts.primary_runs_wanted => {
            (!is(Mark::Proven)).then(|| (Mark::Trying(release.clone()), None))
        }
        Course::Follow if is(Mark::Trying) => Some((Mark::Proven(release.clone()), None)),
        _ => None,
    };
    if let Some((mark, reason)) = new
        && let Some(desired) = function_mut(wanted, sides.dr)
    {
        desired.config["tags"][MARK] = json!(mark.to_string());
        if let Some(reason) = reason {
            desired.config["tags"][REASON] = json!(for_tag(reason));
        }
    }
}

fn hold(wanted: &mut Wanted, sides: &Sides<'_>, course: &Course) {
    let fields: BTreeSet<String> = CONFIGURATION
        .iter()
        .chain(&HELD)
        .map(|name| (*name).to_owned())
        .collect();
    let running = sides
        .dr_live
        .and_then(|live| live.outputs.get("release").cloned());
    let proof = |proven: Option<String>, lacking: &str| Until::Proven {
        output: "release".into(),
        proven,
        lacking: lacking.into(),
    };
    let (primary, dr) = match course {
        Course::Direct => return,
        Course::Follow => (
            Some(proof(running, "to answer enough probes in a row")),
            Until::AtRest,
        ),
        Course::Try(lacking) => (Some(proof(None, lacking)), Until::AtRest),
        Course::Freeze(why) => (
            Some(Until::Further(why.clone())),
            Until::Further(why.clone()),
        ),
        // Its code changed by hand goes back to the good version at once.
        Course::Stop(_) => (None, Until::AtRest),
    };
    let place = |on: &Site, until| Hold {
        fields: fields.clone(),
        on: ids::function(on),
        until,
    };
    let primary = primary.map(|until| place(sides.dr, until));
    let dr = Some(place(sides.primary, dr));
    if let Some(desired) = function_mut(wanted, sides.primary) {
        desired.hold = primary;
    }
    if let Some(desired) = function_mut(wanted, sides.dr) {
        desired.hold = dr;
    }
}

fn version(app: &App, snapshot: &Snapshot) -> Option<String> {
    let live = snapshot.get(&ids::code(app, &app.primary))?.live()?;
    live.outputs.get("version_id").cloned()
}

/// The version that the function was last given: also while its code was changed by hand.
fn good_version(live: Option<&Live>) -> Option<String> {
    tag(live?, VERSION_TAG)
}

fn tag(live: &Live, name: &str) -> Option<String> {
    let value = live.config.get("tags")?.get(name)?;
    value.as_str().map(str::to_owned)
}

fn live<'a>(snapshot: &'a Snapshot, site: &Site) -> Option<&'a Live> {
    snapshot.get(&ids::function(site))?.live()
}

fn function<'a>(wanted: &'a Wanted, site: &Site) -> Option<&'a Desired> {
    let id = ids::function(site);
    wanted.desired.iter().find(|desired| desired.id == id)
}

fn function_mut<'a>(wanted: &'a mut Wanted, site: &Site) -> Option<&'a mut Desired> {
    let id = ids::function(site);
    wanted.desired.iter_mut().find(|desired| desired.id == id)
}

/// The characters that Lambda takes in a tag, and as many.
fn for_tag(text: &str) -> String {
    let kept = text.chars().map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() || " +-=._:/@".contains(letter) => letter,
        _ => ' ',
    });
    let kept: String = kept.take(LONGEST_TAG).collect();
    let words: Vec<&str> = kept.split_whitespace().collect();
    words.join(" ")
}
