//! Bodies that nobody wrote: what is sent arrives, what is JSON is what `serde_json` takes for it, and damage is never mistaken for a report.

use std::sync::LazyLock;

use kube_s3_exporter::usage::payload::{RejectionKind, read};
use kube_s3_exporter::usage::report::PodUsage;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::fixtures::{agree, malformed, valid};

fn name() -> impl Strategy<Value = String> {
    vec(any::<char>().prop_map(|one| one.max(' ')), 1..60).prop_map(String::from_iter)
}

fn double() -> impl Strategy<Value = Option<f64>> {
    of(any::<f64>().prop_map(|number| if number.is_finite() { number.abs() } else { f64::MAX }))
}

fn bytes() -> impl Strategy<Value = Option<i64>> {
    of(0..=i64::MAX)
}

fn pod() -> impl Strategy<Value = PodUsage> {
    let names = (name(), name(), name(), of(name()));
    (names, double(), double(), bytes(), bytes(), bytes()).prop_map(|(names, cores, cum, memory, tx, rx)| PodUsage {
        pod_id: names.0,
        namespace: names.1,
        name: names.2,
        cpu_usage_cores: cores,
        cpu_usage_cum: cum,
        memory_usage_bytes: memory,
        net_tx_bytes: tx,
        net_rx_bytes: rx,
        pod_start_time: names.3,
    })
}

fn written(pod: &PodUsage) -> Value {
    json!({
        "pod_id": pod.pod_id,
        "namespace": pod.namespace,
        "name": pod.name,
        "cpu_usage_cores": pod.cpu_usage_cores,
        "cpu_usage_cum": pod.cpu_usage_cum,
        "memory_usage_bytes": pod.memory_usage_bytes,
        "net_tx_bytes": pod.net_tx_bytes,
        "net_rx_bytes": pod.net_rx_bytes,
        "pod_start_time": pod.pod_start_time,
    })
}

/// The bodies of the fixtures that are taken whole.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| valid().into_iter().map(|fixture| fixture.body.into_bytes()).collect());

/// All bodies of the fixtures that are not too long to be damaged often.
static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let all = malformed().into_iter().map(|fixture| fixture.body()).chain(GOOD.iter().cloned());
    all.filter(|body| body.len() < 2_000).collect()
});

/// What means something in JSON, and what may not be there.
const DAMAGE: &[u8] = b"{}[],:\"\\ -+.eE0159tfnu\n\x00\x80";

fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// What must hold for any bytes.
fn holds(body: &[u8]) {
    agree(body);
    let refused = read(body).is_err_and(|rejection| rejection.kind == RejectionKind::NotJson);
    assert_eq!(refused, !is_json(body), "{:?}", String::from_utf8_lossy(body));
}

#[test]
fn fixtures_are_json_where_serde_json_says_so() {
    BODIES.iter().for_each(|body| holds(body));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// To the last bit, whatever the escapes and the layout.
    #[test]
    fn what_is_sent_arrives(pods in vec(pod(), 0..6), node in name(), host in name(), pretty: bool, ascii: bool) {
        let report = json!({
            "timestamp": "2026-03-01T12:00:00Z",
            "node_name": node,
            "hostname": host,
            "pods": pods.iter().map(written).collect::<Vec<_>>(),
        });
        let mut body = if pretty { serde_json::to_string_pretty(&report) } else { serde_json::to_string(&report) }.unwrap();
        if ascii {
            let unit = |one: char| one.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            body = body.chars().map(|one| if one.is_ascii() { one.to_string() } else { unit(one) }).collect();
        }
        agree(body.as_bytes());
        let payload = read(body.as_bytes()).unwrap();
        prop_assert_eq!((payload.report.node_name, payload.report.hostname), (node, host));
        prop_assert_eq!((payload.report.pods, payload.dead), (pods, vec![]));
    }

    /// A body with a few bytes changed, left out or doubled.
    #[test]
    fn damage_is_told_from_json(which: prop::sample::Index, faults in vec((any::<prop::sample::Index>(), 0..3_u8, any::<u8>()), 1..4)) {
        let mut body = which.get(&BODIES).clone();
        for (place, kind, byte) in faults {
            if body.is_empty() {
                break;
            }
            let at = place.index(body.len());
            match kind {
                0 => body[at] = DAMAGE[usize::from(byte) % DAMAGE.len()],
                1 => drop(body.remove(at)),
                _ => body.insert(at, body[at]),
            }
        }
        holds(&body);
    }

    /// No beginning of a report is one.
    #[test]
    fn a_cut_is_noticed(which: prop::sample::Index, at: prop::sample::Index) {
        let body = which.get(&GOOD).trim_ascii_end();
        let cut = &body[..at.index(body.len())];
        prop_assert_eq!(read(cut).unwrap_err().kind, RejectionKind::NotJson);
    }

    /// Strings of all kinds of escapes, against `serde_json`.
    #[test]
    fn strings_say_what_serde_json_finds(pieces in vec("[a-z\u{e9}\u{1f600}\"/]|\\\\[\"\\\\/bfnrtux]|\\\\u[0-9a-fA-F]{4}|\\\\u[dD][89abAB][0-9a-f]{2}\\\\u[dD][c-fC-F][0-9a-f]{2}", 0..8)) {
        let raw = format!("\"{}\"", pieces.concat());
        let body = format!(r#"{{"timestamp":"2026-03-01T12:00:00Z","node_name":"n","hostname":{raw},"pods":[]}}"#);
        holds(body.as_bytes());
        let theirs = serde_json::from_str::<String>(&raw).ok().filter(|text| text.chars().all(|one| one >= ' '));
        if is_json(raw.as_bytes()) {
            prop_assert_eq!(read(body.as_bytes()).ok().map(|payload| payload.report.hostname), theirs);
        }
    }

    /// Numbers of all kinds, against the standard library.
    #[test]
    fn numbers_are_the_nearest_doubles(raw in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?") {
        let pod = |field: &str| format!(
            r#"{{"timestamp":"2026-03-01T12:00:00Z","node_name":"n","hostname":"h","pods":[{{"pod_id":"u","namespace":"n","name":"p","{field}":{raw}}}]}}"#
        );
        let number: f64 = raw.parse().unwrap();
        let cores = read(pod("cpu_usage_cores").as_bytes()).ok().and_then(|payload| payload.report.pods[0].cpu_usage_cores);
        prop_assert_eq!(cores.map(f64::to_bits), (number >= 0.0 && number.is_finite()).then(|| number.abs().to_bits()));
        let bytes = read(pod("net_rx_bytes").as_bytes()).ok().and_then(|payload| payload.report.pods[0].net_rx_bytes);
        let whole = raw.parse::<i128>().ok().or_else(|| (number.abs() < 1e30).then(|| format!("{:.0}", number.round()).parse().unwrap()));
        let expected = whole.filter(|_| number >= 0.0).and_then(|whole| i64::try_from(whole).ok());
        prop_assert_eq!(bytes, expected, "{}", raw);
    }
}
