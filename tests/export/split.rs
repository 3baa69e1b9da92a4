//! What is too much for one query is asked for in parts, and stored as if it had been one. Large answers go to S3 in parts as well.

use std::collections::BTreeSet;

use fakes::prometheus::{Fault, MetricShape, Rule, When};
use fakes::s3_memory::{Probability, S3Effect, S3Fault, S3Request};

use crate::world::{ALIAS, Hours, World, parameter, parsed};

/// Under `limit` the export is complete, with the same documents as without it. Gives the queries of the newest hour.
async fn stored_in_spite_of(limit: Fault, series: usize, step: i64) -> BTreeSet<(String, String, String)> {
    let mut world = World::start(&[("a", series), ("b", 2)]).await;
    world.step = step;
    world.strike("a", limit.clone());
    world.export_all(&[]).await;
    for back in 0..3 {
        assert_eq!(parsed(&world.body(back, "a").unwrap()), parsed(&world.answer(back, "a")), "{limit:?}");
        assert_eq!(world.manifest(back).unwrap()["state"], "sealed");
        let entry = &world.manifest(back).unwrap()["metrics"]["a"];
        assert_eq!(entry["series"], series, "{limit:?}");
        assert_eq!(entry["samples"], series as i64 * 3_600 / step, "{limit:?}");
    }
    let requests = world.prometheus.requests();
    let of_newest = requests.iter().filter(|request| {
        let start = parameter(request, "start").parse::<i64>().unwrap_or_default();
        request.path == "/api/v1/query_range" && start >= world.hour(0)
    });
    of_newest.map(|request| (parameter(request, "query"), parameter(request, "start"), parameter(request, "end"))).collect()
}

#[tokio::test]
async fn limits_on_samples_split_by_time() {
    // 12 steps of 40 series; a quarter of them is taken.
    for limit in [Fault::SampleLimit { max: 120 }, Fault::TimeoutAbove { samples: 120 }, Fault::ResolutionLimit { max_steps: 2 }]
    {
        let asked = stored_in_spite_of(limit.clone(), 40, 300).await;
        // By halves: the whole, 2 halves, 4 quarters; and the other metric. No label was needed.
        assert_eq!(asked.len(), 1 + 2 + 4 + 1, "{limit:?}: {asked:?}");
        assert!(asked.iter().all(|(query, ..)| query == "a" || query == "b"), "{limit:?}: {asked:?}");
    }
}

#[tokio::test]
async fn limits_on_a_single_step_split_by_label() {
    let asked = stored_in_spite_of(Fault::SampleLimit { max: 10 }, 40, 3_600).await;
    assert!(asked.iter().any(|(query, ..)| query.contains("!~")), "{asked:?}");
    stored_in_spite_of(Fault::TimeoutAbove { samples: 10 }, 37, 3_600).await;
}

#[tokio::test]
async fn limits_split_by_time_and_then_by_label() {
    stored_in_spite_of(Fault::SampleLimit { max: 9 }, 30, 900).await;
}

#[tokio::test]
async fn a_limit_that_no_part_keeps_to_is_told() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    world.strike("a", Fault::SampleLimit { max: 0 });
    let run = world.export(&[]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("too many samples"), "{run:?}");
    assert_eq!(world.verify(), Hours::default());
    // It does not go on for ever, nor is it retried.
    assert!(world.asked_since(0).len() < 3 * 130, "{}", world.asked_since(0).len());
    world.prometheus.clear_faults();
    world.export_all(&[]).await;
    world.verify_sealed(3);
}

/// A part that fails later is no reason to leave it out.
#[tokio::test]
async fn a_part_that_is_cut_off_is_not_left_out() {
    let mut world = World::start(&[("a", 40)]).await;
    world.step = 300;
    let later = When { window_start: Some(world.hour(0) + 1_800), ..When::default() };
    let limit = Rule { when: When::always(), fault: Fault::ResolutionLimit { max_steps: 6 } };
    for fault in [Fault::CutJson, Fault::CutBody { content_length: false }, Fault::Reset, Fault::Html] {
        world.prometheus.set_faults(vec![limit.clone(), Rule { when: later.clone(), fault: fault.clone() }]);
        let run = world.export(&["--hours-to-backfill=1"]).await;
        assert_eq!(run.code, Some(1), "{fault:?}: {run:?}");
        assert_eq!(world.body(0, "a"), None, "{fault:?}");
    }
    world.prometheus.set_faults(vec![limit]);
    world.export_all(&["--hours-to-backfill=1"]).await;
    assert_eq!(parsed(&world.body(0, "a").unwrap()), parsed(&world.answer(0, "a")));
}

