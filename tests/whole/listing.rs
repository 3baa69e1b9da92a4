//! A bucket of many pages, listed in ranges, from servers that are odd or failing: counted exactly or not at all.

use std::time::Duration;

use fakes::s3_pages::{
    ClusterTimestamp, Counters, DateTree, Explicit, Fault, FaultRule, KeySpace, LongPrefix, NonAscii, OneHuge, S3Pages, Uuids,
    When,
};

use crate::support::{Exporter, Metrics};

fn scan(name: &str) -> String {
    format!("s3exporter_scan_{name}{{bucket=\"b\"}}")
}

const FAILED: &str = "s3exporter_scan_runs_total{bucket=\"b\",outcome=\"failure\"}";
const DENIED: &str = "s3exporter_scan_errors_total{bucket=\"b\",reason=\"access_denied\"}";

async fn exporter(server: &S3Pages, more: &[&str]) -> Exporter {
    let endpoint = format!("-endpoint={}", server.endpoint());
    let mut args = vec![endpoint.as_str(), "-bucket=b", "--anonymous", "--cluster-pattern=^(?P<cluster>[^-]*)"];
    args.extend(more);
    Exporter::start(&args).await
}

/// Every object of the bucket, whoever owns it.
fn counted(metrics: &Metrics) -> f64 {
    let sum = |name: &str| -> f64 {
        let lines = metrics.0.lines().filter(|line| line.starts_with(&format!("{name}{{bucket=\"b\"")));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    sum("s3exporter_inventory_objects") + sum("s3exporter_inventory_orphan_objects")
}

/// What the first complete scan counts, and the first that begins from what it has taught.
async fn is_counted_twice(space: impl KeySpace + 'static, faults: &[FaultRule], ways: &str) -> Metrics {
    let objects = space.len() as f64;
    let server = S3Pages::start(space).await;
    faults.iter().for_each(|fault| server.fault(fault.clone()));
    let exporter = exporter(&server, &[&format!("--list-concurrency={ways}")]).await;
    let first = exporter.until_metric("kubermatic_s3_query_success", 1.0).await;
    assert_eq!(counted(&first), objects, "{faults:?}");
    let again = exporter.until_scanned_again("b").await;
    assert_eq!(counted(&again), objects, "{faults:?}");
    assert!(server.concurrent_max() <= ways.parse().unwrap());
    again
}

#[tokio::test]
async fn each_key_space_is_counted() {
    let spaces: [Box<dyn KeySpace>; 7] = [
        Box::new(ClusterTimestamp::new(120, 100)),
        Box::new(Uuids { count: 12_000 }),
        Box::new(DateTree { hours: 24, per_hour: 500 }),
        Box::new(Counters { count: 12_000 }),
        Box::new(OneHuge::new(100, 12, 10_800)),
        Box::new(LongPrefix { count: 5_500 }),
        Box::new(NonAscii { per_name: 1_200 }),
    ];
    for space in spaces {
        let metrics = is_counted_twice(space, &[], "8").await;
        assert_eq!((metrics.value(FAILED), metrics.value(&scan("fallbacks_total"))), (Some(0.0), Some(0.0)));
    }
}

fn always(fault: Fault) -> [FaultRule; 1] {
    [FaultRule { when: When::Always, fault }]
}

#[tokio::test]
async fn odd_servers_are_counted_exactly() {
    for (fault, falls_back) in [
        (Fault::IgnoreStartAfter, true),
        (Fault::OutOfOrder, true),
        (Fault::SkipAfterSyntheticStartAfter, false),
        (Fault::ShortPages(90), false),
        (Fault::EmptyTruncatedPages(100), false),
        (Fault::RepeatLastKey, false),
        (Fault::NoNextToken, false),
    ] {
        let metrics = is_counted_twice(ClusterTimestamp::new(60, 100), &always(fault.clone()), "8").await;
        let fallbacks = metrics.value(&scan("fallbacks_total")).unwrap();
        assert_eq!(fallbacks > 0.0, falls_back, "{fault:?}: {fallbacks}");
    }
    let both = [Fault::IgnoreStartAfter, Fault::RepeatLastKey].map(|fault| FaultRule { when: When::Always, fault });
    is_counted_twice(ClusterTimestamp::new(60, 100), &both, "8").await;
}

/// While a scan runs, the page says how far it is.
#[tokio::test]
async fn a_running_scan_shows_its_progress() {
    let server = S3Pages::start(ClusterTimestamp::new(120, 100)).await;
    server.set_latency(Duration::from_millis(100));
    let exporter = exporter(&server, &["--list-concurrency=2"]).await;
    let progress = async |exporter: &Exporter| {
        let (_, page) = exporter.get("/").await;
        let told = page.split("Scanning now: ").nth(1)?.split(' ').next()?.replace(',', "");
        told.parse::<u64>().ok().filter(|seen| (1_000..12_000).contains(seen))
    };
    exporter.until("the page tells a part of the objects", progress).await;
    let seen = exporter.metrics().await.value(&scan("objects_seen")).unwrap();
    assert!(seen >= 1_000.0, "{seen}");
}

/// Each request has its own attempts: were they counted for the scan as a whole, a scan of so many faults would fail.
#[tokio::test]
async fn faults_of_the_moment_are_retried_range_by_range() {
    let faults = [
        Fault::Status(500, "InternalError"),
        Fault::ResetMidBody,
        Fault::CutBody,
        Fault::InvalidXml,
        Fault::ErrorDocument200("InternalError"),
        Fault::EmptyBody200,
    ];
    for fault in faults {
        let rule = FaultRule { when: When::EveryNth(4), fault: fault.clone() };
        let metrics = is_counted_twice(ClusterTimestamp::new(200, 100), &[rule], "16").await;
        assert_eq!(metrics.value(FAILED), Some(0.0), "{fault:?}");
        assert!(metrics.value(&scan("requests_total")) > metrics.value(&scan("pages_total")), "{fault:?}");
    }
}

#[tokio::test]
async fn a_range_that_stalls_is_asked_for_again() {
    let rule = FaultRule { when: When::OnRequest(9), fault: Fault::HangMidBody(0.5) };
    let metrics = is_counted_twice(ClusterTimestamp::new(120, 100), &[rule], "8").await;
    assert_eq!(metrics.value(FAILED), Some(0.0));
}

#[tokio::test]
async fn a_range_that_is_refused_fails_the_scan() {
    let server = S3Pages::start(ClusterTimestamp::new(120, 100)).await;
    server.fault(FaultRule { when: When::OnRequest(6), fault: Fault::Status(403, "AccessDenied") });
    let exporter = exporter(&server, &["--list-concurrency=8"]).await;
    let metrics = exporter.until_metric(DENIED, 1.0).await;
    assert_eq!(metrics.value(FAILED), Some(1.0));
    assert_eq!(counted(&exporter.until_metric("kubermatic_s3_query_success", 1.0).await), 12_000.0);
}

#[tokio::test]
async fn a_bucket_of_one_page_costs_one_request_a_scan() {
    let server = S3Pages::start(Explicit::keys((0..1_000).map(|number| format!("prod-{number:04}")))).await;
    let exporter = exporter(&server, &["--list-price=7.8125"]).await;
    let metrics = exporter.until_scanned_again("b").await;
    let scans = metrics.value("s3exporter_scan_runs_total{bucket=\"b\",outcome=\"success\"}").unwrap();
    let requests = metrics.value(&scan("requests_total")).unwrap();
    assert!(requests == scans || requests == scans + 1.0, "{requests} requests in {scans} scans");
    assert_eq!(metrics.value(&scan("estimated_cost_dollars_total")), Some(requests * 0.007_812_5));
}

#[tokio::test]
async fn a_server_that_is_too_slow_is_asked_less_at_once() {
    let server = S3Pages::start(ClusterTimestamp::new(400, 100)).await;
    server.set_latency(Duration::from_millis(20));
    let exporter = exporter(&server, &["--list-concurrency=32"]).await;
    exporter.until_metric("kubermatic_s3_query_success", 1.0).await;
    server.fault(FaultRule { when: When::EveryNth(3), fault: Fault::Status(503, "SlowDown") });
    let slow = async |exporter: &Exporter| {
        let concurrency = exporter.metrics().await.value(&scan("concurrency"))?;
        (concurrency <= 16.0).then_some(concurrency)
    };
    assert!(exporter.until("half as many requests run side by side", slow).await >= 1.0);
    assert_eq!(counted(&exporter.until_scanned_again("b").await), 40_000.0);
}
