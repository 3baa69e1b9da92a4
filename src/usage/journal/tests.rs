//! The journal as a whole, on real files: what survives being closed, killed, filled and damaged.

use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use prometheus::Registry;
use tempfile::TempDir;

use super::seal::{FileKind, SealedFile};
use super::*;
use crate::usage::packing::Packing;

const HOUR: i64 = 3_600_000;

impl Journal {
    async fn add(&self, entry: NewEntry) -> Result<Appended, AppendError> {
        self.append(entry, None).await
    }
}

struct World {
    folder: TempDir,
    now: Arc<AtomicI64>,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), now: Arc::new(AtomicI64::new(1_000 * HOUR)) }
    }

    fn try_open(&self) -> Result<(Journal, oneshot::Receiver<anyhow::Result<()>>), JournalError> {
        let now = Arc::clone(&self.now);
        let clock = Clock::from_fn(move || Timestamp::from_millisecond(now.load(Ordering::Relaxed)).unwrap());
        Journal::open(self.folder.path(), 1 << 20, clock, JournalMetrics::register(&Registry::new()).unwrap())
    }

    fn open(&self) -> (Journal, oneshot::Receiver<anyhow::Result<()>>) {
        self.try_open().unwrap_or_else(|error| panic!("{error}"))
    }

    fn pass(&self, milliseconds: i64) {
        self.now.fetch_add(milliseconds, Ordering::Relaxed);
    }

    fn entry(&self, report: &str, bytes: usize) -> NewEntry {
        let now = self.now.load(Ordering::Relaxed);
        let id = ReportId::new("node", report, now * 1_000);
        NewEntry::new(id, now, 1, Packing::Identity, 0, &vec![b'x'; bytes])
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("journal.redb")
    }
}

async fn closed((journal, ended): (Journal, oneshot::Receiver<anyhow::Result<()>>)) {
    journal.close();
    ended.await.unwrap().unwrap();
}

/// A seal of all that waits, with one file.
fn seal(journal: &Journal) -> Seal {
    let (amount, oldest) = journal.unsealed();
    let first = sealed_through(journal) + 1;
    let name = format!("{first}.parquet");
    fs::write(journal.sealed_folder().join(&name), "rows").unwrap();
    let (cluster_id, day) = ("c".to_owned(), jiff::civil::Date::constant(2026, 1, 1));
    let file =
        SealedFile { name, key: "k".into(), cluster_id, day, sha256: "s".into(), bytes: 4, rows: 1, kind: FileKind::Table };
    let last = first + amount.entries - 1;
    Seal {
        first,
        last,
        entries: amount.entries,
        bytes: amount.bytes,
        rows: amount.rows,
        oldest: oldest.unwrap(),
        files: vec![file],
    }
}

fn sealed_through(journal: &Journal) -> u64 {
    journal.inner.state().sealed_through
}

fn numbers(journal: &Journal) -> Vec<u64> {
    journal.read(0, usize::MAX).unwrap().iter().map(|(number, _)| *number).collect()
}

#[tokio::test]
async fn what_was_taken_is_there_again_under_the_same_name() {
    let world = World::new();
    let (journal, ended) = world.open();
    let id = journal.id().to_owned();
    assert_eq!(id.len(), 16);
    for report in ["a", "b"] {
        assert_eq!(journal.add(world.entry(report, 10)).await, Ok(Appended::Added));
    }
    assert!(matches!(world.try_open(), Err(JournalError::InUse(_))));
    closed((journal, ended)).await;
    let (journal, _ended) = world.open();
    assert_eq!((journal.id(), numbers(&journal)), (id.as_str(), vec![1, 2]));
    assert_eq!(journal.unsealed().0.entries, 2);
    assert_eq!(journal.add(world.entry("c", 10)).await, Ok(Appended::Added));
    assert_eq!(numbers(&journal), [1, 2, 3]);
}

