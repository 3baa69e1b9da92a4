//! The reader of reports: it refuses as not JSON what `serde_json` refuses, checking and reading agree, and what is taken keeps the bounds.
#![no_main]

use kube_s3_exporter::usage::payload::{LONGEST_ENTRY, RejectionKind, check, read};
use kube_s3_exporter::usage::report::PodUsage;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fn text(text: &str, least: usize) -> bool {
    (least..=253).contains(&text.chars().count()) && text.chars().all(|one| one >= ' ')
}

fn number(number: Option<f64>) -> bool {
    number.is_none_or(|number| number.is_finite() && number.is_sign_positive())
}

fn within_bounds(pod: &PodUsage) -> bool {
    [&pod.pod_id, &pod.namespace, &pod.name].iter().all(|name| text(name, 1))
        && pod.pod_start_time.as_ref().is_none_or(|time| text(time, 1))
        && [pod.cpu_usage_cores, pod.cpu_usage_cum].into_iter().all(number)
        && [pod.memory_usage_bytes, pod.net_tx_bytes, pod.net_rx_bytes].iter().flatten().all(|&bytes| bytes >= 0)
}

fn told(reason: &str) {
    assert!(!reason.is_empty() && reason.len() < 800 && !reason.contains(char::is_control), "{reason:?}");
}

fuzz_target!(|body: &[u8]| {
    let json = std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let payload = match (check(body), read(body)) {
        (Ok(checked), Ok(payload)) => {
            let report = &payload.report;
            assert_eq!((&*checked.node_name, &*checked.timestamp), (&*report.node_name, &*report.timestamp));
            assert_eq!((checked.collected_at, checked.pods, &checked.dead), (report.collected_at, report.pods.len(), &payload.dead));
            payload
        }
        (checked, payload) => {
            let rejection = payload.expect_err("it was refused when checked");
            assert_eq!(checked.as_ref(), Err(&rejection));
            assert_eq!(rejection.kind == RejectionKind::NotJson, !json, "{rejection}");
            return told(&rejection.to_string());
        }
    };
    assert!(json);
    let report = payload.report;
    assert!(text(&report.node_name, 1) && text(&report.timestamp, 1) && text(&report.hostname, 0));
    assert!(report.ec2_instance_id.is_none_or(|id| text(&id, 1)) && number(report.interval_seconds));
    // 1970 to 9999.
    assert!((0..253_402_300_800_000_000).contains(&report.collected_at));
    assert!(report.pods.iter().all(within_bounds));
    assert!(payload.dead.is_empty() || !report.pods.is_empty());
    for letter in payload.dead {
        told(&letter.reason);
        assert!(letter.field.starts_with(&format!("pods[{}]", letter.index)) && letter.entry.len() <= LONGEST_ENTRY);
        assert!(letter.entry.len() > LONGEST_ENTRY - 4 || serde_json::from_str::<IgnoredAny>(&letter.entry).is_ok());
    }
});
