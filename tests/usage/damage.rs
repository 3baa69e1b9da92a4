//! Disks that are full and files that are not as they were written: a clear word, no panic, and nothing that was readable is lost.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use fakes::kube_api::{CLAIMS, NodeSpec, PodSpec};
use fakes::s3_memory::{S3Effect, S3Fault};
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::CONTENT_ENCODING;
use serde_json::{Value, json};

use crate::report::{Sender, answered, post, report, report_at, some};
use crate::support::{Exporter, skip};
use crate::world::{World, drained, ended, metric, until, until_health};

/// What was said is clear, and not a panic.
#[track_caller]
fn clear(code: Option<i32>, said: &str) {
    assert_eq!(code, Some(1), "{said}");
    assert!(!said.contains("panicked") && said.contains("journal"), "{said}");
}

/// An orderly end with reports in the journal that are neither sealed nor uploaded.
async fn stopped_with(world: &World, ids: &[&str]) {
    let exporter = world.ready(&["--usage-roll-age=1h"]).await;
    for id in ids {
        // Packed by the sender, and so that every byte of it stays: then the journal has it as it is.
        let mut writer = GzEncoder::new(Vec::new(), Compression::none());
        writer.write_all(report("node-1", &[some(id)]).to_string().as_bytes()).unwrap();
        let request = Sender::new().request(exporter.address).header(CONTENT_ENCODING, "gzip").body(writer.finish().unwrap());
        answered(request).await.unwrap().taken();
    }
    assert_eq!(exporter.stop("TERM"), Some(0));
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_store_that_was_cut_off_is_told_and_left_alone() {
    let world = World::start().await;
    stopped_with(&world, &["a", "b", "c"]).await;
    let whole = std::fs::read(world.store()).unwrap();
    for length in [1, 100, 512, 4_096, whole.len() / 2, whole.len() - 1] {
        std::fs::write(world.store(), &whole[..length]).unwrap();
        let (code, said) = ended(world.command(&[])).await;
        clear(code, &said);
        assert!(said.contains(world.journal().to_str().unwrap()), "it does not say where: {said}");
    }
    // With what was taken away it is as before.
    std::fs::write(world.store(), &whole).unwrap();
    let exporter = world.ready(&[]).await;
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().len(), 3);
}

#[tokio::test]
async fn a_store_that_is_something_else_is_told_and_left_alone() {
    let world = World::start().await;
    std::fs::create_dir_all(world.journal()).unwrap();
    for text in ["not a store".repeat(1_000), "\0".repeat(100_000)] {
        std::fs::write(world.store(), &text).unwrap();
        let (code, said) = ended(world.command(&[])).await;
        clear(code, &said);
        assert_eq!(std::fs::read_to_string(world.store()).unwrap(), text);
    }
}

/// Wherever a bit flips, it begins and serves, or it says what is wrong and ends.
#[tokio::test]
async fn no_flipped_byte_makes_it_panic() {
    let world = World::start().await;
    stopped_with(&world, &["a", "b", "c"]).await;
    let whole = std::fs::read(world.store()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let (mut began, mut refused) = (0, 0);
    // The header, and places that are in use.
    let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let places: Vec<usize> = (0..8).map(|at| at * 16).chain((0..14).map(|_| used[random.usize(..used.len())])).collect();
    for at in places {
        std::fs::write(world.store(), &whole).unwrap();
        flip(&world.store(), at);
        let mut child = tokio::process::Command::from(world.command(&["--usage-roll-age=1h"]))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stderr.take().unwrap()));
        let mut said = String::new();
        let listens = loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                break false;
            };
            said += &line;
            if line.contains("listening") {
                break true;
            }
        };
        assert!(!said.contains("panicked"), "byte {at}: {said}");
        if listens {
            began += 1;
            child.kill().await.unwrap();
        } else {
            refused += 1;
            clear(child.wait().await.unwrap().code(), &said);
        }
    }
    assert!(began > 0 && refused > 0, "{began} began and {refused} did not");
}