#[tokio::test]
async fn a_report_that_comes_again_within_a_day_is_dropped() {
    let world = World::new();
    let (journal, ended) = world.open();
    let repeated = |journal: Journal, entry| async move { journal.add(entry).await };
    let entry = || NewEntry { id: ReportId::new("n", "t", 1_000 * HOUR * 1_000), ..world.entry("", 10) };
    assert_eq!(repeated(journal.clone(), entry()).await, Ok(Appended::Added));
    assert_eq!(repeated(journal.clone(), entry()).await, Ok(Appended::Repeated));
    // Not even once its entry is gone, nor after a restart.
    let sealed = seal(&journal);
    journal.record(&sealed).unwrap();
    journal.finish(&sealed).unwrap();
    closed((journal, ended)).await;
    let (journal, _ended) = world.open();
    assert_eq!(repeated(journal.clone(), entry()).await, Ok(Appended::Repeated));
    world.pass(24 * HOUR);
    journal.forget().unwrap();
    assert_eq!(repeated(journal.clone(), entry()).await, Ok(Appended::Repeated));
    world.pass(2 * HOUR);
    journal.forget().unwrap();
    assert_eq!(repeated(journal.clone(), entry()).await, Ok(Appended::Added));
    // Numbers are not used twice.
    assert_eq!(numbers(&journal), [2]);
}

#[tokio::test]
async fn reports_that_come_together_share_a_transaction_and_repeats_among_them_are_seen() {
    let world = World::new();
    let (journal, _ended) = world.open();
    let appends = (0..200).map(|at| journal.add(world.entry(&format!("{}", at / 2), 10)));
    let appended = futures::future::join_all(appends).await;
    assert_eq!(appended.iter().filter(|one| **one == Ok(Appended::Added)).count(), 100);
    assert_eq!(appended.iter().filter(|one| **one == Ok(Appended::Repeated)).count(), 100);
    assert_eq!(numbers(&journal), (1..=100).collect::<Vec<_>>());
    assert!(journal.inner.metrics.batch.get_sample_count() < 150);
}

#[tokio::test]
async fn a_full_journal_takes_nothing_until_it_is_emptied() {
    let world = World::new();
    let (journal, _ended) = world.open();
    for report in ["a", "b"] {
        assert_eq!(journal.add(world.entry(report, 600_000)).await, Ok(Appended::Added));
    }
    assert_eq!(journal.add(world.entry("c", 10)).await, Err(AppendError::Full));
    let sealed = seal(&journal);
    journal.record(&sealed).unwrap();
    assert_eq!(journal.add(world.entry("c", 10)).await, Err(AppendError::Full), "what is sealed is not in the bucket");
    journal.finish(&sealed).unwrap();
    assert_eq!((journal.live_bytes(), fs::read_dir(journal.sealed_folder()).unwrap().count()), (0, 0));
    assert_eq!(journal.add(world.entry("c", 10)).await, Ok(Appended::Added));
}

#[tokio::test]
async fn seals_survive_and_files_of_nobody_do_not() {
    let world = World::new();
    let (journal, ended) = world.open();
    journal.add(world.entry("a", 10)).await.unwrap();
    let sealed = seal(&journal);
    journal.record(&sealed).unwrap();
    journal.add(world.entry("b", 10)).await.unwrap();
    // Of a seal that was not recorded.
    fs::write(journal.sealed_folder().join("2-2-0.parquet.part"), "half").unwrap();
    closed((journal, ended)).await;
    let (journal, _ended) = world.open();
    assert_eq!(journal.seals(), std::slice::from_ref(&sealed));
    assert_eq!((sealed_through(&journal), journal.unsealed().0.entries), (1, 1));
    assert_eq!(fs::read_dir(journal.sealed_folder()).unwrap().count(), 1);
    let expected: u64 = journal.read(0, usize::MAX).unwrap().iter().map(|(_, bytes)| bytes.len() as u64).sum();
    assert_eq!(journal.live_bytes(), expected + 4);
    journal.finish(&sealed).unwrap();
    assert_eq!((numbers(&journal), journal.seals()), (vec![2], vec![]));
}

#[tokio::test]
async fn disk_space_is_given_back() {
    let world = World::new();
    let (journal, _ended) = world.open();
    for round in 0..20 {
        let entries = (0..9).map(|at| journal.add(world.entry(&format!("{round} {at}"), 100_000)));
        assert!(futures::future::join_all(entries).await.iter().all(|one| *one == Ok(Appended::Added)));
        let sealed = Seal { files: Vec::new(), ..seal(&journal) };
        journal.record(&sealed).unwrap();
        // Held back, so that the store grows.
        if round == 19 {
            for sealed in journal.seals() {
                journal.finish(&sealed).unwrap();
            }
        } else {
            journal.inner.state().seals.values_mut().for_each(|seal| seal.bytes = 0);
        }
    }
    let length = fs::metadata(world.store()).unwrap().len();
    assert!(length < 9 << 20, "{length} bytes are left of 18 MB");
}