/// Twelve megabytes, where parts have eight.
async fn large() -> World {
    let world = World::start(&[("a", 1), ("b", 2)]).await;
    world.prometheus.set_metric("a", MetricShape { series: 20_000, padding: 500 });
    world
}

/// Uploads that were begun, completed, and given up.
fn uploads(world: &World) -> [usize; 3] {
    let requests = world.s3.requests();
    let count = |method: &str, part: &str| {
        let counted = |request: &&S3Request| request.method == method && request.path_and_query.contains(part);
        requests.iter().filter(counted).count()
    };
    [count("POST", "uploads"), count("POST", "uploadId="), count("DELETE", "uploadId=")]
}

#[tokio::test]
async fn a_large_answer_is_stored_in_parts() {
    let world = large().await;
    world.export_all(&["--hours-to-backfill=2"]).await;
    assert!(world.body(0, "a").unwrap().len() > 8 << 20);
    world.verify_sealed(2);
    assert_eq!(uploads(&world), [2, 2, 0]);
}

/// Ended before the end of the answer, in the second part.
#[tokio::test]
async fn a_large_answer_that_is_cut_off_is_never_seen() {
    let world = large().await;
    world.prometheus.set_metric("a", MetricShape { series: 32_000, padding: 500 });
    for fault in [Fault::CutBody { content_length: true }, Fault::CutJson] {
        world.strike("a", fault.clone());
        let run = world.export(&["--hours-to-backfill=1", "--max-retries=1"]).await;
        assert_eq!(run.code, Some(1), "{fault:?}: {run:?}");
        assert!(run.stdout.contains("cut off"), "{run:?}");
        assert!(!world.objects().contains_key(&world.key(ALIAS, 0, "a")), "{fault:?}");
    }
    // Parts of what was given up would stay, unseen and paid for.
    let [begun, completed, given_up] = uploads(&world);
    assert_eq!((begun, completed, given_up), (4, 0, 4));
    world.prometheus.clear_faults();
    world.export_all(&["--hours-to-backfill=1"]).await;
    world.verify_sealed(1);
}

/// The answers to half of the posts are lost: those that begin an upload, and those that complete it.
#[tokio::test]
async fn a_large_answer_is_stored_although_answers_of_s3_are_lost() {
    for seed in 1..=4 {
        let world = large().await;
        let probability = Some(Probability { p: 0.5, seed });
        world.s3.set_faults(vec![S3Fault { method: Some("POST"), probability, ..S3Fault::always(S3Effect::ResetAfter) }]);
        let mut runs = 1;
        while world.export(&["--hours-to-backfill=1"]).await.code != Some(0) {
            runs += 1;
            assert!(runs <= 5, "seed {seed}");
        }
        world.verify_sealed(1);
    }
}

/// Large or not, what is there is replaced by what is better.
#[tokio::test]
async fn a_large_answer_replaces_and_is_replaced() {
    let world = large().await;
    let rule = |fault| Rule { when: When::metric("a"), fault };
    let warnings = || rule(Fault::Warnings(vec!["a store is down".to_owned()]));
    for (faults, series) in [
        (vec![warnings(), rule(Fault::Partial(2))], 10_000),
        (vec![warnings()], 20_000),
        (vec![warnings(), rule(Fault::Empty)], 20_000),
    ] {
        world.prometheus.set_faults(faults);
        world.export(&["--hours-to-backfill=1", "--recheck=9"]).await;
        let manifest = world.manifest(0).unwrap();
        assert_eq!((&manifest["state"], &manifest["metrics"]["a"]["series"]), (&"suspect".into(), &series.into()));
    }
    world.prometheus.clear_faults();
    world.export_all(&["--hours-to-backfill=1", "--recheck=9"]).await;
    world.verify_sealed(1);
}
