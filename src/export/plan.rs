//! What is due: a pure function of the time, the rules and what is in the bucket.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::config::Rules;
use super::manifest::{Manifest, ManifestState};
use crate::promapi::MetricName;
use crate::time::UtcHour;

/// What the bucket has of one window.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// With its `ETag`.
    pub(super) manifest: Option<(Manifest, String)>,
    /// Why the manifest that is there cannot be read.
    pub(super) unreadable: Option<String>,
    /// `ETag`s of the objects beside the manifest, by file name.
    pub(super) files: BTreeMap<String, String>,
}

impl Found {
    /// Whether the object of a key in this window's folder is there.
    fn has(&self, key: &str) -> bool {
        self.files.contains_key(key.rsplit('/').next().unwrap_or_default())
    }
}

/// The windows of a bucket within the backfill.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    pub(super) windows: BTreeMap<UtcHour, Found>,
    /// True if there are manifests of an earlier time.
    pub(super) has_older: bool,
}

impl Bucket {
    pub(super) fn get(&self, hour: UtcHour) -> Option<&Found> {
        self.windows.get(&hour)
    }

    pub(super) fn manifest(&self, hour: UtcHour) -> Option<&Manifest> {
        self.get(hour)?.manifest.as_ref().map(|(manifest, _)| manifest)
    }

    /// Windows with their manifests, oldest first.
    pub(super) fn manifests(&self) -> impl Iterator<Item = (UtcHour, &Manifest)> {
        self.windows.iter().filter_map(|(hour, found)| Some((*hour, &found.manifest.as_ref()?.0)))
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The oldest hour that is due or done.
    pub(super) since: UtcHour,
    /// The newest settled hour.
    pub(super) until: UtcHour,
    /// Newest first.
    pub(super) due: Vec<Due>,
}

/// A window to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) hour: UtcHour,
    pub(super) metrics: Vec<MetricName>,
}

/// The newest hour that ended so long ago that its last samples have arrived.
pub(super) fn newest_settled(now: Timestamp, rules: &Rules) -> UtcHour {
    let settle = SignedDuration::try_from(rules.settle).unwrap_or(SignedDuration::ZERO);
    UtcHour::containing(now.saturating_sub(settle).unwrap_or(now)).plus(-1)
}

/// The hours that may be due at all.
pub(super) fn range(now: Timestamp, rules: &Rules) -> (UtcHour, UtcHour) {
    let until = newest_settled(now, rules);
    (until.plus(1 - rules.most_hours), until)
}

/// Every settled hour that is not sealed since the oldest that is, or was due when something was written; in an empty bucket the last few. `known_since`
/// is the oldest hour that this process has had due. With `recheck`, suspect answers are fetched again.
pub(super) fn plan(
    now: Timestamp,
    rules: &Rules,
    metrics: &[MetricName],
    bucket: &Bucket,
    known_since: Option<UtcHour>,
    recheck: bool,
) -> Plan {
    let (oldest, until) = range(now, rules);
    let known = bucket.manifests().map(|(hour, manifest)| hour.min(UtcHour::containing(manifest.due_since)));
    let is_empty = bucket.manifests().next().is_none() && !bucket.has_older;
    let at_first = if is_empty { until.plus(1 - rules.hours_to_backfill) } else { until };
    let since = known.chain(known_since).chain(bucket.has_older.then_some(oldest)).min().unwrap_or(at_first);
    let since = since.min(at_first).clamp(oldest, until);
    let mut due = Vec::new();
    for back in 0..=until.since(since) {
        let hour = until.plus(-back);
        if bucket.get(hour).is_some_and(|found| found.unreadable.is_some()) {
            continue;
        }
        let manifest = bucket.manifest(hour);
        let is_there = |key: &str| bucket.get(hour).is_some_and(|found| found.has(key));
        let is_due = |metric: &&MetricName| is_due(metric, manifest, is_there, recheck.then_some(rules.recheck));
        let metrics: Vec<MetricName> = metrics.iter().filter(is_due).cloned().collect();
        // A manifest may be left to be sealed although nothing is to be fetched for it.
        let unsealed = recheck && manifest.is_some_and(|manifest| !manifest.is_sealed());
        if !metrics.is_empty() || unsealed {
            due.push(Due { hour, metrics });
        }
    }
    Plan { since, until, due }
}

/// `recheck` is given in runs that fetch suspect answers again.
fn is_due(metric: &MetricName, manifest: Option<&Manifest>, is_there: impl Fn(&str) -> bool, recheck: Option<u32>) -> bool {
    let Some(manifest) = manifest else { return true };
    match manifest.metrics.get(metric.as_str()) {
        None => true,
        // Somebody has removed it.
        Some(entry) if !is_there(&entry.key) => true,
        Some(entry) => manifest.state == ManifestState::Suspect && recheck.is_some_and(|runs| entry.is_to_recheck(runs)),
    }
}

