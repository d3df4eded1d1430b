//! The distribution, found by its Comment, which is the owner key.
//!
//! CloudFront takes a configuration only as a whole. An update reads it, lays the managed fields over it
//! ([`overlay`]) and sends it back with `If-Match`, so that what others have set (logging, response headers policies,
//! functions, geographic restrictions) stays. Parts of a configuration that are newer than the SDK are not in its types
//! and would be lost in that, so the SDK has to be kept current.

mod config;
mod overlay;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_cloudfront::types;

use super::cloudfront::{COMPLETE, caller_reference, successor};
use super::{Action, Hint, Kind, Seen, Tags, found, incomplete};
use crate::aws::{Pass, shared};
use crate::model::{DataPolicy, Deleted, Failure, GLOBAL, Owner, Phase, ResourceId};

pub use config::*;

/// The reading that has every page, apart from the one that is given up where it has too many.
const WHOLE_LIST: &str = "all";

/// `cloudfront_distribution`; its name only tells it from others of the app.
pub struct Distribution;

#[async_trait]
impl Kind for Distribution {
    type Config = Config;

    const NAME: &'static str = "cloudfront_distribution";
    const OUTPUTS: &'static [&'static str] = &["id", "arn", "domain_name"];
    const DELETED_AFTER: &'static [&'static str] = &["route53_record"];
    const ACTIONS: &'static [Action] = &[
        Action::on("*", &["cloudfront:ListDistributions"]),
        Action::on(
            "arn:aws:cloudfront::{account}:distribution/*",
            &[
                "cloudfront:CreateDistribution",
                "cloudfront:CreateDistributionWithTags",
                "cloudfront:GetDistribution",
                "cloudfront:GetDistributionConfig",
                "cloudfront:UpdateDistribution",
                "cloudfront:DeleteDistribution",
                "cloudfront:ListTagsForResource",
                "cloudfront:TagResource",
            ],
        ),
        // CloudFront checks that whoever names a web ACL may read it.
        Action::on(
            "arn:aws:wafv2:us-east-1:{account}:global/webacl/*",
            &["wafv2:GetWebACL"],
        ),
    ];

    async fn observe(
        pass: &Pass,
        _id: &ResourceId,
        hint: Hint<Config>,
    ) -> Result<Option<Seen<Config>>, Failure> {
        let listed = match &hint.known_id {
            Some(known_id) => listed(pass, known_id).await?,
            None => None,
        };
        let (mut seen, mut tags) = match listed {
            Some(seen) => (seen, None),
            None => match find(pass, hint.known_id).await? {
                Some((distribution, tags)) => (seen(&distribution)?, tags),
                None => return Ok(None),
            },
        };
        if tags.is_none() && pass.every_facet() {
            let arn = seen.outputs.get("arn").map_or("", String::as_str);
            tags = Some(read_tags(pass, arn).await?);
        }
        match tags {
            Some(tags) => {
                // The Comment is ours. Without tags it is all there is to go by.
                let by_tags = pass.owner_by_tags(pairs(&tags));
                if let Owner::Other(_) = by_tags {
                    seen.owner = by_tags;
                }
                seen.config.tags = tags;
            }
            None => {
                seen.unread.insert("tags");
            }
        }
        Ok(Some(seen))
    }

    async fn create(
        pass: &Pass,
        id: &ResourceId,
        desired: &Config,
    ) -> Result<Seen<Config>, Failure> {
        let config = overlay::created(
            &caller_reference(pass, id),
            &pass.owner().comment(),
            desired,
        );
        let with_tags = types::DistributionConfigWithTags::builder()
            .distribution_config(config)
            .tags(tags(&desired.tags))
            .build();
        let create = pass
            .clients(GLOBAL)
            .cloudfront
            .create_distribution_with_tags()
            .distribution_config_with_tags(with_tags)
            .send();
        let answer = pass
            .call("cloudfront", "CreateDistributionWithTags", GLOBAL, create)
            .await;
        changed(pass);
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return Err(successor::refused(pass, failure, desired).await),
        };
        let distribution = answer
            .distribution()
            .ok_or_else(|| incomplete("cloudfront:CreateDistributionWithTags", "Distribution"))?;
        let mut seen = seen(distribution)?;
        seen.config.tags.clone_from(&desired.tags);
        Ok(seen)
    }

    async fn update(
        pass: &Pass,
        _id: &ResourceId,
        live: Seen<Config>,
        desired: &Config,
        changed: &BTreeSet<String>,
    ) -> Result<Seen<Config>, Failure> {
        let distribution_id = live.physical_id.clone();
        let mut now = live;
        if changed.iter().any(|field| field != "tags") {
            let (mut config, etag) = get_config(pass, &distribution_id).await?;
            overlay::overlay(&mut config, &pass.owner().comment(), desired, changed);
            now = match put_config(pass, &distribution_id, etag, config).await {
                Ok(now) => now,
                Err(failure) => return Err(successor::refused(pass, failure, desired).await),
            };
        }
        if changed.contains("tags") {
            let tag = pass
                .clients(GLOBAL)
                .cloudfront
                .tag_resource()
                .resource(now.outputs.get("arn").cloned().unwrap_or_default())
                .tags(tags(&desired.tags))
                .send();
            pass.call("cloudfront", "TagResource", GLOBAL, tag).await?;
        }
        now.config.tags.clone_from(&desired.tags);
        now.owner = Owner::Ours;
        Ok(now)
    }

    /// Disables it, and once that is deployed everywhere deletes it: CloudFront refuses to do otherwise.
    async fn delete(
        pass: &Pass,
        _id: &ResourceId,
        live: Seen<Config>,
        _data: DataPolicy,
    ) -> Result<Deleted, Failure> {
        let pending = || Deleted::Pending("disabled, waiting for Deployed".into());
        if !live.config.enabled && live.phase != Phase::Ready {
            return Ok(pending());
        }
        let (mut config, etag) = get_config(pass, &live.physical_id).await?;
        if config.enabled {
            config.enabled = false;
            put_config(pass, &live.physical_id, etag, config).await?;
            return Ok(pending());
        }
        let delete = pass
            .clients(GLOBAL)
            .cloudfront
            .delete_distribution()
            .id(&live.physical_id)
            .if_match(etag)
            .send();
        let answer = pass
            .call("cloudfront", "DeleteDistribution", GLOBAL, delete)
            .await;
        changed(pass);
        answer.map(|_| Deleted::Gone)
    }
}

