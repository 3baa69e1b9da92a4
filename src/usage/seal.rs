//! Sealing: entries of the journal become files, once and for all. Reports are read again, joined with what Kubernetes knows, and written by cluster
//! and day; the files are synced before the journal is told of them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use jiff::civil::Date;
use ring::digest::{self, SHA256};
use serde_json::json;

use super::index::Indexes;
use super::join::{Batches, Group, Join, day};
use super::journal::entry::Entry;
use super::journal::seal::{FileKind, Seal, SealedFile};
use super::journal::{Journal, Plan, sync_folder};
use super::key::{self, Prefix, Range};
use super::metrics::{JournalMetrics, SealMetrics};
use super::payload::{self, Payload};
use super::report::DeadLetter;
use super::table;

/// Bytes of entries that are read at a time.
const READ_BYTES: usize = 4 << 20;

/// Seals what the journal holds.
pub struct Sealer {
    pub(super) journal: Journal,
    pub(super) index: Indexes,
    pub(super) prefix: Prefix,
    pub(super) cluster_name: Option<String>,
    pub(super) metrics: SealMetrics,
    pub(super) journal_metrics: JournalMetrics,
}

/// What a range of entries becomes, before it is written.
#[derive(Default)]
struct Draft {
    batches: Batches,
    /// By cluster and day.
    dead: BTreeMap<(String, Date), Letters>,
}

/// Dead letters on their way to a file.
#[derive(Default)]
struct Letters {
    /// Lines of JSON.
    lines: String,
    count: u64,
}

impl Sealer {
    /// Seals a range. Takes seconds, and memory for its rows.
    ///
    /// # Errors
    /// When the disk fails; what was written is then no part of anything.
    pub fn seal(&self, plan: &Plan) -> anyhow::Result<Seal> {
        let begun = Instant::now();
        let draft = self.read(plan.first, plan.last, None)?;
        let counts = draft.batches.counts();
        let files = self.write(plan.first, plan.last, draft, &[])?;
        let Plan { first, last, amount, oldest } = *plan;
        let seal = Seal { first, last, entries: amount.entries, bytes: amount.bytes, rows: amount.rows, oldest, files };
        self.journal.record(&seal)?;
        self.metrics.files.inc_by(seal.files.len() as u64);
        self.metrics.rows.inc_by(counts.matched + counts.unmatched);
        self.metrics.unmatched.inc_by(counts.unmatched);
        self.metrics.seal_seconds.observe(begun.elapsed().as_secs_f64());
        tracing::info!(first, last, reports = seal.entries, files = seal.files.len(), bytes = seal.file_bytes(), "sealed");
        Ok(seal)
    }

    /// Makes files of a seal anew that are damaged and not in the bucket. `kept` are those that are, or are whole: what they hold must not be in
    /// others.
    ///
    /// # Errors
    /// As [`Sealer::seal`], and when nobody knows any more which rows belong into which file.
    pub fn seal_again(&self, seal: &Seal, kept: &[SealedFile]) -> anyhow::Result<Seal> {
        let pinned = seal.only_cluster();
        anyhow::ensure!(kept.is_empty() || pinned.is_some(), "it had rows of several clusters, some of which are in the bucket");
        let draft = self.read(seal.first, seal.last, pinned)?;
        let mut files = self.write(seal.first, seal.last, draft, kept)?;
        files.extend_from_slice(kept);
        anyhow::ensure!(files.len() == seal.files.len(), "the journal does not hold what the seal was made of");
        let seal = Seal { files, ..seal.clone() };
        self.journal.record(&seal)?;
        Ok(seal)
    }

    fn read(&self, first: u64, last: u64, cluster: Option<&str>) -> anyhow::Result<Draft> {
        let mut draft = Draft::default();
        let mut from = first;
        while from <= last {
            let read = self.journal.read(from, READ_BYTES)?;
            let Some((end, _)) = read.last() else { break };
            from = end + 1;
            for (number, bytes) in read.iter().take_while(|(number, _)| *number <= last) {
                match open(bytes) {
                    Ok((taken_at, payload)) => self.add(&mut draft, taken_at, payload, cluster),
                    Err(reason) => {
                        let path = self.journal.set_aside(*number, bytes).context("a damaged entry cannot be set aside")?;
                        self.journal_metrics.set_aside.inc();
                        tracing::error!(number, reason, file = %path.display(), "an entry of the journal is damaged; it was set aside");
                    }
                }
            }
        }
        Ok(draft)
    }

