//! Everything that the S3 can do wrong, lost answers above all: what was written is found again, and nothing is asked for twice.

use std::collections::BTreeSet;
use std::time::Duration;

use fakes::s3_memory::{S3Effect, S3Fault};

use crate::world::{Hours, Run, World};

/// Of puts to keys with `key` in them.
fn put(key: &str, effect: S3Effect) -> S3Fault {
    S3Fault { method: Some("PUT"), key: Some(key.to_owned()), ..S3Fault::always(effect) }
}

/// A run of an hour of two metrics under `fault`, which fails and seals nothing; the next one, without it, is complete. Gives what was asked for then.
async fn fails_and_recovers(fault: S3Fault) -> (World, Run, Vec<(i64, String)>) {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    world.s3.set_faults(vec![fault.clone()]);
    let run = world.export(&["--hours-to-backfill=1"]).await;
    assert_eq!(run.code, Some(1), "{fault:?}: {run:?}");
    world.s3.clear_faults();
    let before = world.requests();
    world.export_all(&["--hours-to-backfill=1"]).await;
    world.verify_sealed(1);
    let asked = world.asked_since(before);
    (world, run, asked)
}

#[tokio::test]
async fn a_bucket_that_is_busy() {
    let busy = S3Effect::Status(503, "SlowDown");
    // Side by side, since the client is patient with it.
    let (data, manifest) = futures::join!(fails_and_recovers(put("/a.json", busy)), fails_and_recovers(put("_manifest", busy)));
    assert!(
        data.1.stdout.contains("SlowDown") && manifest.1.stdout.contains("SlowDown"),
        "{data:?} {manifest:?}",
        data = data.1,
        manifest = manifest.1
    );
    assert_eq!(data.2, [(0, "a".to_owned())]);
    assert_eq!(manifest.2, []);
}

#[tokio::test]
async fn a_bucket_that_may_not_be_written() {
    let denied = S3Effect::Status(403, "AccessDenied");
    let (_, run, asked) = fails_and_recovers(put("/a.json", denied)).await;
    assert!(run.stdout.contains("AccessDenied"), "{run:?}");
    assert_eq!(asked, [(0, "a".to_owned())]);
    let (_, run, asked) = fails_and_recovers(put("_manifest", denied)).await;
    assert!(run.stdout.contains("AccessDenied"), "{run:?}");
    assert_eq!(asked, []);
}

/// It is denied to read what is there: then it is not known what is due, and nothing is written.
#[tokio::test]
async fn a_bucket_that_may_not_be_read() {
    let world = World::start(&[("a", 3)]).await;
    world.s3.set_faults(vec![S3Fault { method: Some("GET"), ..S3Fault::always(S3Effect::Status(403, "AccessDenied")) }]);
    let run = world.export(&[]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("AccessDenied"), "{run:?}");
    assert_eq!((world.objects().len(), world.requests()), (0, 0));
}

/// One answer is lost: the run notices that its own object is there.
#[tokio::test]
async fn a_put_whose_answer_is_lost_is_not_done_twice() {
    for key in ["/a.json", "_manifest"] {
        let world = World::start(&[("a", 3), ("b", 2)]).await;
        world.s3.set_faults(vec![S3Fault { first: Some(2), ..put(key, S3Effect::ResetAfter) }]);
        world.export_all(&[]).await;
        world.verify_sealed(3);
        assert_eq!(world.asked_since(0).len(), 6, "{key}");
        assert!((0..3).all(|back| world.manifest(back).unwrap()["attempts"] == 1), "{key}");
    }
}

/// All answers to puts are lost: the objects are there, and the next run finds them.
#[tokio::test]
async fn puts_whose_answers_are_all_lost_are_found_by_the_next_run() {
    let lost = S3Effect::ResetAfter;
    let (data, manifest) = futures::join!(fails_and_recovers(put("/a.json", lost)), fails_and_recovers(put("_manifest", lost)));
    assert_eq!((data.2, manifest.2), (vec![], vec![]));
}

#[tokio::test]
async fn a_connection_that_is_reset() {
    let reset = S3Effect::Reset;
    let (data, manifest) = futures::join!(fails_and_recovers(put("/a.json", reset)), fails_and_recovers(put("_manifest", reset)));
    assert_eq!((data.2, manifest.2), (vec![(0, "a".to_owned())], vec![]));
}

#[tokio::test]
async fn a_slow_bucket_is_waited_for() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    world.s3.set_faults(vec![S3Fault::always(S3Effect::Latency(Duration::from_millis(200)))]);
    world.export_all(&[]).await;
    world.verify_sealed(3);
}

#[tokio::test]
async fn a_bucket_that_is_not_there() {
    let world = World::start(&[("a", 3)]).await;
    let run = world.export(&["--export-bucket=elsewhere"]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("NoSuchBucket"), "{run:?}");
    assert_eq!(world.requests(), 0);
}

/// A listing that needs several pages shows all that is there.
#[tokio::test]
async fn short_pages_hide_nothing() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    world.s3.set_page_limit(1);
    world.export_all(&[]).await;
    world.export_all(&[]).await;
    world.verify_sealed(3);
    assert_eq!(world.asked_since(0).len(), 6);
}

/// Whoever wrote them: an object that is no answer is replaced, and a manifest that cannot be read stays.
#[tokio::test]
async fn what_others_have_written() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    let object = |text: &'static str| fakes::s3_memory::Object::bytes(text.as_bytes());
    let bucket = "exported";
    world.s3.put(bucket, &world.key(crate::world::ALIAS, 0, "a"), object("{\"status\":\"succ"));
    let newer = world.key(crate::world::ALIAS, 1, "_manifest");
    world.s3.put(bucket, &newer, object("{\"form\": 99}"));
    let run = world.export(&[]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("left alone"), "{run:?}");
    assert_eq!(world.manifest(1).unwrap()["form"], 99);
    assert!(world.s3.delete(bucket, &newer));
    world.export_all(&[]).await;
    assert_eq!(world.verify(), Hours { sealed: BTreeSet::from([0, 1, 2]), suspect: BTreeSet::new() });
}