fn seen(distribution: &types::Distribution) -> Result<Seen<Config>, Failure> {
    let config = distribution
        .distribution_config()
        .ok_or_else(|| incomplete("cloudfront:GetDistribution", "DistributionConfig"))?;
    Ok(seen_as(
        read::read(config),
        distribution.id(),
        distribution.arn(),
        distribution.domain_name(),
        distribution.status(),
    ))
}

fn seen_as(config: Config, id: &str, arn: &str, domain_name: &str, status: &str) -> Seen<Config> {
    let mut seen = Seen::ours(config, id)
        .output("id", id)
        .output("arn", arn)
        .output("domain_name", domain_name);
    if status != "Deployed" {
        seen.phase = Phase::Deploying(format!("Deployed ({status})"));
    }
    seen
}

/// What the list tells of a distribution: all of it that is managed but the tags.
#[derive(Clone)]
struct Listed {
    id: String,
    arn: String,
    domain_name: String,
    status: String,
    comment: String,
    staging: bool,
    /// None of what has neither behavior nor origins, which is no whole one.
    config: Option<Config>,
}

impl Listed {
    fn of(item: &types::DistributionSummary) -> Self {
        let is_whole = item.default_cache_behavior().is_some() && item.origins().is_some();
        Self {
            id: item.id().to_owned(),
            arn: item.arn().to_owned(),
            domain_name: item.domain_name().to_owned(),
            status: item.status().to_owned(),
            comment: item.comment().to_owned(),
            staging: item.staging(),
            config: is_whole.then(|| read::read(&read::summarised(item))),
        }
    }

