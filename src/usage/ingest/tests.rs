use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::poll;
use prometheus::Registry;

use super::super::metrics::JournalMetrics;
use super::*;

struct World {
    ingest: Ingest,
    /// While it is set, the writer of the journal waits.
    waits: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

fn world() -> World {
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let waits = Arc::new(AtomicBool::new(false));
    let clock = Clock::from_fn({
        let waits = Arc::clone(&waits);
        move || {
            while waits.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            jiff::Timestamp::now()
        }
    });
    let (journal, _) = Journal::open(folder.path(), 1 << 30, clock, JournalMetrics::register(&registry).unwrap()).unwrap();
    let metrics = IngestMetrics::register(&registry).unwrap();
    World { ingest: Ingest::new(journal, Auth::Open, 10 << 20, metrics, Clock::system()), waits, _folder: folder }
}

impl World {
    fn post(&self, packing: &'static str, body: Vec<u8>) -> impl Future<Output = Response> {
        let request = Request::post("/metrics").header(header::CONTENT_ENCODING, packing);
        let request = request.header(header::CONTENT_LENGTH, body.len());
        self.ingest.respond(request.body(Body::from(body)).unwrap())
    }

    fn room(&self) -> usize {
        self.ingest.held.usual.available_permits()
    }
}

/// A report of some bytes with a good entry, and bad ones.
fn report(node: &str, bytes: usize, bad: usize) -> Vec<u8> {
    let good = json!({ "pod_id": "u", "namespace": "n", "name": "p" });
    let pods: Vec<Value> = [good].into_iter().chain((0..bad).map(|_| json!({ "pod_id": 5 }))).collect();
    let node =
        json!({ "node_name": node, "hostname": node, "timestamp": "2026-11-21T07:00:00Z", "pods": pods, "x": "x".repeat(bytes) });
    node.to_string().into_bytes()
}

/// They are written too, in memory that is bounded by what the entries say.
#[tokio::test]
async fn an_entry_counts_what_is_not_usable_as_rows() {
    let world = world();
    assert_eq!(world.post("identity", report("a", 0, 4)).await.status(), 200);
    assert_eq!(world.ingest.journal.unsealed().0.rows, 5);
    assert_eq!((world.ingest.metrics.rows.get(), world.ingest.metrics.dead_letters.get()), (1, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_once_unpacked_waits_for_a_core_and_keeps_no_other_waiting() {
    let world = world();
    let cores = u32::try_from(world.ingest.readers.available_permits()).unwrap();
    let busy = world.ingest.readers.acquire_many(cores).await.unwrap();
    let packed = zstd::encode_all(&*report("large", 9 << 20, 0), 1).unwrap();
    assert!(packed.len() < 64 << 10);
    let mut large = pin!(world.post("zstd", packed));
    assert!(poll!(&mut large).is_pending());
    // The writer takes one after the other: it would have got the large one before this.
    let usual = zstd::encode_all(&*report("usual", 100 << 10, 0), 1).unwrap();
    assert_eq!(world.post("zstd", usual).await.status(), 200);
    assert_eq!(world.ingest.journal.unsealed().0.entries, 1);
    drop(busy);
    assert_eq!(large.await.status(), 200);
    assert_eq!(world.ingest.journal.unsealed().0.entries, 2);
}

#[tokio::test]
async fn the_room_of_a_report_is_taken_until_it_is_on_disk_though_its_sender_has_left() {
    let world = world();
    let all = world.room();
    world.waits.store(true, Ordering::Relaxed);
    {
        let mut left = pin!(world.post("identity", report("a", 100 << 10, 0)));
        assert!(poll!(&mut left).is_pending());
        assert!(world.room() < all);
    }
    assert!(world.room() < all, "the entry waits, and its room is free");
    // It is packed to next to nothing.
    assert!(world.room() > all - 10, "{} of {all}", world.room());
    world.waits.store(false, Ordering::Relaxed);
    world.ingest.drain().await;
    assert_eq!((world.room(), world.ingest.journal.unsealed().0.entries), (all, 1));
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_does_not_answer_is_told_in_time() {
    let world = world();
    world.waits.store(true, Ordering::Relaxed);
    let begun = tokio::time::Instant::now();
    let answer = world.post("identity", report("a", 0, 0)).await;
    assert_eq!((answer.status(), answer.headers().contains_key(header::RETRY_AFTER)), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(begun.elapsed().as_secs(), JOURNAL_DEADLINE.as_secs());
    world.waits.store(false, Ordering::Relaxed);
}
