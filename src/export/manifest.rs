//! The manifest of a window: what its objects hold, where that came from, and whether it is complete. Written last, it seals the window.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::board::WindowState;
use super::config::Mode;
use crate::promapi::Answer;
use crate::time::UtcHour;

/// Of this form of manifests.
const FORM: u32 = 1;

/// Whether a window is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ManifestState {
    /// It is fetched again.
    Suspect,
    /// It is done.
    Sealed,
}

/// A window's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Of this form of manifests.
    form: u32,
    pub(super) state: ManifestState,
    /// Why a sealed window should not be taken for whole; see the metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) marks: Vec<Mark>,
    /// Runs that fetched something of this window.
    pub(super) attempts: u32,
    pub(super) alias: String,
    /// Where it came from, without credentials.
    pub(super) source: String,
    pub(super) window: WindowTime,
    /// The oldest hour that was due when this was written: behind it nothing may be left out.
    pub(super) due_since: Timestamp,
    /// By name.
    pub(super) metrics: BTreeMap<String, Entry>,
    /// Metrics without an object, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) missing: BTreeMap<String, String>,
    pub(super) written_at: Timestamp,
    /// Of this program.
    pub(super) version: String,
}

/// Half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WindowTime {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// Why an answer may be partial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mark {
    /// Prometheus said so.
    Warnings,
    /// The nearest earlier window has series of the metric, this one has none.
    Vanished,
    /// There is nothing, and the source no longer keeps samples of that time.
    Retention,
}

/// What is known of a metric's object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) key: String,
    /// As it was asked.
    pub(super) query: Asked,
    pub(super) series: u64,
    pub(super) samples: u64,
    /// Of the stored object.
    pub(super) bytes: u64,
    /// Of the stored object, in hexadecimal.
    pub(super) sha256: String,
    /// Of the document, where the object is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) document: Option<Document>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) infos: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) marks: Vec<Mark>,
    /// Of the stored object.
    pub(super) etag: String,
    /// Runs that fetched it.
    #[serde(default)]
    pub(super) attempts: u32,
}

/// Before compression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) promql: String,
    pub(super) mode: Mode,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// Absent where every sample was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) step_seconds: Option<i64>,
}

impl Asked {
    pub(super) fn new(promql: String, mode: Mode, hour: UtcHour, step: i64) -> Self {
        let (end, step_seconds) = match mode {
            Mode::Step => (hour.end() - 1, Some(step)),
            Mode::Raw => (hour.end(), None),
        };
        Self { promql, mode, start: at(hour.start()), end: at(end), step_seconds }
    }

    /// In one line, as it is written beside the object.
    pub(super) fn label(&self) -> String {
        let mode = match (self.mode, self.step_seconds) {
            (Mode::Step, Some(step)) => format!("step={step}"),
            _ => "raw".to_owned(),
        };
        format!("export start={} end={} {mode}", self.start.as_second(), self.end.as_second())
    }
}

impl Entry {
    /// True if it lacks nothing that the other has, and has something that the other lacks. Of two answers neither may be better; then what is there
    /// stays.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        let rank = |entry: &Self| (entry.series, entry.samples, entry.warnings.is_empty());
        let ((series, samples, whole), (their_series, their_samples, their_whole)) = (rank(self), rank(other));
        series >= their_series && samples >= their_samples && whole >= their_whole && rank(self) != rank(other)
    }

    /// True if it is suspect and has not been fetched often enough to be taken as it is.
    pub(super) fn is_to_recheck(&self, recheck: u32) -> bool {
        self.attempts <= recheck && self.marks.iter().any(|mark| *mark != Mark::Retention)
    }

    /// What an answer says of itself.
    pub(super) fn note(&mut self, answer: Answer) {
        self.series = answer.series;
        self.samples = answer.samples;
        self.marks = if answer.warnings.is_empty() { Vec::new() } else { vec![Mark::Warnings] };
        self.warnings = answer.warnings;
        self.infos = answer.infos;
    }
}