    fn is_ours(&self, pass: &Pass) -> bool {
        // A staging distribution is a copy of its primary one, Comment included.
        !self.staging && pass.owner().of_comment(&self.comment) == Owner::Ours
    }
}

/// The one of this id as the list for all apps has it, if it is ours by its Comment.
async fn listed(pass: &Pass, known_id: &str) -> Result<Option<Seen<Config>>, Failure> {
    let all = pass
        .listed(&shared::DISTRIBUTIONS, "", |pages| async move {
            let by_id = |item: Listed| (item.id.clone(), item);
            let all = list(pass, pages).await?;
            Ok(all.map(|all| all.into_iter().map(by_id).collect::<BTreeMap<_, _>>()))
        })
        .await?;
    let item = all.as_ref().and_then(|all| all.get(known_id));
    let item = item.filter(|item| item.is_ours(pass));
    Ok(item.and_then(|item| {
        let config = item.config.clone()?;
        Some(seen_as(
            config,
            &item.id,
            &item.arn,
            &item.domain_name,
            &item.status,
        ))
    }))
}

/// The app's distribution, and its tags where they were needed to tell.
async fn find(
    pass: &Pass,
    known_id: Option<String>,
) -> Result<Option<(types::Distribution, Option<Tags>)>, Failure> {
    if let Some(known_id) = known_id
        && let Some(distribution) = found(get(pass, &known_id).await)?
    {
        let comment = distribution
            .distribution_config()
            .map_or("", types::DistributionConfig::comment);
        if pass.owner().of_comment(comment) == Owner::Ours {
            return Ok(Some((distribution, None)));
        }
        // Somebody may have written another Comment: taken for another's it would be made a second time.
        let tags = read_tags(pass, distribution.arn()).await?;
        if pass.owner_by_tags(pairs(&tags)) == Owner::Ours {
            return Ok(Some((distribution, Some(tags))));
        }
    }
    let mut best: Option<(bool, String, Tags)> = None;
    for Listed { id, arn, .. } in commented(pass).await? {
        let tags = read_tags(pass, &arn).await?;
        let confirmed = pass.owner_by_tags(pairs(&tags)) == Owner::Ours;
        // Of several with our Comment the one with our tags, and always the same one.
        let better = best.as_ref().is_none_or(|(best_confirmed, best_id, _)| {
            (confirmed, best_id) > (*best_confirmed, &id)
        });
        if better {
            best = Some((confirmed, id, tags));
        }
    }
    let Some((_, id, tags)) = best else {
        return Ok(None);
    };
    Ok(found(get(pass, &id).await)?.map(|distribution| (distribution, Some(tags))))
}

/// The domain names of the app's distribution: one, or none, or more where somebody copied it.
pub(super) async fn domain_names(pass: &Pass) -> Result<BTreeSet<String>, Failure> {
    let ours = commented(pass).await?;
    Ok(ours.into_iter().map(|item| item.domain_name).collect())
}

/// The same distributions' ids.
pub(super) async fn ids(pass: &Pass) -> Result<BTreeSet<String>, Failure> {
    let ours = commented(pass).await?;
    Ok(ours.into_iter().map(|item| item.id).collect())
}

/// Every distribution of the account, its managed fields without the tags, and whether it is ours by its Comment.
pub(super) async fn all(pass: &Pass) -> Result<Vec<(bool, Config)>, Failure> {
    let all = whole_list(pass).await?;
    let all = all
        .iter()
        .filter_map(|item| Some((item.is_ours(pass), item.config.clone()?)));
    Ok(all.collect())
}

/// Each distribution whose Comment is the owner key; list summaries carry no CallerReference.
async fn commented(pass: &Pass) -> Result<Vec<Listed>, Failure> {
    let all = whole_list(pass).await?;
    let ours = all.iter().filter(|item| item.is_ours(pass));
    Ok(ours.cloned().collect())
}

/// All of the account, however many pages that takes: read once for all who have to know.
async fn whole_list(pass: &Pass) -> Result<Arc<Vec<Listed>>, Failure> {
    let all = async { Ok(list(pass, usize::MAX).await?.unwrap_or_default()) };
    pass.shared(&shared::DISTRIBUTIONS, WHOLE_LIST, all).await
}

