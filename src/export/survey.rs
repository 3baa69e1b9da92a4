//! What a bucket has of an endpoint: one listing per day, and the manifests that changed since the last time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::stream::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::Endpoint;
use super::keys::Item;
use super::plan::{Bucket, Found, range};
use super::run::Memory;
use super::window::ManifestRead;
use crate::store::StoreError;
use crate::time::UtcHour;

/// Days that are listed side by side.
const LISTINGS: usize = 8;
/// Manifests that are read side by side.
const READS: usize = 16;

impl Endpoint {
    /// The windows within the backfill.
    pub(super) async fn survey(&self, now: Timestamp, memory: &Mutex<Memory>) -> Result<Bucket, StoreError> {
        let (oldest, newest) = range(now, &self.rules);
        let hours = (0..=newest.since(oldest)).map(|count| oldest.plus(count));
        let days: BTreeSet<String> = hours.map(|hour| self.config.keys.day(hour)).collect();
        let listings = days.into_iter().map(|day| async move { self.store.list(&day).await });
        let listed: Vec<_> = futures::stream::iter(listings).buffer_unordered(LISTINGS).try_collect().await?;
        let mut bucket = Bucket::default();
        let mut to_read = Vec::new();
        let mut seen = BTreeMap::new();
        {
            let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            for object in listed.into_iter().flatten() {
                let Some((hour, item)) = self.config.keys.parse(&object.key) else { continue };
                let found: &mut Found = bucket.windows.entry(hour).or_default();
                match item {
                    Item::File(name) => {
                        found.files.insert(name.to_owned(), object.etag);
                    }
                    Item::Manifest => match memory.manifests.get(&object.key).filter(|(_, etag)| *etag == object.etag) {
                        Some(known) => {
                            found.manifest = Some(known.clone());
                            seen.insert(object.key, known.clone());
                        }
                        None => to_read.push(hour),
                    },
                }
            }
        }
        let reads = to_read.into_iter().map(|hour| async move { (hour, self.manifest(hour).await) });
        let mut reads = futures::stream::iter(reads).buffer_unordered(READS);
        while let Some((hour, read)) = reads.next().await {
            let found = bucket.windows.entry(hour).or_default();
            match read? {
                ManifestRead::Nothing => {}
                ManifestRead::Known(manifest, etag) => {
                    seen.insert(self.config.keys.manifest(hour), ((*manifest).clone(), etag.clone()));
                    found.manifest = Some((*manifest, etag));
                }
                ManifestRead::Unreadable(why) => found.unreadable = Some(why),
            }
        }
        if bucket.manifests().next().is_none() {
            bucket.has_older = self.has_manifests_before(oldest).await?;
        }
        memory.lock().unwrap_or_else(PoisonError::into_inner).manifests = seen;
        Ok(bucket)
    }

    /// Whether this program has ever sealed anything before `oldest`: after a long absence the bucket is not new.
    async fn has_manifests_before(&self, oldest: UtcHour) -> Result<bool, StoreError> {
        let days = self.store.folders(self.config.keys.folder()).await?;
        let first = oldest.day();
        let Some(last) = days.into_iter().filter(|day| *day < first && UtcHour::from_key(day, "00").is_some()).max() else {
            return Ok(false);
        };
        let listed = self.store.list(&format!("{}/{last}", self.config.keys.folder())).await?;
        Ok(listed.iter().any(|object| matches!(self.config.keys.parse(&object.key), Some((_, Item::Manifest)))))
    }
}