impl Manifest {
    pub(super) fn new(alias: &str, source: &str, hour: UtcHour, due_since: UtcHour) -> Self {
        Self {
            form: FORM,
            state: ManifestState::Suspect,
            marks: Vec::new(),
            attempts: 0,
            alias: alias.to_owned(),
            source: source.to_owned(),
            window: WindowTime { start: at(hour.start()), end: at(hour.end()) },
            due_since: at(due_since.start()),
            metrics: BTreeMap::new(),
            missing: BTreeMap::new(),
            written_at: Timestamp::UNIX_EPOCH,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// # Errors
    /// In words, when it is none that this program can read.
    pub(super) fn parse(json: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(json).map_err(|error| format!("it is no manifest: {error}"))?;
        if manifest.form > FORM {
            Err(format!("it has form {}, of a newer version of this program", manifest.form))
        } else {
            Ok(manifest)
        }
    }

    pub(super) fn render(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.state == ManifestState::Sealed
    }

    /// Whether this is what it should be by its key.
    pub(super) fn is_about(&self, alias: &str, hour: UtcHour) -> bool {
        self.alias == alias && self.window.start == at(hour.start())
    }

    /// Where its window stands.
    pub(super) fn window_state(&self) -> WindowState {
        let empty = self.metrics.values().all(|entry| entry.series == 0);
        match (self.is_sealed(), empty) {
            (true, true) => WindowState::Empty,
            (true, false) => WindowState::Sealed,
            (false, _) => WindowState::Suspect,
        }
    }

    /// What people should know of a window beside its state.
    pub(super) fn reasons(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|(metric, why)| format!("{metric}: {why}"));
        let marked = self.metrics.iter().flat_map(|(metric, entry)| {
            entry.marks.iter().map(move |mark| match mark {
                Mark::Warnings => format!("{metric}: {}", entry.warnings.join("; ")),
                Mark::Vanished => format!("{metric}: no series, where the hour before has some"),
                Mark::Retention => format!("{metric}: no series, and the source no longer keeps that time"),
            })
        });
        missing.chain(marked).collect()
    }

    /// Decides whether it is done: nothing is missing, and nothing is suspect that is still to be fetched again.
    pub(super) fn judge(&mut self, recheck: u32) {
        let mut marks: Vec<Mark> = self.metrics.values().flat_map(|entry| entry.marks.iter().copied()).collect();
        marks.sort_unstable();
        marks.dedup();
        let settled = self.missing.is_empty() && !self.metrics.values().any(|entry| entry.is_to_recheck(recheck));
        self.state = if settled { ManifestState::Sealed } else { ManifestState::Suspect };
        self.marks = marks;
    }

    /// Of each metric the better of what two writers know. Gives true if `theirs` said it all.
    pub(super) fn merge(&mut self, theirs: &Self, recheck: u32) -> bool {
        for (name, entry) in &theirs.metrics {
            match self.metrics.get_mut(name) {
                Some(own) if !entry.is_better_than(own) => own.attempts = own.attempts.max(entry.attempts),
                _ => {
                    self.metrics.insert(name.clone(), entry.clone());
                }
            }
            self.missing.remove(name);
        }
        self.attempts = self.attempts.max(theirs.attempts);
        self.due_since = self.due_since.min(theirs.due_since);
        self.judge(recheck);
        let same_objects = self.metrics.len() == theirs.metrics.len()
            && self
                .metrics
                .iter()
                .all(|(name, entry)| theirs.metrics.get(name).is_some_and(|other| other.sha256 == entry.sha256));
        same_objects && (self.state == theirs.state || theirs.is_sealed()) && self.due_since == theirs.due_since
    }
}

/// Unix seconds; all hours that occur are within a timestamp's range.
pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::export) fn entry(series: u64, samples: u64, warned: bool) -> Entry {
        let hour = UtcHour::containing("2026-11-21T07:10:00Z".parse().unwrap());
        let mut entry = Entry {
            key: "k".into(),
            query: Asked::new("up".into(), Mode::Step, hour, 60),
            series: 0,
            samples: 0,
            bytes: 10,
            sha256: format!("{series}-{samples}-{warned}"),
            document: None,
            warnings: Vec::new(),
            infos: Vec::new(),
            marks: Vec::new(),
            etag: format!("{series}-{samples}-{warned}"),
            attempts: 1,
        };
        let warnings = if warned { vec!["partial".to_owned()] } else { Vec::new() };
        entry.note(Answer { series, samples, warnings, ..Default::default() });
        entry
    }

    pub(in crate::export) fn manifest(metrics: &[(&str, Entry)]) -> Manifest {
        let hour = UtcHour::containing("2026-11-21T07:10:00Z".parse().unwrap());
        let mut manifest = Manifest::new("prod", "http://p", hour, hour);
        manifest.metrics = metrics.iter().map(|(name, entry)| ((*name).to_owned(), entry.clone())).collect();
        manifest
    }

    #[test]
    fn a_manifest_survives_writing_and_reading() {
        let mut written = manifest(&[("up", entry(1, 2, true)), ("a:b", entry(0, 0, false))]);
        written.judge(2);
        assert_eq!(Manifest::parse(&written.render()), Ok(written.clone()));
        let text = String::from_utf8(written.render()).unwrap();
        assert!(text.contains("\"state\": \"suspect\"") && text.contains("\"start\": \"2026-11-21T07:00:00Z\""), "{text}");
        assert!(Manifest::parse(b"{}").is_err() && Manifest::parse(b"<html>").is_err());
        assert!(Manifest::parse(text.replace("\"form\": 1", "\"form\": 2").as_bytes()).unwrap_err().contains("newer"));
    }

    #[test]
    fn what_is_suspect_is_fetched_twice_more_and_then_sealed_with_the_mark() {
        let mut window = manifest(&[("up", entry(1, 2, true))]);
        for attempts in 1..=3 {
            window.metrics.values_mut().for_each(|entry| entry.attempts = attempts);
            window.judge(2);
            assert_eq!(window.is_sealed(), attempts == 3);
            assert_eq!(window.marks, [Mark::Warnings]);
        }
        window.missing.insert("down".into(), "503".into());
        window.judge(2);
        assert!(!window.is_sealed());
        // A metric that came later has its own attempts.
        window.missing.clear();
        window.metrics.insert("later".into(), entry(1, 2, true));
        window.judge(2);
        assert!(!window.is_sealed());
        let mut whole = manifest(&[("up", entry(1, 2, false))]);
        whole.judge(2);
        assert!(whole.is_sealed() && whole.marks.is_empty());
    }

    #[test]
    fn a_better_answer_has_more_and_lacks_nothing() {
        let good = entry(10, 100, false);
        let others = [
            (9, 100, false),
            (10, 99, false),
            (10, 100, true),
            (0, 0, false),
            (11, 99, false),
            (11, 101, true),
            (10, 100, false),
        ];
        for (series, samples, warned) in others {
            assert!(!entry(series, samples, warned).is_better_than(&good), "{series} {samples} {warned}");
        }
        for better in [entry(11, 100, false), entry(10, 101, false)] {
            assert!(better.is_better_than(&good));
        }
        assert!(good.is_better_than(&entry(10, 100, true)) && entry(10, 100, true).is_better_than(&entry(9, 9, true)));
        // Without warnings and with less.
        assert!(!entry(3, 3, false).is_better_than(&entry(6, 6, true)));
    }

    #[test]
    fn two_writers_agree_on_the_better_of_each() {
        let mut ours = manifest(&[("a", entry(5, 5, false)), ("b", entry(1, 1, false))]);
        let mut theirs = manifest(&[("a", entry(4, 4, false)), ("b", entry(2, 2, false)), ("c", entry(0, 0, false))]);
        (ours.attempts, theirs.attempts) = (1, 1);
        theirs.judge(2);
        assert!(!ours.merge(&theirs, 2));
        assert_eq!((ours.metrics["a"].series, ours.metrics["b"].series, ours.metrics.len()), (5, 2, 3));
        let mut again = ours.clone();
        assert!(again.merge(&ours, 2));
        assert_eq!(again, ours);
    }
}