/// After a write, of whatever came of it.
fn changed(pass: &Pass) {
    pass.changed(&shared::DISTRIBUTIONS, "");
    pass.changed(&shared::DISTRIBUTIONS, WHOLE_LIST);
}

/// All of the account, unless they have more pages than `most`.
async fn list(pass: &Pass, most: usize) -> Result<Option<Vec<Listed>>, Failure> {
    let clients = pass.clients(GLOBAL);
    let (mut all, mut marker) = (Vec::new(), None);
    for _ in 0..most {
        let page = clients
            .cloudfront
            .list_distributions()
            .set_marker(marker)
            .send();
        let page = pass
            .call("cloudfront", "ListDistributions", GLOBAL, page)
            .await?;
        let (items, next) = page
            .distribution_list
            .map(|page| (page.items.unwrap_or_default(), page.next_marker))
            .unwrap_or_default();
        all.extend(items.iter().map(Listed::of));
        marker = next.filter(|marker| !marker.is_empty());
        if marker.is_none() {
            return Ok(Some(all));
        }
    }
    Ok(None)
}

async fn get(pass: &Pass, distribution_id: &str) -> Result<types::Distribution, Failure> {
    let clients = pass.clients(GLOBAL);
    let get = clients
        .cloudfront
        .get_distribution()
        .id(distribution_id)
        .send();
    let answer = pass
        .call("cloudfront", "GetDistribution", GLOBAL, get)
        .await?;
    answer
        .distribution
        .ok_or_else(|| incomplete("cloudfront:GetDistribution", "Distribution"))
}

async fn get_config(
    pass: &Pass,
    distribution_id: &str,
) -> Result<(types::DistributionConfig, String), Failure> {
    const OPERATION: &str = "cloudfront:GetDistributionConfig";
    let clients = pass.clients(GLOBAL);
    let get = clients
        .cloudfront
        .get_distribution_config()
        .id(distribution_id)
        .send();
    let answer = pass
        .call("cloudfront", "GetDistributionConfig", GLOBAL, get)
        .await?;
    let config = answer
        .distribution_config
        .ok_or_else(|| incomplete(OPERATION, "DistributionConfig"))?;
    let etag = answer.e_tag.ok_or_else(|| incomplete(OPERATION, "ETag"))?;
    Ok((config, etag))
}

async fn put_config(
    pass: &Pass,
    distribution_id: &str,
    etag: String,
    config: types::DistributionConfig,
) -> Result<Seen<Config>, Failure> {
    let update = pass
        .clients(GLOBAL)
        .cloudfront
        .update_distribution()
        .id(distribution_id)
        .if_match(etag)
        .distribution_config(config)
        .send();
    let answer = pass
        .call("cloudfront", "UpdateDistribution", GLOBAL, update)
        .await;
    changed(pass);
    let answer = answer?;
    let distribution = answer
        .distribution()
        .ok_or_else(|| incomplete("cloudfront:UpdateDistribution", "Distribution"))?;
    seen(distribution)
}

async fn read_tags(pass: &Pass, arn: &str) -> Result<Tags, Failure> {
    let clients = pass.clients(GLOBAL);
    let list = clients
        .cloudfront
        .list_tags_for_resource()
        .resource(arn)
        .send();
    let answer = pass
        .call("cloudfront", "ListTagsForResource", GLOBAL, list)
        .await?;
    let tags = answer.tags().map_or(&[][..], types::Tags::items);
    Ok(tags
        .iter()
        .map(|tag| {
            (
                tag.key().to_owned(),
                tag.value().unwrap_or_default().to_owned(),
            )
        })
        .collect())
}

fn pairs(tags: &Tags) -> impl Iterator<Item = (&str, &str)> {
    tags.iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
}

fn tags(tags: &Tags) -> types::Tags {
    let tag = |(key, value): (&String, &String)| {
        types::Tag::builder()
            .key(key)
            .value(value)
            .build()
            .expect(COMPLETE)
    };
    types::Tags::builder()
        .set_items(Some(tags.iter().map(tag).collect()))
        .build()
}