#[tokio::test]
async fn no_entry_belongs_to_two_seals_and_none_is_left_out() {
    let world = World::new();
    let (journal, _ended) = world.open();
    for report in ["a", "b", "c"] {
        journal.add(world.entry(report, 10)).await.unwrap();
    }
    let all = seal(&journal);
    let refused =
        |seal: Seal| journal.inner.with_tables(|tables| tables.record(&seal)).is_err() && journal.inner.reopen().is_ok();
    assert!(refused(Seal { first: 2, ..all.clone() }), "1 would be left out");
    let sealed = Seal { last: 2, entries: 2, ..all.clone() };
    journal.record(&sealed).unwrap();
    assert!(refused(all.clone()), "1 and 2 are sealed");
    assert!(refused(Seal { first: 2, ..all.clone() }), "2 is sealed");
    // Made again of the same entries.
    journal.record(&Seal { bytes: 7, ..sealed.clone() }).unwrap();
    assert_eq!(journal.seals()[0].bytes, 7);
    assert!(journal.finish(&all).is_err() && journal.inner.reopen().is_ok(), "only 1 and 2 are in the bucket");
    journal.finish(&sealed).unwrap();
    assert_eq!(numbers(&journal), [3]);
}

#[tokio::test]
async fn a_journal_that_was_never_finished_is_begun_anew_and_another_one_is_not_taken_for_it() {
    let world = World::new();
    fs::write(world.folder.path().join("journal.redb.new"), "half").unwrap();
    let (journal, ended) = world.open();
    journal.add(world.entry("a", 10)).await.unwrap();
    // The disk goes and comes back without it, or as another.
    journal.inner.shut("the disk failed".to_owned());
    assert!(matches!(journal.add(world.entry("b", 10)).await, Err(AppendError::Failed(_))));
    fs::rename(world.store(), world.folder.path().join("old")).unwrap();
    assert!(journal.inner.reopen().is_err() && !world.store().exists());
    let other = World::new();
    closed(other.open()).await;
    fs::copy(other.store(), world.store()).unwrap();
    let error = ended.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("is damaged: it is another one"), "{error}");
    drop(journal);
    fs::rename(world.folder.path().join("old"), world.store()).unwrap();
    assert_eq!(numbers(&world.open().0), [1]);
}

/// Parts of the file are damaged in turn: the journal is refused in words, or what it gives back is what was sent, or told to be damaged.
#[tokio::test]
async fn a_damaged_store_is_told_and_never_a_panic() {
    let world = World::new();
    let opened = world.open();
    for at in 0..50 {
        opened.0.add(world.entry(&at.to_string(), 5_000)).await.unwrap();
    }
    let sent = opened.0.read(0, usize::MAX).unwrap();
    closed(opened).await;
    let whole = fs::read(world.store()).unwrap();
    let (mut refused, mut damaged_entries) = (0, 0);
    for part in 0..64 {
        let mut damaged = whole.clone();
        let (from, to) = (part * whole.len() / 64, (part + 1) * whole.len() / 64);
        damaged[from..to].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(world.store(), &damaged).unwrap();
        match world.try_open() {
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().contains('\n'), "{error}");
            }
            Ok((journal, ended)) => {
                for (number, bytes) in journal.read(0, usize::MAX).unwrap_or_default() {
                    match Entry::read(&bytes) {
                        Ok(_) => assert!(sent.contains(&(number, bytes)), "{number} is another one"),
                        Err(_) => damaged_entries += 1,
                    }
                }
                match journal.add(world.entry("new", 10)).await {
                    Ok(_) | Err(AppendError::Failed(_)) => {}
                    other => panic!("{other:?}"),
                }
                drop(journal);
                // The writer ends in words, whatever it met; a thread that panicked would have told nothing.
                assert!(ended.await.is_ok());
            }
        }
    }
    assert!(refused > 0 && damaged_entries > 0, "{refused} {damaged_entries}");
    fs::write(world.store(), &whole[..whole.len() / 2]).unwrap();
    assert!(world.try_open().is_err(), "half of it is gone");
    fs::write(world.store(), "something else entirely").unwrap();
    assert!(matches!(world.try_open(), Err(JournalError::Damaged { .. })));
}
