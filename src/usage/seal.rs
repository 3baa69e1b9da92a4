//! Sealing: entries of the journal become files, once and for all. Reports are read again, joined with what Kubernetes knows, and written by cluster
//! and day; the files are synced before the journal is told of them.

mod part;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use jiff::civil::Date;
use serde_json::json;

use self::part::Part;
pub use self::part::sha256;
use super::index::Indexes;
use super::join::{Batches, Group, Join, day};
use super::journal::seal::{FileKind, Seal, SealedFile};
use super::journal::{self, Amount, Journal, Plan, sync_folder};
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
    /// Files are made by one at a time: whoever begins clears away what others left.
    pub(super) one_at_a_time: Mutex<()>,
}

/// A range of entries on its way to files.
struct Draft<'a> {
    sealer: &'a Sealer,
    range: Range<'a>,
    /// The cluster of all rows, if that is fixed.
    cluster: Option<&'a str>,
    /// Files that are there, and are not made.
    kept: &'a [SealedFile],
    amount: Amount,
    set_aside: u64,
    batches: Batches,
    /// Dead letters by key, as they come.
    letters: BTreeMap<String, Letters>,
}

/// Dead letters of a cluster and day, in the file that they go to.
struct Letters {
    file: Part,
    cluster_id: String,
    day: Date,
    count: u64,
}

impl Sealer {
    /// Seals a range. Takes seconds, and memory for its rows.
    ///
    /// # Errors
    /// When the disk fails; what was written is then no part of anything.
    pub fn seal(&self, plan: &Plan) -> anyhow::Result<Seal> {
        let begun = Instant::now();
        let _alone = self.alone()?;
        let Plan { first, last, oldest, .. } = *plan;
        let mut draft = Draft::new(self, first, last, None, &[]);
        draft.read()?;
        let (counts, amount, set_aside) = (draft.batches.counts(), draft.amount, draft.set_aside);
        let files = draft.write()?;
        let seal = Seal { first, last, entries: amount.entries, bytes: amount.bytes, rows: amount.rows, oldest, files };
        self.journal.record(&seal)?;
        self.journal_metrics.set_aside.inc_by(set_aside);
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
        let _alone = self.alone()?;
        let cluster = seal.only_cluster();
        anyhow::ensure!(kept.is_empty() || cluster.is_some(), "it had rows of several clusters, some of which are in the bucket");
        let mut draft = Draft::new(self, seal.first, seal.last, cluster, kept);
        draft.read()?;
        let mut files = draft.write()?;
        files.extend_from_slice(kept);
        anyhow::ensure!(files.len() == seal.files.len(), "the journal does not hold what the seal was made of");
        let seal = Seal { files, ..seal.clone() };
        self.journal.record(&seal)?;
        self.metrics.files_again.inc_by((seal.files.len() - kept.len()) as u64);
        Ok(seal)
    }

    fn alone(&self) -> anyhow::Result<MutexGuard<'_, ()>> {
        let alone = self.one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        self.journal.remove_strangers().context("files that nobody needs cannot be removed")?;
        Ok(alone)
    }
}

impl<'a> Draft<'a> {
    fn new(sealer: &'a Sealer, first: u64, last: u64, cluster: Option<&'a str>, kept: &'a [SealedFile]) -> Self {
        let range = Range { journal: sealer.journal.id(), first, last };
        let (batches, letters) = (Batches::default(), BTreeMap::new());
        Self { sealer, range, cluster, kept, amount: Amount::default(), set_aside: 0, batches, letters }
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let Range { first, last, .. } = self.range;
        let mut from = first;
        while from <= last {
            let (before, read) = (from, self.sealer.journal.read(from, READ_BYTES)?);
            for (number, bytes) in read.into_iter().take_while(|(number, _)| *number <= last) {
                // No number is left out, or something is wrong with the journal that a file must not hide.
                anyhow::ensure!(number == from, "the journal has no entry {from}, but {number}");
                from += 1;
                self.amount.add(&bytes);
                match open(&bytes) {
                    Ok((taken_at, payload)) => self.add(taken_at, payload)?,
                    Err(reason) => self.put_aside(number, &bytes, &reason)?,
                }
            }
            anyhow::ensure!(from > before, "the journal has no entry {from}");
        }
        Ok(())
    }

    fn put_aside(&mut self, number: u64, bytes: &[u8], reason: &str) -> anyhow::Result<()> {
        let file = self.sealer.journal.set_aside(number, bytes).context("a damaged entry cannot be set aside")?;
        tracing::error!(number, reason, file = %file.display(), "an entry of the journal is damaged; it was set aside");
        self.set_aside += 1;
        Ok(())
    }

    fn add(&mut self, taken_at: i64, payload: Payload) -> anyhow::Result<()> {
        let Payload { report, dead } = payload;
        let Self { sealer, range, cluster, kept, letters, batches, .. } = self;
        sealer.index.read(|index| {
            let join = Join::new(index, sealer.cluster_name.as_deref()).pinned_to(*cluster);
            if !dead.is_empty() {
                let (cluster_id, day) = (join.node(&report.node_name).cluster_id.to_string(), day(report.collected_at));
                let key = key::dead_letters(&sealer.prefix, &cluster_id, day, *range);
                if !is_kept(kept, &key) {
                    let letters = match letters.entry(key) {
                        Entry::Occupied(open) => open.into_mut(),
                        Entry::Vacant(none) => {
                            let file = Part::create(&sealer.journal.sealed_folder(), none.key())?;
                            none.insert(Letters { file, cluster_id, day, count: 0 })
                        }
                    };
                    for letter in &dead {
                        writeln!(letters.file, "{}", line(taken_at, &report.timestamp, &report.node_name, letter))?;
                    }
                    letters.count += dead.len() as u64;
                }
            }
            batches.add(&join, report);
            Ok(())
        })
    }

    /// Writes the files but for those that are kept, and syncs them.
    fn write(self) -> anyhow::Result<Vec<SealedFile>> {
        let folder = self.sealer.journal.sealed_folder();
        let mut files = Vec::new();
        for (Group { cluster_id, day }, batch) in self.batches.finish() {
            let key = key::table(&self.sealer.prefix, &cluster_id, day, self.range);
            if !is_kept(self.kept, &key) {
                let mut file = Part::create(&folder, &key)?;
                let rows = table::write(batch, &mut file).with_context(|| file.failed())?.rows;
                files.push(file.finish(cluster_id.to_string(), day, rows, FileKind::Table)?);
            }
        }
        for Letters { file, cluster_id, day, count } in self.letters.into_values() {
            files.push(file.finish(cluster_id, day, count, FileKind::DeadLetters)?);
        }
        sync_folder(&folder)?;
        Ok(files)
    }
}

fn is_kept(kept: &[SealedFile], key: &str) -> bool {
    kept.iter().any(|file| file.key == *key)
}

/// When an entry was taken, and what it says.
fn open(bytes: &[u8]) -> Result<(i64, Payload), String> {
    let entry = journal::entry::Entry::read(bytes).map_err(|error| error.to_string())?;
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
