//! One window: its metrics fetched one after the other, judged when the window before it is known, and sealed by its manifest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::time::Instant;

use super::Endpoint;
use super::fetch::{Failure, FailureKind, There};
use super::manifest::{Manifest, Mark};
use super::metrics::Stage;
use super::plan::{Before, Due, Found, before};
use crate::store::{Condition, Label, Put, StoreError};
use crate::time::UtcHour;

/// Writers that change a manifest at the same time settle in as many rounds as there are writers.
const MOST_ROUNDS: usize = 8;

/// A window that has been fetched and not been sealed.
pub(super) struct Draft {
    pub(super) hour: UtcHour,
    pub(super) manifest: Manifest,
    /// Of the manifest that it completes.
    etag: Option<String>,
    /// Metrics that have just been fetched, or read back.
    fresh: BTreeSet<String>,
    pub(super) failures: BTreeMap<String, Failure>,
}

/// What is known of the series of windows, by metric.
pub(super) type Known = BTreeMap<UtcHour, BTreeMap<String, u64>>;

impl Endpoint {
    /// Fetches what is due of a window. What is stored already is not asked for again.
    pub(super) async fn fetch_window(&self, due: &Due, found: &Found, since: UtcHour) -> Draft {
        let (mut manifest, etag) = match &found.manifest {
            Some((manifest, etag)) => (manifest.clone(), Some(etag.clone())),
            None => (Manifest::new(&self.config.alias, &self.prometheus.location(), due.hour, since), None),
        };
        manifest.attempts += 1;
        let mut draft = Draft { hour: due.hour, manifest, etag, fresh: BTreeSet::new(), failures: BTreeMap::new() };
        for metric in &due.metrics {
            let listed = found.files.get(&self.config.keys.file(metric));
            let there = match (draft.manifest.metrics.get(metric.as_str()), listed) {
                (Some(entry), Some(etag)) if same(etag, &entry.etag) => Ok(There::Foreign(entry.clone())),
                // Not the object that the manifest tells of: a process has ended between the two.
                (_, Some(_)) => self.read_back(due.hour, metric).await,
                (_, None) => Ok(There::Nothing),
            };
            let fetched = match there {
                Ok(There::Same(entry)) => Ok(entry),
                Ok(there) => self.fetch(due.hour, metric, there).await,
                Err(failure) => Err(failure),
            };
            draft.manifest.missing.remove(metric.as_str());
            match fetched {
                Ok(entry) => {
                    draft.fresh.insert(metric.to_string());
                    draft.manifest.metrics.insert(metric.to_string(), entry);
                }
                Err(failure) => {
                    draft.failures.insert(metric.to_string(), failure);
                }
            }
        }
        draft
    }

    /// Writes the manifest of a window that has been judged. Nothing is written where nothing was learned.
    pub(super) async fn seal(&self, draft: Draft) -> Result<Manifest, Failure> {
        let Draft { hour, mut manifest, mut etag, failures, fresh } = draft;
        let partial = failures.values().any(|failure| failure.kind == FailureKind::Partial);
        if let Some(failure) = failures.values().next() {
            // A window that was sealed stays so; and a source that did not answer has said nothing about the window.
            let worth_noting = partial && !manifest.is_sealed();
            if !worth_noting && (etag.is_none() || fresh.is_empty()) {
                let others =
                    if failures.len() > 1 { format!(" (and {} other metrics)", failures.len() - 1) } else { String::new() };
                return Err(Failure::other(format!("{}{others}", failure.message)));
            }
        }
        if !manifest.is_sealed() {
            manifest.missing.extend(failures.iter().map(|(metric, failure)| (metric.clone(), failure.message.clone())));
        }
        let start = Instant::now();
        self.look_again(hour, &mut manifest).await?;
        manifest.written_at = self.clock.now();
        manifest.judge(self.rules.recheck);
        let key = self.config.keys.manifest(hour);
        for _ in 0..MOST_ROUNDS {
            let label = Label { content_type: "application/json", made_by: "export manifest".to_owned() };
            let condition = etag.take().map_or(Condition::Absent, Condition::Unchanged);
            let put = self.store.put(&key, Bytes::from(manifest.render()), &label, &condition).await?;
            self.metrics.stage(Stage::Seal, start.elapsed());
            if let Put::Done(_) = put {
                return Ok(manifest);
            }
            // Somebody else was here, or this was, and did not hear of it.
            match self.manifest(hour).await? {
                ManifestRead::Nothing => {}
                ManifestRead::Known(theirs, _) if manifest.merge(&theirs, self.rules.recheck) => return Ok(*theirs),
                ManifestRead::Known(_, their_etag) => etag = Some(their_etag),
                ManifestRead::Unreadable(message) => return Err(Failure::other(message)),
            }
        }
        Err(Failure::other(format!("{key}: other writers change it all the time")))
    }

