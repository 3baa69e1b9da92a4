//! Killed at any moment, and several at once: nothing is missing, nothing is wrong, and little is asked for twice.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use fakes::prometheus::{ErrorBody, Fault, Rule, When};
use fakes::s3_memory::{Probability, S3Effect, S3Fault};

use crate::world::{World, run};

const HOURS: i64 = 12;
const BACKLOG: &str = "--hours-to-backfill=12";
/// Hours that are fetched at once, and so metrics that may be under way.
const CONCURRENCY: usize = 4;

/// A backlog that takes the better part of a second.
async fn world() -> World {
    let world = World::start(&[("a", 3), ("b", 2), ("c", 1), ("never", 0)]).await;
    world.prometheus.set_latency(Duration::from_millis(20));
    world
}

/// An export that has been started.
fn begun(world: &World, args: &[&str]) -> tokio::process::Child {
    let mut command = world.command(&[&["export"], args].concat());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap()
}

/// Waits for what happens in any case, and soon.
async fn until(condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), polled).await.unwrap();
}

/// Starts an export and kills it after `life`; false if it ended before.
async fn killed_after(world: &World, args: &[&str], life: Duration) -> bool {
    let mut child = begun(world, args);
    if tokio::time::timeout(life, child.wait()).await.is_ok() {
        return false;
    }
    // SIGKILL.
    child.kill().await.unwrap();
    true
}

/// Kills exports at random points; gives how many.
async fn killed_often(world: &World, random: &mut fastrand::Rng, most: usize) -> usize {
    let mut kills = 0;
    while kills < most {
        let life = Duration::from_millis(random.u64(20..160));
        if !killed_after(world, &[BACKLOG], life).await {
            break;
        }
        kills += 1;
        // Whatever was there at that moment was right.
        world.verify();
    }
    kills
}

#[tokio::test]
async fn a_process_that_is_killed_costs_a_metric_of_an_hour_at_most() {
    for seed in 1..=3 {
        let world = world().await;
        // So that some are killed while they write.
        world.s3.set_faults(vec![S3Fault::always(S3Effect::Latency(Duration::from_millis(10 * (seed - 1))))]);
        let kills = killed_often(&world, &mut fastrand::Rng::with_seed(seed), 8).await;
        assert!(kills >= 2, "the backlog is too small for seed {seed}: {kills}");
        world.export_all(&[BACKLOG]).await;
        world.verify_sealed(HOURS);
        let mut times: BTreeMap<(i64, String), usize> = BTreeMap::new();
        for asked in world.asked_since(0) {
            *times.entry(asked).or_default() += 1;
        }
        let queries = 12 * 4;
        assert_eq!(times.len(), queries, "seed {seed}");
        assert!(times.values().all(|times| *times <= 1 + kills), "seed {seed}, {kills} kills: {times:?}");
        let asked: usize = times.values().sum();
        assert!(asked <= queries + kills * CONCURRENCY, "seed {seed}: {asked} queries with {kills} kills");
    }
}

/// Of everything a tenth fails.
fn make_unlucky(world: &World, seed: u64) {
    let unlucky = |effect, seed| S3Fault { probability: Some(Probability { p: 0.1, seed }), ..S3Fault::always(effect) };
    world.s3.set_faults(vec![unlucky(S3Effect::ResetAfter, seed), unlucky(S3Effect::Status(503, "SlowDown"), seed + 10)]);
    let fault = Fault::Status { code: 500, retry_after: None, body: ErrorBody::Text("oops") };
    world.prometheus.set_faults(vec![Rule { when: When::probability(0.1, seed), fault }]);
}

#[tokio::test]
async fn a_process_that_is_killed_in_a_world_that_fails_gets_there() {
    for seed in 4..=5 {
        let world = world().await;
        make_unlucky(&world, seed);
        killed_often(&world, &mut fastrand::Rng::with_seed(seed), 8).await;
        let mut complete = false;
        for _ in 0..10 {
            let run = world.export(&[BACKLOG]).await;
            world.verify();
            complete = run.code == Some(0);
            if complete {
                break;
            }
        }
        assert!(complete, "seed {seed}");
        world.verify_sealed(HOURS);
    }
}

#[tokio::test]
async fn two_replicas_do_not_harm_each_other() {
    for delay in [0, 0, 5, 30] {
        let world = world().await;
        world.prometheus.set_latency(Duration::from_millis(delay));
        let replica = || run(world.command(&["export", "--hours-to-backfill=6"]));
        let (one, other) = futures::join!(replica(), replica());
        assert_eq!((one.code, other.code), (Some(0), Some(0)), "{one:?} {other:?}");
        world.verify_sealed(6);
    }
}

#[tokio::test]
async fn two_replicas_get_there_in_a_world_that_fails() {
    for seed in 6..=8 {
        let world = world().await;
        make_unlucky(&world, seed);
        let replica = || run(world.command(&["export", "--hours-to-backfill=6", "--max-retries=10"]));
        let (one, other) = futures::join!(replica(), replica());
        assert_eq!((one.code, other.code), (Some(0), Some(0)), "{one:?} {other:?}");
        world.verify_sealed(6);
    }
}

/// One of them, and nobody knows which, gets a part of each answer and no word about the rest.
#[tokio::test]
async fn two_replicas_keep_the_better_answer() {
    for _ in 0..3 {
        let world = world().await;
        let of = |back| When { window_start: Some(world.hour(back)), first: Some(1), ..When::metric("a") };
        world.prometheus.set_faults((0..3).map(|back| Rule { when: of(back), fault: Fault::Partial(2) }).collect());
        world.prometheus.set_latency(Duration::from_millis(200));
        let replica = || run(world.command(&["export"]));
        let (one, other) = futures::join!(replica(), replica());
        // Unless one found what the other had stored. What has to be replaced is asked for once more.
        if world.asked_since(0).len() >= 2 * 3 * 4 {
            assert_eq!((one.code, other.code), (Some(0), Some(0)), "{one:?} {other:?}");
            world.verify_sealed(3);
        }
    }
}

/// The hours that were due in an empty bucket stay due, also if fewer would be later.
#[tokio::test]
async fn the_first_run_that_is_killed_does_not_lose_the_older_hours() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    world.prometheus.set_latency(Duration::from_millis(100));
    let mut child = begun(&world, &["--hours-to-backfill=6", "--export-concurrency=1"]);
    until(|| !world.verify().sealed.is_empty()).await;
    child.kill().await.unwrap();
    let sealed = world.verify().sealed;
    assert!(sealed.len() < 6, "it was killed too late: {sealed:?}");
    world.export_all(&["--hours-to-backfill=1"]).await;
    world.verify_sealed(6);
}

#[tokio::test]
async fn a_signal_ends_a_run_and_the_next_one_goes_on() {
    let world = world().await;
    let mut command = world.command(&["export", BACKLOG]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    until(|| world.requests() > 8).await;
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && told.contains("SIGTERM"), "{told}");
    world.export_all(&[BACKLOG]).await;
    world.verify_sealed(HOURS);
    assert!(world.asked_since(0).len() <= 12 * 4 + CONCURRENCY);
}

/// Newest first: what people wait for is there soonest, however long the backlog is.
#[tokio::test]
async fn the_newest_hours_come_first() {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    world.export_all(&["--hours-to-backfill=24", "--export-concurrency=2"]).await;
    let order: Vec<i64> = world.asked_since(0).into_iter().map(|(back, _)| back).collect();
    assert!(order.iter().enumerate().all(|(place, back)| (place as i64 / 2 - back).abs() <= 4), "{order:?}");
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 24);
    world.verify_sealed(24);
}
