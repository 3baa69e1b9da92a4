//! Everything that a Prometheus can do wrong: nothing is sealed wrongly, the table says why, and the next run makes up for it.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fakes::prometheus::{ErrorBody, Fault, MetricShape, Prometheus, Rule, When};

use crate::world::{ALIAS, Hours, World, endpoints, run};

/// While `fault` strikes one of two metrics an export fails for `reason`, asks `attempts` times an hour, and stores the other metric; without it
/// the next run asks for what is missing and for nothing else.
async fn fails_and_recovers(fault: Fault, attempts: usize, reason: &str) {
    let world = World::start(&[("a", 3), ("b", 2)]).await;
    world.strike("a", fault.clone());
    let waits = matches!(fault, Fault::Hang | Fault::StallMidBody);
    let failed = world.export(if waits { &["--timeout-seconds=1"] } else { &[] }).await;
    assert_eq!(failed.code, Some(1), "{fault:?}: {failed:?}");
    assert!(failed.stdout.contains(reason), "{fault:?} is not told as {reason}: {failed:?}");
    assert_eq!(world.verify().sealed, BTreeSet::new(), "{fault:?}");
    let of_a = world.asked_since(0).into_iter().filter(|(_, metric)| metric == "a").count();
    assert_eq!(of_a, 3 * attempts, "{fault:?}");
    for back in 0..3 {
        assert!(world.body(back, "a").is_none() && world.body(back, "b").is_some(), "{fault:?}: {back}");
    }

    world.prometheus.clear_faults();
    let before = world.requests();
    let table = world.export_all(&[]).await.stdout;
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, [ALIAS, "3", "0", "0"], "{fault:?}");
    world.verify_sealed(3);
    let asked: BTreeSet<_> = world.asked_since(before).into_iter().collect();
    assert_eq!(asked, (0..3).map(|back| (back, "a".to_owned())).collect(), "{fault:?}");
}

fn status(code: u16, text: &'static str) -> Fault {
    Fault::Status { code, retry_after: None, body: ErrorBody::Text(text) }
}

fn api(code: u16, error_type: &'static str, error: &'static str) -> Fault {
    Fault::Status { code, retry_after: None, body: ErrorBody::Api { error_type, error } }
}

macro_rules! faults {
    ($($name:ident: $fault:expr, $attempts:literal => $reason:literal;)*) => {
        $(#[tokio::test]
        async fn $name() {
            fails_and_recovers($fault, $attempts, $reason).await;
        })*
    };
}

faults! {
    an_internal_error: status(500, "oops"), 3 => "answered 500: oops";
    a_bad_gateway: status(502, "<html>Bad Gateway</html>"), 3 => "answered 502";
    a_prometheus_that_starts: api(503, "unavailable", "starting"), 3 => "unavailable: starting";
    too_many_requests: status(429, "slow down"), 3 => "answered 429: slow down";
    // Asked again it would answer the same.
    bad_data: api(400, "bad_data", "parse error"), 1 => "answered 400: bad_data: parse error";
    an_execution_error: api(422, "execution", "many-to-many matching"), 1 => "many-to-many matching";
    no_access: status(401, "Unauthorized"), 1 => "check the authentication";
    a_wrong_path: status(404, "404 page not found"), 1 => "check the path";
    a_redirect: status(302, ""), 1 => "redirects are not followed";
    a_login_page: Fault::Html, 3 => "none of a Prometheus";
    a_body_shorter_than_announced: Fault::CutBody { content_length: true }, 3 => "cut off";
    a_body_without_its_end: Fault::CutBody { content_length: false }, 3 => "cut off";
    half_a_document: Fault::CutJson, 3 => "cut off";
    an_error_in_a_200: Fault::ErrorIn200 { error_type: "internal", error: "broken block" }, 3 => "internal: broken block";
    silence: Fault::Hang, 3 => "no answer within 1 s";
    a_body_that_stalls: Fault::StallMidBody, 3 => "stopped in the middle";
    a_reset: Fault::Reset, 3 => "connection";
}

/// Faults of the moment cost a retry and nothing else.
#[tokio::test]
async fn a_fault_of_the_moment_is_retried_within_the_run() {
    let faults = [
        status(500, "oops"),
        status(429, "slow down"),
        Fault::Html,
        Fault::CutBody { content_length: true },
        Fault::CutJson,
        Fault::ErrorIn200 { error_type: "internal", error: "oops" },
        Fault::Reset,
        Fault::Hang,
        Fault::StallMidBody,
    ];
    let runs = faults.map(async |fault| {
        let world = World::start(&[("a", 3), ("b", 2)]).await;
        world.prometheus.set_faults(vec![Rule { when: When::first(2), fault }]);
        world.export_all(&["--timeout-seconds=2"]).await;
        world.verify_sealed(3);
        assert_eq!(world.asked_since(0).len(), 8);
    });
    futures::future::join_all(runs).await;
}