#[tokio::test]
async fn a_damaged_report_is_set_aside_and_costs_no_other() {
    let world = World::start().await;
    stopped_with(&world, &["first", "marked-report", "last"]).await;
    let store = std::fs::read(world.store()).unwrap();
    let places: Vec<usize> =
        store.windows(13).enumerate().filter(|(_, text)| text == b"marked-report").map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the report is not in the store as it was sent");
    for at in places {
        flip(&world.store(), at);
    }
    let exporter = world.ready(&[]).await;
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().into_keys().collect::<Vec<_>>(), ["first", "last"]);
    assert_eq!(metric(&exporter, "journal_set_aside_total").await, 1.0);
    let kept: Vec<_> = std::fs::read_dir(world.journal().join("set-aside")).unwrap().collect();
    assert_eq!(kept.len(), 1);
}

/// The entries are still there, so that the file can be made again.
#[tokio::test]
async fn a_damaged_file_never_gets_into_the_bucket() {
    let damages: [fn(&Path); 3] =
        [|file| flip(file, 100), |file| std::fs::remove_file(file).unwrap(), |file| std::fs::write(file, "").unwrap()];
    for damage in damages {
        let world = World::start().await;
        let exporter = world.ready(&[]).await;
        world.refuse_puts();
        for id in ["a", "b"] {
            post(exporter.address, &report("node-1", &[some(id)])).await.taken();
        }
        let sealed = async |exporter: &Exporter| (metric(exporter, "rows_sealed_total").await == 2.0).then_some(());
        exporter.until("all is sealed", sealed).await;
        assert_eq!(exporter.stop("TERM"), Some(0));
        let files = world.sealed();
        assert!(!files.is_empty() && world.tables().is_empty());
        damage(&files[0]);
        world.s3.clear_faults();
        let exporter = world.ready(&[]).await;
        drained(&exporter).await;
        assert_eq!(world.rows_by_pod().into_keys().collect::<Vec<_>>(), ["a", "b"]);
    }
}

/// Of a seal's two files one is there, and the other, which is refused by a part of its key, is damaged; meanwhile its pods have changed. The faults stay
/// until another process runs: what this one has sent last may be read when it is gone.
async fn half_there(world: &World, first: [&Value; 2], refused: &str) -> (PathBuf, Vec<u8>) {
    let pod = |id: &str, label: &str| PodSpec::new("default", id).uid(id).label("app", label);
    ["a", "b"].iter().for_each(|id| world.api.apply_pod(&pod(id, "before")));
    // Nothing is sealed before all of Kubernetes is known, and then both at once.
    world.api.forbid(CLAIMS, true);
    let exporter = world.serve(&["--usage-roll-age=100ms"]).await;
    let effect = S3Effect::Status(503, "SlowDown");
    world.s3.set_faults(vec![S3Fault { method: Some("PUT"), key: Some(refused.to_owned()), ..S3Fault::always(effect) }]);
    for report in first {
        post(exporter.address, report).await.taken();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.api.forbid(CLAIMS, false);
    until("one of two is there", || world.tables().len() == 1 && world.sealed().len() == 2).await;
    assert_eq!(exporter.stop("TERM"), Some(0));
    ["a", "b"].iter().for_each(|id| world.api.apply_pod(&pod(id, "after")));
    let there: Vec<Bytes> = world.tables().into_values().collect();
    let missing = world.sealed().into_iter().find(|file| std::fs::read(file).unwrap() != there[0]).unwrap();
    let whole = std::fs::read(&missing).unwrap();
    flip(&missing, 100);
    (missing, whole)
}

#[tokio::test]
async fn what_is_there_already_is_not_made_again() {
    let world = World::start().await;
    let days =
        [report_at("node-1", "2026-03-01T23:00:00Z", &[some("a")]), report_at("node-1", "2026-03-02T01:00:00Z", &[some("b")])];
    half_there(&world, days.each_ref(), "day=02").await;
    let exporter = world.ready(&[]).await;
    world.s3.clear_faults();
    drained(&exporter).await;
    let rows = world.rows_by_pod();
    assert_eq!(["a", "b"].map(|id| &rows[id]["labels"]), [&json!(["app=before"]), &json!(["app=after"])]);
}

/// Which cluster a node is of may have changed, too, so that nobody can say which rows are missing. People can, or restore the file.
#[tokio::test]
async fn what_may_be_there_already_is_not_guessed() {
    let world = World::start().await;
    ["blue", "green"].iter().for_each(|cluster| world.api.apply_node(&NodeSpec::new(cluster).cluster(cluster)));
    let clusters = [report("blue", &[some("a")]), report("green", &[some("b")])];
    let (file, whole) = half_there(&world, clusters.each_ref(), "=green").await;
    let exporter = world.ready(&[]).await;
    world.s3.clear_faults();
    let told = async |exporter: &Exporter| exporter.get("/health").await.1.contains("several clusters").then_some(());
    exporter.until("the health tells", told).await;
    assert_eq!(world.tables().len(), 1);
    std::fs::write(file, whole).unwrap();
    drained(&exporter).await;
    let rows = world.rows_by_pod();
    assert_eq!(["a", "b"].map(|id| &rows[id]["labels"]), [&json!(["app=before"]), &json!(["app=before"])]);
}

#[tokio::test]
async fn a_journal_has_one_user() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    let (code, said) = ended(world.command(&[])).await;
    clear(code, &said);
    assert!(said.contains("in use"), "{said}");
    post(exporter.address, &report("node-1", &[some("a")])).await.taken();
}

