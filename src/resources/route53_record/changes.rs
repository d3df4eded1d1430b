//! Changes of records: those of one pass and zone in one batch, followed until they are in force everywhere.
//!
//! A zone takes one change at a time; A and AAAA sent apart would get in each other's way.

use std::mem;
use std::sync::{Mutex, PoisonError};

use aws_sdk_route53::types;
use tokio::sync::oneshot;

use super::place::{Place, forget};
use crate::aws::Pass;
use crate::aws::shared::CHANGES_FOLLOWED;
use crate::model::{Failure, FailureKind, GLOBAL, Phase, ResourceId};
use crate::resources::route53::bare;
use crate::resources::{found, incomplete};

/// The changes of a pass to one zone that are not sent yet.
#[derive(Default)]
struct Batch {
    waiting: Mutex<Vec<Waiting>>,
}

struct Waiting {
    change: types::Change,
    tell: oneshot::Sender<Result<types::ChangeInfo, Failure>>,
}

impl Batch {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes one change, together with the others that the pass makes to the zone at this moment.
pub(super) async fn submit(
    pass: &Pass,
    id: &ResourceId,
    place: &Place,
    action: types::ChangeAction,
    record: types::ResourceRecordSet,
) -> Result<Phase, Failure> {
    let change = types::Change::builder()
        .action(action)
        .resource_record_set(record)
        .build()
        .expect("every required member is set");
    let key = format!("route53:ChangeResourceRecordSets {}", place.zone_id);
    let batch = pass.once(&key, async { Ok(Batch::default()) }).await?;
    let (tell, told) = oneshot::channel();
    batch.waiting().push(Waiting { change, tell });
    // Lets the steps that were started together with this one add theirs; the first to come back sends all.
    tokio::task::yield_now().await;
    let waiting = mem::take(&mut *batch.waiting());
    if !waiting.is_empty() {
        send(pass, &place.zone_id, waiting).await;
    }
    let answer = told.await.unwrap_or_else(|_| Err(lost()));
    forget(pass, id, &place.zone_id).await;
    let info = answer?;
    if *info.status() == types::ChangeStatus::Insync {
        pass.aws().disremember(&change_key(place));
        return Ok(Phase::Ready);
    }
    pass.aws()
        .remember(change_key(place), bare(info.id()).to_owned());
    Ok(pending())
}

async fn send(pass: &Pass, zone_id: &str, waiting: Vec<Waiting>) {
    let changes = waiting
        .iter()
        .map(|waiting| waiting.change.clone())
        .collect();
    let batch = types::ChangeBatch::builder()
        .set_changes(Some(changes))
        .build()
        .expect("every required member is set");
    let change = pass
        .clients(GLOBAL)
        .route53
        .change_resource_record_sets()
        .hosted_zone_id(zone_id)
        .change_batch(batch)
        .send();
    let answer = pass
        .call("route53", "ChangeResourceRecordSets", GLOBAL, change)
        .await
        .and_then(|answer| {
            answer
                .change_info
                .ok_or_else(|| incomplete("route53:ChangeResourceRecordSets", "ChangeInfo"))
        });
    for waiting in waiting {
        // Whoever does not wait any more does not want to know.
        drop(waiting.tell.send(answer.clone()));
    }
}

/// Whether the record's last change is in force everywhere. What a process does not remember it takes to be so.
pub(super) async fn phase(pass: &Pass, place: &Place) -> Result<Phase, Failure> {
    let Some(change_id) = pass
        .aws()
        .recall::<String>(&change_key(place), CHANGES_FOLLOWED)
    else {
        return Ok(Phase::Ready);
    };
    let ask = async {
        let clients = pass.clients(GLOBAL);
        let get = clients.route53.get_change().id(change_id.as_str()).send();
        let answer = found(pass.call("route53", "GetChange", GLOBAL, get).await)?;
        let info = answer.and_then(|answer| answer.change_info);
        Ok(info.is_some_and(|info| *info.status() == types::ChangeStatus::Pending))
    };
    // A and AAAA are one change.
    let is_pending = pass
        .once(&format!("route53:GetChange {change_id}"), ask)
        .await?;
    if *is_pending {
        return Ok(pending());
    }
    pass.aws().disremember(&change_key(place));
    Ok(Phase::Ready)
}

fn pending() -> Phase {
    Phase::Deploying("INSYNC (PENDING)".into())
}

fn change_key(place: &Place) -> String {
    format!(
        "route53:change/{}/{}/{}/",
        place.zone_id, place.name, place.kind
    )
}

/// The step that was to send the batch was given up.
fn lost() -> Failure {
    Failure {
        kind: FailureKind::Transient,
        operation: "route53:ChangeResourceRecordSets".into(),
        code: "NotSent".into(),
        message: "the batch this change was in was given up".into(),
    }
}