/// Whether a metric that has no series here had some in the nearest earlier window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// It had some: what is here has vanished.
    Series,
    /// It had none, or there is no earlier window.
    Nothing,
    /// That window is still to be fetched.
    Unknown,
}

/// Looks back from `hour`. `series` tells what is known of a window: the number of series, `None` where the window does not have the metric; `open`
/// those that are due and not known yet.
pub(super) fn before(
    hour: UtcHour,
    oldest: UtcHour,
    series: impl Fn(UtcHour) -> Option<u64>,
    open: impl Fn(UtcHour) -> bool,
) -> Before {
    for back in 1..=hour.since(oldest) {
        let earlier = hour.plus(-back);
        match series(earlier) {
            Some(0) => return Before::Nothing,
            Some(_) => return Before::Series,
            None if open(earlier) => return Before::Unknown,
            None => {}
        }
    }
    Before::Nothing
}

/// Unix seconds of the end of the last sealed window without a gap before it.
pub(super) fn sealed_until(plan: &Plan, sealed: impl Fn(UtcHour) -> bool) -> i64 {
    let first_gap = (0..=plan.until.since(plan.since)).map(|count| plan.since.plus(count)).find(|hour| !sealed(*hour));
    first_gap.map_or(plan.until.end(), UtcHour::start)
}

#[cfg(test)]
mod tests {
    use super::super::config::ExportSection;
    use super::super::endpoints::Endpoints;
    use super::super::manifest::tests::{entry, manifest};
    use super::*;
    use crate::aws::S3Options;