/// Root is told so by a folder that cannot be one, since it may write anywhere.
#[tokio::test]
async fn a_journal_that_cannot_be_made_is_told() {
    let world = World::start().await;
    let file = world.file("file", "");
    let (code, said) = ended(world.command(&[&format!("--journal-dir={file}/journal")])).await;
    clear(code, &said);
    assert!(said.contains(&file), "{said}");
}

/// A small disk; it is gone when this is.
struct Disk(PathBuf);

impl Disk {
    /// `None` where mounting is not allowed.
    fn of(size: &str, folder: &Path) -> Option<Self> {
        if std::fs::metadata("/proc/self").ok()?.uid() != 0 {
            return None;
        }
        let path = folder.join("disk");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&path).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(path))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_costs_nothing_that_was_taken() {
    let world = World::start().await;
    let Some(disk) = Disk::of("24m", world.folder.path()) else {
        return skip("a_full_disk_is_told_and_costs_nothing_that_was_taken", "the right to mount a disk");
    };
    let other = disk.0.join("somebody else's");
    std::fs::write(&other, vec![1; 8 << 20]).unwrap();
    let exporter = world.ready(&[&format!("--journal-dir={}/journal", disk.0.display())]).await;
    world.refuse_puts();
    let (sender, mut taken) = (Sender::new(), Vec::new());
    let large = |id: &str| -> Value {
        let mut report = report("node-1", &[some(id)]);
        report["comment"] = (0..1 << 19).map(|_| fastrand::alphanumeric()).collect::<String>().into();
        report
    };
    let refused = loop {
        let id = format!("pod-{}", taken.len());
        let answer = sender.post(exporter.address, &large(&id)).await;
        if answer.status != 200 {
            break answer;
        }
        taken.push(id);
        assert!(taken.len() < 60, "there is no end of the disk");
    };
    assert!(refused.retry_after().is_some(), "{refused:?}");
    refused.refused(503);
    let health = until_health(&exporter, 503).await;
    assert!(health.to_string().contains("journal"), "{health}");
    assert_eq!(exporter.get("/livez").await.0, 200);
    assert!(!exporter.log_lines().iter().any(|line| line.contains("panicked")));

    std::fs::remove_file(other).unwrap();
    until_health(&exporter, 200).await;
    post(exporter.address, &report("node-2", &[some("last")])).await.taken();
    world.s3.clear_faults();
    drained(&exporter).await;
    until("all is there", || world.rows().len() > taken.len()).await;
    let rows = world.rows_by_pod();
    assert!(taken.iter().all(|id| rows.contains_key(id)), "{} of {}", rows.len(), taken.len());
    // The one that was refused may be there, but only once.
    assert!(rows.len() <= taken.len() + 2);
    assert_eq!(exporter.stop("TERM"), Some(0));
}
