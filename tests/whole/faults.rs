//! Everything that a server can do wrong: the process lives, says which bucket and why, publishes nothing false, and recovers by itself.

use std::time::{Duration, Instant};

use fakes::s3_pages::{Explicit, Fault, FaultRule, S3Pages, When};

use crate::support::Exporter;

const OBJECTS: &str = "kubermatic_s3_object_count{cluster=\"prod\"}";

fn keys(count: usize) -> Explicit {
    Explicit::keys((0..count).map(|number| format!("prod-{number:06}")))
}

fn errors(reason: &str) -> String {
    format!("s3exporter_scan_errors_total{{bucket=\"b\",reason=\"{reason}\"}}")
}

async fn exporter(server: &S3Pages, more: &[&str]) -> Exporter {
    let endpoint = format!("-endpoint={}", server.endpoint());
    let mut args = vec![endpoint.as_str(), "-bucket=b", "--cluster=prod", "-access-key-id=a", "-secret-access-key=b"];
    args.extend(more);
    Exporter::start(&args).await
}

/// Under `fault` a scan fails for `reason` while the last complete result stays; without it scans succeed again.
async fn fails_and_recovers(fault: Fault, reason: &str) {
    let server = S3Pages::start(keys(1_500)).await;
    let exporter = exporter(&server, &[]).await;
    exporter.until_metric(OBJECTS, 1_500.0).await;

    server.set_key_space(keys(2_000));
    server.fault(FaultRule { when: When::Always, fault: fault.clone() });
    let failed = exporter
        .until(&format!("{fault:?} is counted as {reason}"), async |exporter: &Exporter| {
            let metrics = exporter.metrics().await;
            (metrics.value(&errors(reason))? > 0.0).then_some(metrics)
        })
        .await;
    assert_eq!(failed.value("kubermatic_s3_query_success"), Some(0.0), "{fault:?}");
    // A scan that had begun before the fault may have seen all that is new.
    assert!([1_500.0, 2_000.0].contains(&failed.value(OBJECTS).unwrap()), "{fault:?}");
    let log = exporter.log_lines();
    let told = log.iter().any(|line| line.contains("\"bucket\":\"b\"") && line.contains(&format!("\"reason\":\"{reason}\"")));
    assert!(told, "{fault:?} is not in the log: {log:?}");

    server.clear_faults();
    let recovered = exporter.until_metric("kubermatic_s3_query_success", 1.0).await;
    assert_eq!(recovered.value(OBJECTS), Some(2_000.0), "{fault:?}");
}

macro_rules! faults {
    ($($name:ident: $fault:expr => $reason:literal;)*) => {
        $(#[tokio::test]
        async fn $name() {
            fails_and_recovers($fault, $reason).await;
        })*
    };
}

faults! {
    access_denied: Fault::Status(403, "AccessDenied") => "access_denied";
    a_wrong_secret: Fault::Status(403, "SignatureDoesNotMatch") => "access_denied";
    a_missing_bucket: Fault::Status(404, "NoSuchBucket") => "no_such_bucket";
    slow_down: Fault::Status(503, "SlowDown") => "throttled";
    slow_down_in_a_200: Fault::ErrorDocument200("SlowDown") => "throttled";
    retry_after_beyond_the_limit: Fault::RetryAfter(429, 600) => "throttled";
    an_internal_error: Fault::Status(500, "InternalError") => "server_error";
    a_reset_in_the_body: Fault::ResetMidBody => "connection";
    a_body_that_is_cut_off: Fault::CutBody => "invalid_response";
    invalid_xml: Fault::InvalidXml => "invalid_response";
    a_login_page: Fault::Html200 => "invalid_response";
    an_empty_body: Fault::EmptyBody200 => "invalid_response";
    an_endless_body: Fault::EndlessBody => "invalid_response";
    a_redirect: Fault::Redirect("http://127.0.0.1:9/".into()) => "invalid_response";
}

#[tokio::test]
async fn a_fault_of_the_moment_is_retried_within_the_scan() {
    let server = S3Pages::start(keys(2_500)).await;
    for fault in [Fault::Status(503, "SlowDown"), Fault::CutBody, Fault::ResetMidBody] {
        server.fault(FaultRule { when: When::Times(2), fault });
        let exporter = exporter(&server, &[]).await;
        let metrics = exporter.until_metric(OBJECTS, 2_500.0).await;
        assert_eq!(metrics.value("s3exporter_scan_runs_total{bucket=\"b\",outcome=\"failure\"}"), Some(0.0));
        server.clear_faults();
    }
}

/// Of a server that has to be listed by token.
#[tokio::test]
async fn a_token_that_is_missing_or_does_not_move_is_noticed() {
    for fault in [Fault::SameToken, Fault::NoNextToken] {
        let server = S3Pages::start(keys(3_500)).await;
        server.fault(FaultRule { when: When::Always, fault: Fault::IgnoreStartAfter });
        server.fault(FaultRule { when: When::Always, fault });
        let exporter = exporter(&server, &[]).await;
        exporter.until_metric(&errors("invalid_response"), 1.0).await;
        assert!(exporter.metrics().await.value(OBJECTS).is_none());
    }
}