/// The back-off of these tests is 20 ms.
#[tokio::test]
async fn retry_after_is_honoured() {
    for code in [429, 503] {
        let world = World::start(&[("a", 3)]).await;
        let fault = Fault::Status { code, retry_after: Some(1), body: ErrorBody::Text("later") };
        world.prometheus.set_faults(vec![Rule { when: When::first(1), fault }]);
        let start = Instant::now();
        world.export_all(&["--hours-to-backfill=1"]).await;
        assert!(start.elapsed() >= Duration::from_secs(1), "{code}: {:?}", start.elapsed());
        world.verify_sealed(1);
    }
}

/// Longer than a metric may take: the run ends now, and does not wait.
#[tokio::test]
async fn an_absurd_retry_after_is_not_waited_for() {
    let world = World::start(&[("a", 3)]).await;
    let fault = Fault::Status { code: 503, retry_after: Some(u64::MAX), body: ErrorBody::Text("later") };
    world.strike("a", fault);
    assert_eq!(world.export(&[]).await.code, Some(1));
    world.prometheus.clear_faults();
    world.export_all(&[]).await;
    world.verify_sealed(3);
}

#[tokio::test]
async fn an_answer_that_trickles_is_cut_by_the_deadline() {
    let world = World::start(&[("a", 30)]).await;
    world.strike("a", Fault::Slow { bytes: 1, every: Duration::from_millis(100) });
    let run = world.export(&["--export-deadline=1s", "--timeout-seconds=0.5"]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("deadline of 1 s"), "{run:?}");
    assert_eq!(world.verify(), Hours::default());
    // Slow, and quick enough.
    world.strike("a", Fault::Slow { bytes: 200, every: Duration::from_millis(20) });
    world.export_all(&[]).await;
    world.verify_sealed(3);
}

#[tokio::test]
async fn a_prometheus_that_is_down_is_told_and_made_up_for() {
    let world = World::start(&[("a", 3)]).await;
    world.prometheus.stop_listening().await;
    let run = world.export(&[]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains(&world.prometheus.endpoint()) && run.stdout.contains("refused"), "{run:?}");
    // A source that did not answer has said nothing about any hour.
    assert_eq!(world.objects().len(), 0);
    world.prometheus.resume().await;
    world.export_all(&[]).await;
    world.verify_sealed(3);
}

/// The hour before it is whole.
#[tokio::test]
async fn a_fault_of_one_hour_is_that_hours_alone() {
    let world = World::start(&[("a", 3)]).await;
    world.prometheus.set_faults(vec![Rule { when: When::window_start(world.hour(1)), fault: status(500, "oops") }]);
    let run = world.export(&[]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(world.verify().sealed, BTreeSet::from([0, 2]));
    let row: Vec<&str> = run.stdout.lines().nth(1).unwrap().split_whitespace().take(4).collect();
    assert_eq!(row, [ALIAS, "2", "0", "1"]);
}

#[tokio::test]
async fn an_endpoint_that_hangs_does_not_delay_the_other() {
    let world = World::start(&[("a", 3)]).await;
    let quick = Prometheus::start().await;
    quick.set_metric("a", MetricShape { series: 5, padding: 0 });
    world.strike("a", Fault::Hang);
    let mut command = world.command(&["export", "--timeout-seconds=120", "--max-retries=0"]);
    command.env("PROM_ENDPOINTS", endpoints(&[(ALIAS, &world.prometheus), ("quick", &quick)]));
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
    let complete = async {
        while !(0..3).all(|back| world.objects().contains_key(&world.key("quick", back, "_manifest"))) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), complete).await.unwrap();
    assert_eq!(child.try_wait().unwrap(), None);
    assert_eq!(world.verify_alias("quick", &quick).sealed, BTreeSet::from([0, 1, 2]));
    assert_eq!(world.verify(), Hours::default());
    // The one that hangs goes away, and the run ends with what it has.
    world.prometheus.stop_listening().await;
    let output = child.wait_with_output().await.unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{table}");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    assert!(rows.contains(&vec![ALIAS, "0", "0", "3"]) && rows.contains(&vec!["quick", "3", "0", "0"]), "{table}");
}

/// As it is written in many a config map.
#[tokio::test]
async fn the_base_url_is_enough() {
    let world = World::start(&[("a", 3)]).await;
    let mut command = world.command(&["export"]);
    command.env("PROM_ENDPOINTS", format!("{{\"{ALIAS}\": \"{}/\"}}", world.prometheus.endpoint()));
    let run = run(command).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    world.verify_sealed(3);
}
