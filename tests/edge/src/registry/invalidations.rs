//! Invalidations, heard of by asking.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::{GLOBAL, Registry};
use crate::xml;

impl Registry {
    /// The paths of a distribution's invalidations that were made since this was last asked.
    pub(crate) async fn new_invalidations(&self, id: &str) -> anyhow::Result<Vec<String>> {
        let path = format!("distribution/{id}/invalidation");
        let list = async {
            let root = self.control.cloudfront(&path).await?;
            let ids = root.map(|root| {
                let summaries = xml::items(&root, "Items").into_iter();
                summaries.map(|summary| xml::text(summary, "Id")).collect()
            });
            Ok(ids.unwrap_or_default())
        };
        let ids: BTreeSet<String> = self
            .invalidations
            .get((&self.control, GLOBAL), id, self.age, list)
            .await?;
        let new: Vec<String> = {
            let mut seen = self
                .seen_invalidations
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let seen = seen.entry(id.to_owned()).or_default();
            ids.into_iter()
                .filter(|id| seen.insert(id.clone()))
                .collect()
        };
        let mut paths = Vec::new();
        for invalidation in new {
            let made = self
                .control
                .cloudfront(&format!("{path}/{invalidation}"))
                .await?;
            if let Some(made) = made {
                paths.extend(xml::texts::<Vec<_>>(&made, "InvalidationBatch/Paths/Items"));
            }
        }
        Ok(paths)
    }
}