    fn add(&self, draft: &mut Draft, taken_at: i64, payload: Payload, cluster: Option<&str>) {
        let Payload { report, dead } = payload;
        self.index.read(|index| {
            let join = Join::new(index, self.cluster_name.as_deref()).pinned_to(cluster);
            if !dead.is_empty() {
                let group = (join.node(&report.node_name).cluster_id.to_string(), day(report.collected_at));
                let letters = draft.dead.entry(group).or_default();
                letters.count += dead.len() as u64;
                for letter in &dead {
                    letters.lines.push_str(&line(taken_at, &report.timestamp, &report.node_name, letter));
                    letters.lines.push('\n');
                }
            }
            draft.batches.add(&join, report);
        });
    }

    /// Writes the files of a range but for those that are `kept`, and syncs them.
    fn write(&self, first: u64, last: u64, draft: Draft, kept: &[SealedFile]) -> anyhow::Result<Vec<SealedFile>> {
        let folder = self.journal.sealed_folder();
        let range = Range { journal: self.journal.id(), first, last };
        let mut files = Vec::new();
        let is_kept = |key: &str| kept.iter().any(|file| file.key == key);
        for (Group { cluster_id, day }, batch) in draft.batches.finish() {
            let key = key::table(&self.prefix, &cluster_id, day, range);
            if !is_kept(&key) {
                let place = Place { folder: &folder, key, cluster_id: cluster_id.to_string(), day };
                files.push(finish(place, FileKind::Table, |out| Ok(table::write(batch, out)?.rows))?);
            }
        }
        for ((cluster_id, day), letters) in draft.dead {
            let key = key::dead_letters(&self.prefix, &cluster_id, day, range);
            if !is_kept(&key) {
                let write = |out: &mut Hashing| {
                    out.write_all(letters.lines.as_bytes())?;
                    Ok(letters.count)
                };
                files.push(finish(Place { folder: &folder, key, cluster_id, day }, FileKind::DeadLetters, write)?);
            }
        }
        sync_folder(&folder)?;
        Ok(files)
    }
}

/// When an entry was taken, and what it says.
fn open(bytes: &[u8]) -> Result<(i64, Payload), String> {
    let entry = Entry::read(bytes).map_err(|error| error.to_string())?;
    let body = entry.body().map_err(|error| error.to_string())?;
    let payload = payload::read(&body).map_err(|rejection| format!("it was taken, but is refused now: {rejection}"))?;
    Ok((entry.taken_at, payload))
}

fn line(taken_at: i64, timestamp: &str, node_name: &str, dead: &DeadLetter) -> String {
    let received_at = jiff::Timestamp::from_millisecond(taken_at).map(|at| at.to_string()).unwrap_or_default();
    let DeadLetter { index, field, reason, entry } = dead;
    json!({
        "received_at": received_at, "timestamp": timestamp, "node_name": node_name,
        "index": index, "field": field, "reason": reason, "entry": entry,
    })
    .to_string()
}

/// Where a file goes.
struct Place<'a> {
    folder: &'a Path,
    key: String,
    cluster_id: String,
    day: Date,
}

/// Writes a file beside its name, syncs it and gives it the name, which is that of its object with a hash of the rest of the key.
fn finish(
    place: Place<'_>,
    kind: FileKind,
    write: impl FnOnce(&mut Hashing) -> anyhow::Result<u64>,
) -> anyhow::Result<SealedFile> {
    let Place { folder, key, cluster_id, day } = place;
    let (_, last) = key.rsplit_once('/').unwrap_or_default();
    let name = format!("{}_{last}", &sha256(key.as_bytes())[..16]);
    let (path, draft) = (folder.join(&name), folder.join(format!("{name}.part")));
    let written = || -> anyhow::Result<(u64, String, u64)> {
        let mut out = Hashing::new(BufWriter::with_capacity(1 << 20, File::create(&draft)?));
        let rows = write(&mut out)?;
        let (sha256, bytes, file) = out.finish()?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        Ok((rows, sha256, bytes))
    };
    match written() {
        Ok((rows, sha256, bytes)) => Ok(SealedFile { name, key, cluster_id, day, sha256, bytes, rows, kind }),
        Err(error) => {
            // It would keep the space that is perhaps what was missing.
            let _ = fs::remove_file(&draft);
            Err(error.context(format!("cannot write {}", draft.display())))
        }
    }
}

/// Counts and hashes what goes through.
struct Hashing {
    out: BufWriter<File>,
    hash: digest::Context,
    bytes: u64,
}

impl Hashing {
    fn new(out: BufWriter<File>) -> Self {
        Self { out, hash: digest::Context::new(&SHA256), bytes: 0 }
    }

    fn finish(self) -> io::Result<(String, u64, File)> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((hex(self.hash.finish().as_ref()), self.bytes, file))
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The SHA-256 of bytes, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
