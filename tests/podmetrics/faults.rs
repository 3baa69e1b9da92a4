//! Pods that do everything wrong: each is down alone, with its reason, within the time there is.

use std::time::Duration;

use fakes::pods::{Behaviour, Body, Concurrency, Fleet, FleetOptions, Pod};

use crate::support::Exporter;
use crate::world::{JOB, World, ask, failures, get, key, metric, ours, path_of, spec, timed, until};

const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// A body of many lines.
fn lines() -> Body {
    let text: String = (0..500).map(|line| format!("lines{{n=\"{line}\"}} 1\n")).collect();
    Body::text(text)
}

/// What pods do, and the reason that is told.
fn misdeeds() -> Vec<(&'static str, Behaviour, &'static str)> {
    let trickle = Behaviour::Trickle { body: lines(), chunk: 10, every: Duration::from_millis(20) };
    let bad = |text: &'static str| Behaviour::text(text);
    vec![
        ("hang", Behaviour::Hang, "timeout"),
        ("silent", Behaviour::Silent, "timeout"),
        ("trickle", trickle, "timeout"),
        ("late", Behaviour::text("late 1\n").after(Duration::from_secs(20)), "timeout"),
        ("empty-promise", Behaviour::DeclaredLength(1_000), "timeout"),
        ("reset", Behaviour::ResetAfter { body: lines(), bytes: 2_000 }, "transport"),
        ("truncated", Behaviour::Truncated { body: lines(), bytes: 2_000 }, "transport"),
        ("truncated-chunks", Behaviour::TruncatedChunks { body: lines(), bytes: 2_000 }, "transport"),
        ("not-http", Behaviour::NotHttp, "transport"),
        ("long-head", Behaviour::LongHead, "transport"),
        ("cut-within-a-line", Behaviour::CloseDelimited(Body::text("cut 1\ncut{a=\"b\"} 12")), "transport"),
        ("redirect", Behaviour::Redirect("http://127.0.0.1:1/".into()), "redirect"),
        ("status-500", Behaviour::Status(500), "status"),
        ("status-404", Behaviour::Status(404), "status"),
        ("status-204", Behaviour::Status(204), "status"),
        ("status-304", Behaviour::Status(304), "redirect"),
        ("html", Behaviour::Html, "syntax"),
        ("json", Behaviour::Serve(Body::of_type("{\"up\": 1}", "application/json")), "syntax"),
        ("protobuf", Behaviour::Serve(Body::of_type("\u{1}a", "application/vnd.google.protobuf; proto=x")), "encoding"),
        ("broken-gzip", Behaviour::BrokenGzip, "encoding"),
        ("cut-gzip", Behaviour::CutGzip(lines()), "encoding"),
        ("brotli", bad("a 1\n").with_header("Content-Encoding", "br"), "encoding"),
        ("gzip-bomb", Behaviour::GzipBomb { unpacked: 64 << 20 }, "body_size"),
        ("endless", Behaviour::Endless, "body_size"),
        ("huge", Behaviour::DeclaredLength(1 << 40), "body_size"),
        ("hexadecimal", bad("a 0x1f\n"), "syntax"),
        ("underscore", bad("a 1_000\n"), "syntax"),
        ("no-value", bad("a\n"), "syntax"),
        ("half-a-label", bad("fine 1\na{b=\"c} 1\n"), "syntax"),
        ("not-text", Behaviour::text(&b"a{b=\"\xff\xfe\"} 1\n"[..]), "syntax"),
        ("no-end", Behaviour::openmetrics("# TYPE a gauge\na 1\n"), "syntax"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misdeed_makes_one_pod_down_and_no_other() {
    let world = World::start().await;
    let mut pods = Vec::new();
    let apply = |name: &str, pod: &Pod, seconds: &str| {
        world.api.apply_pod(&spec(name, pod).label(&key("scrape-timeout-seconds"), seconds));
    };
    for (name, behaviour, reason) in misdeeds() {
        let pod = Pod::start(behaviour).await;
        // Only who shall be too late is in a hurry.
        apply(name, &pod, if reason == "timeout" { "1" } else { "25" });
        pods.push(pod);
    }
    let refusing = world.healthy("refusing").await;
    refusing.stop().await;
    let slow = Behaviour::Trickle { body: lines(), chunk: 5_000, every: Duration::from_millis(50) };
    for (name, behaviour) in [
        ("z-good", Behaviour::Serve(lines())),
        ("z-empty", Behaviour::text("")),
        ("z-slow", slow.after(Duration::from_millis(200))),
        ("z-packed", Behaviour::Chunked(lines()).gzip()),
    ] {
        let pod = Pod::start(behaviour).await;
        apply(name, &pod, "25");
        pods.push(pod);
    }
    let exporter = world.exporter(&["--podmetrics-body-limit=1MiB"]).await;
    let (answer, took) = timed(ask(&exporter, JOB)).await;
    assert!(took < Duration::from_secs(20), "{took:?}");

    let expected: Vec<(&str, &str)> =
        misdeeds().iter().map(|(name, _, reason)| (*name, *reason)).chain([("refusing", "connect")]).collect();
    let told: Vec<(&str, Option<f64>, Option<String>)> =
        expected.iter().map(|(name, _)| (*name, answer.up(name), answer.reason(name))).collect();
    let awaited: Vec<_> = expected.iter().map(|(name, reason)| (*name, Some(0.0), Some((*reason).to_owned()))).collect();
    assert_eq!(told, awaited, "{}", exporter.get("/").await.1);
    assert_eq!(answer.healthy(), ["z-empty", "z-good", "z-packed", "z-slow"]);
    for pod in ["z-good", "z-packed", "z-slow"] {
        assert_eq!(answer.samples("lines").iter().filter(|sample| sample.label("instance") == pod).count(), 500, "{pod}");
        assert_eq!(answer.value("scrape_samples_scraped", pod), Some(500.0));
    }
    // Not a line of the others, whatever of theirs was good.
    for sample in answer.samples("lines").iter().chain(&answer.samples("fine")).chain(&answer.samples("cut")) {
        assert!(sample.label("instance").starts_with("z-"), "{sample:?}");
    }
    for reason in ["timeout", "transport", "redirect", "status", "encoding", "body_size", "syntax", "connect"] {
        let count = expected.iter().filter(|(_, other)| *other == reason).count();
        assert_eq!(failures(&exporter, reason).await.to_string(), count.to_string(), "{reason}");
    }
    assert_eq!(metric(&exporter, &ours("held_bytes")).await, 0.0);
    assert_eq!(metric(&exporter, &ours("scrapes_in_progress")).await, 0.0);
}

#[tokio::test]
async fn the_target_of_a_redirect_is_never_asked() {
    let world = World::start().await;
    let target = Pod::start(Behaviour::text("stolen 1\n")).await;
    for location in [format!("http://{}/metrics", target.address()), format!("//{}/metrics", target.address())] {
        let _pod = world.pod("a", Behaviour::Redirect(location)).await;
        let exporter = world.exporter(&[]).await;
        let answer = ask(&exporter, JOB).await;
        assert_eq!(answer.reason("a").as_deref(), Some("redirect"));
        assert!(answer.samples("stolen").is_empty());
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_pod_that_recovers_is_up_again() {
    let (world, pod) = World::with_pod(Behaviour::Html).await;
    let exporter = world.exporter(&[]).await;
    for behaviour in [Behaviour::Html, Behaviour::Status(503), Behaviour::NotHttp] {
        pod.set(behaviour);
        assert_eq!(ask(&exporter, JOB).await.up("a"), Some(0.0));
        pod.set(Behaviour::text("a 1\n"));
        let answer = ask(&exporter, JOB).await;
        assert_eq!((answer.up("a"), answer.reason("a")), (Some(1.0), None));
    }
    pod.stop().await;
    assert_eq!(ask(&exporter, JOB).await.reason("a").as_deref(), Some("connect"));
    pod.resume().await;
    until(&exporter, "it listens again", |answer| answer.up("a") == Some(1.0)).await;
}

/// The pod's own time and that of the request: the smaller one counts, from the first to the last byte.
#[tokio::test]
async fn time_is_what_the_pod_and_the_request_leave() {
    let trickle = Behaviour::Trickle { body: lines(), chunk: 1, every: Duration::from_millis(10) };
    let (world, pod) = World::with_pod(trickle).await;
    let exporter = world.exporter(&[]).await;
    let time = async |label: &str, header: &'static str, expected: std::ops::Range<f64>| {
        world.api.apply_pod(&spec("a", &pod).label(&key("scrape-timeout-seconds"), label));
        let asked = async |exporter: &Exporter| {
            let (answer, took) = timed(get(exporter.address, &path_of(JOB), &[(TIMEOUT, header)])).await;
            let told: f64 = pod.requests().last()?.header(TIMEOUT).parse().unwrap();
            expected.contains(&told).then_some((answer.well(), took))
        };
        exporter.until("the label is known, and the pod is told its time", asked).await
    };
    let (answer, took) = time("0.6", "10", 0.5..0.600_001).await;
    assert_eq!(answer.reason("a").as_deref(), Some("timeout"));
    assert!(took >= Duration::from_millis(590) && took < Duration::from_secs(5), "{took:?}");
    // Half of a short time is left for sending the answer.
    let (answer, took) = time("10", "0.8", 0.2..0.400_001).await;
    assert_eq!(answer.reason("a").as_deref(), Some("timeout"));
    assert!(took >= Duration::from_millis(390) && took < Duration::from_millis(800), "{took:?}");
    let down = answer.value("scrape_duration_seconds", "a").unwrap();
    assert!((0.2..0.8).contains(&down), "{down}");
}

async fn with_thirty_percent_hanging(environment: &[(&str, &str)]) {
    let options = FleetOptions { count: 200, samples: 50, hang_percent: 30, ..Default::default() };
    let fleet = Fleet::start(&options).await.unwrap();
    let world = World { api: fleet.api, folder: tempfile::tempdir().unwrap() };
    let mut command = world.command(&["--podmetrics-allow-cidr=127.0.0.0/8"]);
    command.envs(environment.iter().copied());
    let exporter = world.exporter_of(command).await;
    // A machine that has other things to do may miss the time, but not again and again.
    for attempt in 1.. {
        let (answer, took) = timed(get(exporter.address, &path_of(JOB), &[(TIMEOUT, "3")])).await;
        let answer = answer.well();
        assert_eq!(answer.targets().len(), 200);
        let down: Vec<String> = answer.targets().into_iter().filter_map(|(name, up)| (!up).then_some(name)).collect();
        assert!(down.iter().all(|name| answer.reason(name).as_deref() == Some("timeout")));
        let scraped = answer.samples("scrape_samples_scraped");
        assert!(scraped.iter().all(|sample| sample.value == if down.contains(&sample.labels["instance"]) { "0" } else { "50" }));
        if took < Duration::from_secs(3) && down.len() == 60 {
            return;
        }
        assert!(attempt < 5, "{took:?}, and these are down: {down:?}");
    }
}

#[tokio::test]
async fn pods_that_hang_hold_up_nobody() {
    with_thirty_percent_hanging(&[]).await;
}

#[tokio::test]
async fn pods_that_hang_hold_up_nobody_with_few_workers() {
    with_thirty_percent_hanging(&[("CLIENT_WORKERS", "8")]).await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_scrapes() {
    let (world, concurrency) = (World::start().await, Concurrency::new());
    let mut pods = Vec::new();
    for name in ["a", "b", "c"] {
        let pod = Pod::start_counted(Behaviour::Hang, &concurrency).await;
        world.api.apply_pod(&spec(name, &pod).label(&key("scrape-timeout-seconds"), "600"));
        pods.push(pod);
    }
    let exporter = world.exporter(&["--podmetrics-timeout=10m"]).await;
    let (address, path) = (exporter.address, path_of(JOB));
    let client = tokio::spawn(async move { get(address, &path, &[]).await });
    exporter.until("all are asked", async |_: &Exporter| (concurrency.now() == 3).then_some(())).await;
    client.abort();
    exporter.until("nobody is asked any more", async |_: &Exporter| (concurrency.now() == 0).then_some(())).await;
    exporter.until_metric(&ours("scrapes_in_progress"), 0.0).await;
    exporter.until_metric(&ours("held_bytes"), 0.0).await;
}