    fn rules() -> Rules {
        let section =
            ExportSection { endpoints: Some(Endpoints::from_json(r#"{"p":"http://p"}"#).unwrap()), ..Default::default() };
        section.resolve(&S3Options::default()).unwrap().unwrap().rules
    }

    fn names(names: &[&str]) -> Vec<MetricName> {
        names.iter().map(|name| MetricName::parse(name).unwrap()).collect()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hour(text: &str) -> UtcHour {
        UtcHour::containing(format!("2026-11-{text}:00:00Z").parse().unwrap())
    }

    /// The object of all entries.
    fn file() -> BTreeMap<String, String> {
        BTreeMap::from([("k".to_owned(), "e".to_owned())])
    }

    fn sealed(hours: &[UtcHour]) -> Bucket {
        let mut one = manifest(&[("up", entry(1, 1, false))]);
        one.judge(2);
        let windows = hours
            .iter()
            .map(|hour| {
                let mut manifest = one.clone();
                manifest.due_since = super::super::manifest::at(hour.start());
                (*hour, Found { manifest: Some((manifest, "e".into())), files: file(), ..Found::default() })
            })
            .collect();
        Bucket { windows, has_older: false }
    }

    fn hours(plan: &Plan) -> Vec<UtcHour> {
        plan.due.iter().map(|due| due.hour).collect()
    }

    #[test]
    fn an_hour_is_due_when_it_has_settled() {
        let rules = rules();
        assert_eq!(newest_settled(time("2026-11-21T08:01:59.999Z"), &rules), hour("21T06"));
        assert_eq!(newest_settled(time("2026-11-21T08:02:00Z"), &rules), hour("21T07"));
    }

    #[test]
    fn an_empty_bucket_gets_the_last_hours_newest_first() {
        let plan = plan(time("2026-11-21T08:30:00Z"), &rules(), &names(&["up"]), &Bucket::default(), None, true);
        assert_eq!(hours(&plan), (0..8).map(|back| hour("21T07").plus(-back)).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_missed_since_the_oldest_sealed_hour_is_due() {
        let now = time("2026-11-21T08:30:00Z");
        let bucket = sealed(&[hour("20T01"), hour("20T03"), hour("21T07")]);
        let plan1 = plan(now, &rules(), &names(&["up"]), &bucket, None, true);
        assert_eq!((plan1.since, plan1.due.len()), (hour("20T01"), 28));
        assert!(!hours(&plan1).contains(&hour("20T03")) && hours(&plan1).contains(&hour("20T02")));
        // Nothing older than the limit, however long ago it was sealed.
        let old = Bucket { has_older: true, ..Bucket::default() };
        let old = plan(time("2026-11-29T08:30:00Z"), &rules(), &names(&["up"]), &old, None, true);
        assert_eq!((old.due.len(), *hours(&old).last().unwrap()), (168, hour("22T08")));
    }

    /// The newest hour of an empty bucket was sealed, and the process died.
    #[test]
    fn hours_that_were_due_once_stay_due() {
        let mut bucket = sealed(&[hour("21T07")]);
        bucket.windows.get_mut(&hour("21T07")).unwrap().manifest.as_mut().unwrap().0.due_since =
            super::super::manifest::at(hour("21T00").start());
        let later = plan(time("2026-11-21T20:30:00Z"), &rules(), &names(&["up"]), &bucket, None, true);
        assert_eq!((later.since, later.due.len()), (hour("21T00"), 19));
        let process =
            plan(time("2026-11-21T20:30:00Z"), &rules(), &names(&["up"]), &Bucket::default(), Some(hour("21T02")), true);
        assert_eq!((process.since, process.due.len()), (hour("21T02"), 18));
    }

    #[test]
    fn a_metric_configured_later_is_due_alone() {
        let bucket = sealed(&[hour("21T06"), hour("21T07")]);
        let plan = plan(time("2026-11-21T08:30:00Z"), &rules(), &names(&["up", "down"]), &bucket, None, true);
        assert_eq!(plan.due, [hour("21T07"), hour("21T06")].map(|hour| Due { hour, metrics: names(&["down"]) }));
    }

    #[test]
    fn a_suspect_answer_is_due_in_runs_that_recheck() {
        let mut suspect = manifest(&[("up", entry(1, 1, true)), ("down", entry(1, 1, false))]);
        suspect.judge(2);
        let windows =
            BTreeMap::from([(hour("21T07"), Found { manifest: Some((suspect, "e".into())), files: file(), ..Found::default() })]);
        let bucket = Bucket { windows, has_older: false };
        let due = |recheck| plan(time("2026-11-21T08:30:00Z"), &rules(), &names(&["up", "down"]), &bucket, None, recheck).due;
        assert_eq!(due(true), [Due { hour: hour("21T07"), metrics: names(&["up"]) }]);
        assert_eq!(due(false), []);
    }

    #[test]
    fn an_object_that_was_removed_is_due_again() {
        let mut bucket = sealed(&[hour("21T06"), hour("21T07")]);
        bucket.windows.get_mut(&hour("21T06")).unwrap().files.clear();
        let plan = plan(time("2026-11-21T08:30:00Z"), &rules(), &names(&["up"]), &bucket, None, true);
        assert_eq!(plan.due, [Due { hour: hour("21T06"), metrics: names(&["up"]) }]);
    }

    #[test]
    fn a_manifest_that_cannot_be_read_is_left_alone() {
        let mut bucket = sealed(&[hour("21T06")]);
        bucket.windows.insert(hour("21T07"), Found { unreadable: Some("newer".into()), ..Found::default() });
        assert_eq!(plan(time("2026-11-21T08:30:00Z"), &rules(), &names(&["up"]), &bucket, None, true).due, []);
    }

    #[test]
    fn a_clock_that_jumps_back_makes_nothing_due() {
        let bucket = sealed(&[hour("21T06"), hour("21T07")]);
        let plan = plan(time("2026-11-21T07:30:00Z"), &rules(), &names(&["up"]), &bucket, Some(hour("21T06")), true);
        assert_eq!(plan.due, []);
    }

    #[test]
    fn the_nearest_earlier_window_that_is_known_decides() {
        let now = hour("21T07");
        let at = |known: &'static [(i64, u64)], open: &'static [i64]| {
            let series = move |hour: UtcHour| known.iter().find(|(back, _)| now.plus(-back) == hour).map(|(_, series)| *series);
            before(now, now.plus(-10), series, move |hour| open.iter().any(|back| now.plus(-back) == hour))
        };
        assert_eq!(at(&[], &[]), Before::Nothing);
        assert_eq!(at(&[(1, 5)], &[]), Before::Series);
        assert_eq!(at(&[(1, 0), (2, 5)], &[]), Before::Nothing);
        assert_eq!(at(&[(3, 5)], &[]), Before::Series);
        assert_eq!(at(&[(3, 5)], &[2]), Before::Unknown);
        assert_eq!(at(&[(11, 5)], &[]), Before::Nothing);
    }

    #[test]
    fn the_end_of_the_sealed_stretch_is_the_first_gap() {
        let plan = Plan { since: hour("21T00"), until: hour("21T07"), due: Vec::new() };
        assert_eq!(sealed_until(&plan, |_| true), hour("21T07").end());
        assert_eq!(sealed_until(&plan, |other| other != hour("21T03")), hour("21T03").start());
        assert_eq!(sealed_until(&plan, |_| false), hour("21T00").start());
    }
}