#[tokio::test]
async fn odd_but_honest_servers_are_counted_exactly() {
    for fault in [
        Fault::ShortPages(7),
        Fault::EmptyTruncatedPages(30),
        Fault::EncodingTypeAfterKeys,
        Fault::OutOfOrder,
        Fault::IgnoreStartAfter,
    ] {
        let server = S3Pages::start(Explicit::keys((0..1_200).map(|number| format!("prod-ä {number:04}%+")))).await;
        server.fault(FaultRule { when: When::Always, fault: fault.clone() });
        let exporter = exporter(&server, &[]).await;
        let metrics = exporter.until_metric("kubermatic_s3_query_success", 1.0).await;
        assert_eq!(metrics.value(OBJECTS), Some(1_200.0), "{fault:?}");
    }
}

#[tokio::test]
async fn a_bucket_in_another_region_is_followed_or_told() {
    let server = S3Pages::start(keys(10)).await;
    server.fault(FaultRule { when: When::Times(1), fault: Fault::Status(400, "AuthorizationHeaderMalformed") });
    let following = exporter(&server, &[]).await;
    following.until_metric(OBJECTS, 10.0).await;
    assert!(following.log_lines().iter().any(|line| line.contains("following it there") && line.contains("eu-central-1")));

    server.fault(FaultRule { when: When::Always, fault: Fault::Status(301, "PermanentRedirect") });
    let told = exporter(&server, &["--region=us-west-2"]).await;
    told.until_metric(&errors("wrong_region"), 1.0).await;
    assert!(told.log_lines().iter().any(|line| line.contains("eu-central-1")));
}

#[tokio::test]
async fn a_refused_connection_is_told_and_recovered_from() {
    let server = S3Pages::start(keys(10)).await;
    server.stop_listening().await;
    let exporter = exporter(&server, &[]).await;
    let metrics = exporter.until_metric(&errors("connection"), 1.0).await;
    assert_eq!(metrics.value("kubermatic_s3_query_success"), Some(0.0));
    assert!(metrics.value(OBJECTS).is_none());
    server.resume().await;
    exporter.until_metric(OBJECTS, 10.0).await;
}

/// Servers that stall, side by side since each takes the better part of a minute.
#[tokio::test]
async fn a_scan_of_a_stalled_server_fails_within_a_minute() {
    let start = Instant::now();
    let faults = [Fault::HangBeforeHeaders, Fault::HangMidBody(0.5), Fault::Trickle];
    let scans = faults.map(async |fault| {
        let server = S3Pages::start(keys(1_500)).await;
        server.fault(FaultRule { when: When::Always, fault });
        let exporter = exporter(&server, &[]).await;
        exporter.until_metric(&errors("timeout"), 1.0).await;
        server.clear_faults();
        exporter.until_metric(OBJECTS, 1_500.0).await;
    });
    futures::future::join_all(scans).await;
    assert!(start.elapsed() < Duration::from_secs(70), "{:?}", start.elapsed());
}

/// A clock that is far off, or malice: the process neither waits for ever nor dies.
#[tokio::test]
async fn an_absurd_retry_after_is_survived() {
    let server = S3Pages::start(keys(10)).await;
    server.fault(FaultRule { when: When::Times(1), fault: Fault::RetryAfter(503, u64::MAX) });
    let exporter = exporter(&server, &[]).await;
    let metrics = exporter.until_metric(OBJECTS, 10.0).await;
    assert_eq!(metrics.value(&errors("throttled")), Some(1.0));
}

#[tokio::test]
async fn a_scan_that_takes_too_long_fails() {
    let server = S3Pages::start(keys(5_000)).await;
    server.set_latency(Duration::from_millis(100));
    let exporter = exporter(&server, &["--scan-deadline=250ms"]).await;
    exporter.until_metric(&errors("deadline"), 1.0).await;
    assert!(exporter.metrics().await.value(OBJECTS).is_none());
}

#[tokio::test]
async fn a_broken_bucket_does_not_take_the_others_off_the_air() {
    let (good, bad) = (S3Pages::start(keys(10)).await, S3Pages::start(keys(10)).await);
    bad.fault(FaultRule { when: When::Always, fault: Fault::Status(403, "AccessDenied") });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let yaml = format!(
        "s3: {{anonymous: true}}\ninventory: {{clusters: [prod], buckets: [{{bucket: good, s3: {{endpoint: '{}', anonymous: true}}}}, \
         {{bucket: bad, s3: {{endpoint: '{}', anonymous: true}}}}]}}\n",
        good.endpoint(),
        bad.endpoint()
    );
    std::fs::write(&file, yaml).unwrap();
    let exporter = Exporter::start(&["--config", file.to_str().unwrap()]).await;
    exporter
        .until("it is ready in spite of the broken bucket", async |exporter: &Exporter| {
            let (status, text) = exporter.get("/readyz").await;
            assert!(status == 200 || text.contains("waiting for the first scan of"), "{text}");
            (status == 200).then_some(())
        })
        .await;
    let metrics = exporter.metrics().await;
    assert!(metrics.value("s3exporter_scan_runs_total{bucket=\"bad\",outcome=\"failure\"}").unwrap() >= 3.0);
    assert_eq!(metrics.value("s3exporter_inventory_objects{bucket=\"good\",cluster=\"prod\"}"), Some(10.0));
    let (status, health) = exporter.get("/health").await;
    assert_eq!(status, 503);
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["status"], "unhealthy");
    assert_eq!(health["inventory"]["buckets"]["bad"]["reason"], "access_denied");
    assert_eq!(health["inventory"]["buckets"]["good"]["state"], "healthy");
}