    /// Has the manifest tell of the objects that are there now: another writer may have replaced one since it was written, and have died.
    async fn look_again(&self, hour: UtcHour, manifest: &mut Manifest) -> Result<(), Failure> {
        let listed = self.store.list(&self.config.keys.hour(hour)).await?;
        for metric in &self.config.metrics {
            let Some(entry) = manifest.metrics.get_mut(metric.as_str()) else { continue };
            let now = listed.iter().find(|object| object.key == entry.key);
            if now.is_some_and(|object| same(&object.etag, &entry.etag)) {
                continue;
            }
            match self.read_back(hour, metric).await? {
                There::Same(theirs) | There::Foreign(theirs) => *entry = theirs,
                There::Nothing | There::Garbage(_) => {
                    return Err(Failure::other(format!("{}: it was removed or spoilt just now", entry.key)));
                }
            }
        }
        Ok(())
    }

    /// The manifest in the bucket.
    pub(super) async fn manifest(&self, hour: UtcHour) -> Result<ManifestRead, StoreError> {
        let key = self.config.keys.manifest(hour);
        let Some(stored) = self.store.get(&key).await? else { return Ok(ManifestRead::Nothing) };
        let etag = stored.etag.clone();
        Ok(match Manifest::parse(&stored.bytes().await?) {
            Ok(manifest) => ManifestRead::Known(Box::new(manifest), etag),
            Err(why) => ManifestRead::Unreadable(format!("{key}: {why}; it is left alone, and so is its hour")),
        })
    }
}

/// Some servers write an `ETag` without quotes in a listing.
fn same(one: &str, other: &str) -> bool {
    one.trim_matches('"') == other.trim_matches('"')
}

/// What there is for a manifest.
pub(super) enum ManifestRead {
    Nothing,
    /// With its `ETag`.
    Known(Box<Manifest>, String),
    /// Perhaps of a newer version.
    Unreadable(String),
}

impl Draft {
    /// Marks metrics without series where the nearest earlier window has some. `None` while that is not known.
    pub(super) fn judge(&self, oldest: UtcHour, known: &Known, open: &impl Fn(UtcHour, &str) -> bool) -> Option<Vec<String>> {
        let mut vanished = Vec::new();
        for metric in &self.fresh {
            if self.manifest.metrics.get(metric).is_none_or(|entry| entry.series > 0) {
                continue;
            }
            let series = |hour| known.get(&hour)?.get(metric).copied();
            match before(self.hour, oldest, series, |hour| open(hour, metric)) {
                Before::Unknown => return None,
                Before::Series => vanished.push(metric.clone()),
                Before::Nothing => {}
            }
        }
        Some(vanished)
    }

    /// Notes the judgement. With `beyond_retention` nothing can be expected of the source any more.
    pub(super) fn mark(&mut self, vanished: &[String], beyond_retention: bool) {
        let empty = self.is_empty();
        for metric in &self.fresh {
            let Some(entry) = self.manifest.metrics.get_mut(metric) else { continue };
            entry.marks.retain(|mark| *mark == Mark::Warnings);
            if empty && beyond_retention {
                entry.marks.push(Mark::Retention);
            } else if vanished.contains(metric) {
                entry.marks.push(Mark::Vanished);
            }
        }
    }

    /// True if nothing that was asked of the source was answered.
    pub(super) fn is_unanswered(&self) -> bool {
        !self.failures.is_empty()
            && self.fresh.is_empty()
            && self.failures.values().all(|failure| failure.kind == FailureKind::Unanswered)
    }

    /// True if it has all its metrics and none has a series.
    pub(super) fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.manifest.is_empty()
    }

    /// Series by metric.
    pub(super) fn series(&self) -> BTreeMap<String, u64> {
        series(&self.manifest)
    }
}

pub(super) fn series(manifest: &Manifest) -> BTreeMap<String, u64> {
    manifest.metrics.iter().map(|(name, entry)| (name.clone(), entry.series)).collect()
}

/// What people should know of a window beside its state.
pub(super) fn reasons(manifest: &Manifest) -> Vec<String> {
    let mut reasons: Vec<String> = manifest.missing.iter().map(|(metric, why)| format!("{metric}: {why}")).collect();
    for (metric, entry) in &manifest.metrics {
        for mark in &entry.marks {
            reasons.push(match mark {
                Mark::Warnings => format!("{metric}: {}", entry.warnings.join("; ")),
                Mark::Vanished => format!("{metric}: no series, where the window before has some"),
                Mark::Retention => format!("{metric}: no series, and the source no longer keeps that time"),
            });
        }
    }
    reasons
}
