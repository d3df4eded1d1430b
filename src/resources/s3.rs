//! What the kinds of S3 have in common: whose a version is, and how versions go.

use aws_sdk_s3::types;

use crate::aws::{HEARTBEAT_OBJECT, Pass, error};
use crate::model::{DataPolicy, Failure, ResourceId};

/// Why the SDK's builders, which check for required members only, cannot fail.
pub const COMPLETE: &str = "every required member is set";

/// User metadata on every object version that the operator put; its value says on what occasion.
///
/// Replication carries it along, so that a version's replica is known by it too.
pub use crate::aws::WRITTEN_BY;

/// With more versions than this, some are the user's: the operator writes one a code version.
const MOST_VERSIONS_OF_OURS: usize = 20;

/// Delete markers hold no data, but to list them takes time too: with more of them a bucket is taken for the user's.
const MOST_MARKERS: usize = 10_000;

/// A step of emptying deletes at most this many pages of (in AWS) 1,000 versions.
const PAGES_A_STEP: usize = 10;

/// How far a step of emptying came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Emptied {
    /// Nothing is left.
    Completely,
    /// So many versions went, more are left for the next step.
    Partly(usize),
    /// There are versions that the operator did not write; nothing was deleted.
    NotOurs,
}

/// The bucket that a policy, a replication or an object (`<bucket>/<key>`) belongs to.
pub fn bucket_of(id: &ResourceId) -> ResourceId {
    let bucket = id.name.split('/').next().unwrap_or_default();
    ResourceId::new("s3_bucket", &id.region, bucket)
}

/// Deletes versions and delete markers of `bucket`, or of one `key` of it: under [`DataPolicy::Keep`] all of them or
/// none, as the operator wrote them all or not; else page by page.
pub async fn empty(
    pass: &Pass,
    bucket: &ResourceId,
    key: Option<&str>,
    data: DataPolicy,
) -> Result<Emptied, Failure> {
    match data {
        DataPolicy::Keep => empty_of_ours(pass, bucket, key).await,
        DataPolicy::Delete => empty_of_all(pass, bucket, key).await,
    }
}

async fn empty_of_ours(
    pass: &Pass,
    bucket: &ResourceId,
    key: Option<&str>,
) -> Result<Emptied, Failure> {
    let mut all = Page::default();
    loop {
        let page = list(pass, bucket, key, all.next.take()).await?;
        all.versions.extend(page.versions);
        all.markers.extend(page.markers);
        all.next = page.next;
        let others = all
            .versions
            .iter()
            .filter(|version| version.0 != HEARTBEAT_OBJECT);
        if others.count() > MOST_VERSIONS_OF_OURS || all.markers.len() > MOST_MARKERS {
            return Ok(Emptied::NotOurs);
        }
        if all.next.is_none() {
            break;
        }
    }
    for version in &all.versions {
        if !is_ours(pass, bucket, version).await? {
            return Ok(Emptied::NotOurs);
        }
    }
    // Markers hold no data: whoever set them, nothing of theirs is lost.
    all.versions.extend(all.markers);
    for batch in all.versions.chunks(1000) {
        delete(pass, bucket, batch).await?;
    }
    Ok(Emptied::Completely)
}

async fn empty_of_all(
    pass: &Pass,
    bucket: &ResourceId,
    key: Option<&str>,
) -> Result<Emptied, Failure> {
    let mut deleted = 0;
    for _ in 0..PAGES_A_STEP {
        // Always the first page: S3's lists are consistent, and what was on it is gone by now.
        let mut page = list(pass, bucket, key, None).await?;
        page.versions.append(&mut page.markers);
        if !page.versions.is_empty() {
            delete(pass, bucket, &page.versions).await?;
            deleted += page.versions.len();
        }
        if page.next.is_none() {
            return Ok(Emptied::Completely);
        }
    }
    Ok(Emptied::Partly(deleted))
}

/// Key and version id.
type Version = (String, String);

/// A page of a bucket's versions.
#[derive(Default)]
struct Page {
    versions: Vec<Version>,
    markers: Vec<Version>,
    /// Where the next page begins.
    next: Option<(Option<String>, Option<String>)>,
}

async fn list(
    pass: &Pass,
    bucket: &ResourceId,
    key: Option<&str>,
    from: Option<(Option<String>, Option<String>)>,
) -> Result<Page, Failure> {
    let (key_marker, version_id_marker) = from.unwrap_or_default();
    let list = pass
        .clients(&bucket.region)
        .s3
        .list_object_versions()
        .bucket(&bucket.name)
        .set_prefix(key.map(str::to_owned))
        .set_key_marker(key_marker)
        .set_version_id_marker(version_id_marker)
        .send();
    let answer = pass
        .call("s3", "ListObjectVersions", &bucket.region, list)
        .await?;
    // A prefix also finds what merely begins with the key.
    let wanted = |version: &Version| key.is_none_or(|key| version.0 == key);
    // What was put before versioning has the version id "null", and is deleted by that.
    let version = |key: Option<String>, id: Option<String>| {
        let version = (key?, id.unwrap_or_else(|| "null".into()));
        wanted(&version).then_some(version)
    };
    let truncated = answer.is_truncated.unwrap_or_default();
    Ok(Page {
        next: truncated.then_some((answer.next_key_marker, answer.next_version_id_marker)),
        versions: answer
            .versions
            .unwrap_or_default()
            .into_iter()
            .filter_map(|entry| version(entry.key, entry.version_id))
            .collect(),
        markers: answer
            .delete_markers
            .unwrap_or_default()
            .into_iter()
            .filter_map(|entry| version(entry.key, entry.version_id))
            .collect(),
    })
}

async fn is_ours(pass: &Pass, bucket: &ResourceId, version: &Version) -> Result<bool, Failure> {
    // Of these there are many.
    if version.0 == HEARTBEAT_OBJECT {
        return Ok(true);
    }
    let head = pass
        .clients(&bucket.region)
        .s3
        .head_object()
        .bucket(&bucket.name)
        .key(&version.0)
        .version_id(&version.1)
        .send();
    let answer = pass.call("s3", "HeadObject", &bucket.region, head).await;
    // What went meanwhile is in nobody's way.
    Ok(super::found(answer)?.is_none_or(|object| {
        object
            .metadata()
            .is_some_and(|metadata| metadata.contains_key(WRITTEN_BY))
    }))
}

async fn delete(pass: &Pass, bucket: &ResourceId, versions: &[Version]) -> Result<(), Failure> {
    let objects = versions
        .iter()
        .map(|(key, id)| {
            types::ObjectIdentifier::builder()
                .key(key)
                .version_id(id)
                .build()
                .expect(COMPLETE)
        })
        .collect();
    let delete = types::Delete::builder()
        .set_objects(Some(objects))
        .quiet(true)
        .build()
        .expect(COMPLETE);
    let delete = pass
        .clients(&bucket.region)
        .s3
        .delete_objects()
        .bucket(&bucket.name)
        .delete(delete)
        .send();
    let answer = pass
        .call("s3", "DeleteObjects", &bucket.region, delete)
        .await?;
    // The answer is a success whatever became of each (an object lock, a policy against it).
    match answer.errors().first() {
        None => Ok(()),
        Some(entry) => Err(error::of_entry(
            "s3:DeleteObjects",
            entry.code().unwrap_or_default(),
            &format!(
                "{}: {}",
                entry.key().unwrap_or_default(),
                entry.message().unwrap_or_default()
            ),
        )),
    }
}
