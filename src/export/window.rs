//! One window: its metrics fetched one after the other, judged when the window before it is known, and sealed by its manifest.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::time::Instant;

use super::Endpoint;
use super::board::{Cell, WindowState};
use super::fetch::{Failure, FailureKind, There};
use super::manifest::{Entry, Manifest, Mark};
use super::metrics::Stage;
use super::plan::{Before, Due, Found, before};
use crate::promapi::MetricName;
use crate::store::{Condition, Label, MADE_BY, Put, StoreError};
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
        manifest.attempts = manifest.attempts.saturating_add(1);
        // What is no longer asked for is no longer missing.
        manifest.missing.retain(|name, _| self.config.metrics.iter().any(|metric| metric.as_str() == name));
        let mut draft = Draft { hour: due.hour, manifest, etag, fresh: BTreeSet::new(), failures: BTreeMap::new() };
        for metric in &due.metrics {
            let known = draft.manifest.metrics.get(metric.as_str());
            let attempts = known.map_or(0, |entry| entry.attempts);
            let there = match (known, found.files.get(&self.config.keys.file(metric))) {
                (Some(entry), Some(etag)) if self.is_of(entry, due.hour, metric) && same(etag, &entry.etag) => {
                    Ok(There::Foreign(entry.clone()))
                }
                // Not the object that the manifest tells of: a process has ended between the two, or the configuration has changed.
                (_, Some(_)) => self.read_back(due.hour, metric).await,
                (_, None) => Ok(There::Nothing),
            };
            // Who did not answer about one metric may not about the next: it is asked, and not again.
            let patient = draft.failures.values().all(|failure| failure.kind != FailureKind::Unanswered);
            let fetched = match there {
                Ok(There::Same(entry)) => Ok(entry),
                Ok(there) => self.fetch(due.hour, metric, there, patient).await,
                Err(failure) => Err(failure),
            };
            draft.manifest.missing.remove(metric.as_str());
            match fetched {
                Ok(mut entry) => {
                    entry.attempts = attempts.saturating_add(1);
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

    /// Whether an entry is about the object and the query of the present configuration.
    fn is_of(&self, entry: &Entry, hour: UtcHour, metric: &MetricName) -> bool {
        entry.key == self.config.keys.data(hour, metric) && entry.query == self.asked(hour, metric)
    }

    /// Writes the manifest of a window that has been judged, and says where the window stands then.
    pub(super) async fn seal(&self, draft: Draft) -> Cell {
        let failures = draft.failures.clone();
        let only_partial = failures.values().all(|failure| failure.kind == FailureKind::Partial);
        let sealed = self.write_manifest(draft).await;
        let (state, mut reasons) = match &sealed {
            Ok(Some(manifest)) if failures.is_empty() => (manifest.window_state(), manifest.reasons()),
            Ok(Some(manifest)) if only_partial => (WindowState::Suspect, manifest.reasons()),
            Ok(Some(manifest)) => (WindowState::Failed, manifest.reasons()),
            Ok(None) => (WindowState::Failed, Vec::new()),
            Err(failure) => (WindowState::Failed, vec![failure.message.clone()]),
        };
        // Those that the manifest does not tell; one stands for all, since they are mostly the same.
        let told = sealed.ok().flatten().map(|manifest| manifest.missing).unwrap_or_default();
        let mut untold = failures.iter().filter(|(metric, _)| !told.contains_key(*metric)).map(|(_, failure)| &failure.message);
        if let Some(first) = untold.next() {
            let others = untold.count();
            reasons.push(match others {
                0 => first.clone(),
                1 => format!("{first} (and another metric)"),
                _ => format!("{first} (and {others} other metrics)"),
            });
        }
        Cell { state, reasons, incomplete: !failures.is_empty() }
    }

    /// Nothing is written where nothing was learned.
    async fn write_manifest(&self, draft: Draft) -> Result<Option<Manifest>, Failure> {
        let Draft { hour, mut manifest, mut etag, failures, fresh } = draft;
        let partial = failures.values().any(|failure| failure.kind == FailureKind::Partial);
        // A window that was sealed stays so; and a source that did not answer has said nothing about the window.
        let worth_noting = partial && !manifest.is_sealed();
        if !failures.is_empty() && !worth_noting && (etag.is_none() || fresh.is_empty()) {
            return Ok(None);
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
            let label = Label { content_type: "application/json", mark: (MADE_BY, "export manifest".to_owned()) };
            let condition = etag.take().map_or(Condition::Absent, Condition::Unchanged);
            let put = self.store.put(&key, Bytes::from(manifest.render()), &label, &condition).await?;
            self.metrics.stage(Stage::Seal, start.elapsed());
            if let Put::Done(_) = put {
                return Ok(Some(manifest));
            }
            // Somebody else was here, or this was, and did not hear of it.
            match self.manifest(hour).await? {
                ManifestRead::Nothing => {}
                ManifestRead::Known(theirs, _) if manifest.merge(&theirs, self.rules.recheck) => return Ok(Some(*theirs)),
                ManifestRead::Known(_, their_etag) => etag = Some(their_etag),
                ManifestRead::Unreadable(message) => return Err(Failure::unanswered(message)),
            }
        }
        Err(Failure::unanswered(format!("{key}: other writers change it all the time")))
    }

    /// Has the manifest tell of the objects that are there now: another writer may have replaced one since it was written, and have died.
    async fn look_again(&self, hour: UtcHour, manifest: &mut Manifest) -> Result<(), Failure> {
        let listed = self.store.list(&self.config.keys.hour(hour)).await?;
        for metric in &self.config.metrics {
            let Some(entry) = manifest.metrics.get_mut(metric.as_str()) else { continue };
            let now = listed.iter().find(|object| object.key == entry.key);
            if !self.is_of(entry, hour, metric) || now.is_some_and(|object| same(&object.etag, &entry.etag)) {
                continue;
            }
            match self.read_back(hour, metric).await? {
                There::Same(theirs) | There::Foreign(theirs) => {
                    let (marks, attempts) = (std::mem::take(&mut entry.marks), entry.attempts);
                    *entry = Entry { attempts, ..theirs };
                    let still = |mark: &Mark| *mark != Mark::Warnings && entry.series == 0;
                    entry.marks.extend(marks.into_iter().filter(still));
                }
                There::Nothing | There::Garbage(_) => {
                    return Err(Failure::unanswered(format!("{}: it was removed or spoilt just now", entry.key)));
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
            Ok(manifest) if !manifest.is_about(&self.config.alias, hour) => ManifestRead::Unreadable(format!(
                "{key}: it is about another endpoint or hour; it is left alone, and so is its hour"
            )),
            Ok(manifest) => ManifestRead::Known(Box::new(manifest), etag),
            Err(why) => ManifestRead::Unreadable(format!(
                "{key}: {why}; it is left alone, and so is its hour: move it away to have that exported again"
            )),
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
        for metric in &self.fresh {
            let Some(entry) = self.manifest.metrics.get_mut(metric) else { continue };
            entry.marks.retain(|mark| *mark == Mark::Warnings);
            if entry.series == 0 && beyond_retention {
                entry.marks.push(Mark::Retention);
            } else if vanished.contains(metric) {
                entry.marks.push(Mark::Vanished);
            }
        }
    }

    /// The metrics about which the source said nothing, if it said nothing about any.
    pub(super) fn unanswered(&self) -> Option<impl Iterator<Item = &String>> {
        let silent = self.failures.values().all(|failure| failure.kind == FailureKind::Unanswered);
        (silent && self.fresh.is_empty() && !self.failures.is_empty()).then(|| self.failures.keys())
    }

    /// True if a metric that has just been fetched has no series.
    pub(super) fn has_fresh_without_series(&self) -> bool {
        self.fresh.iter().any(|metric| self.manifest.metrics.get(metric).is_some_and(|entry| entry.series == 0))
    }

    /// Series by metric.
    pub(super) fn series(&self) -> BTreeMap<String, u64> {
        series(&self.manifest)
    }
}

pub(super) fn series(manifest: &Manifest) -> BTreeMap<String, u64> {
    manifest.metrics.iter().map(|(name, entry)| (name.clone(), entry.series)).collect()
}
