//! Rules of the reader that are about more than one field.

use kube_s3_exporter::usage::payload::{LONGEST_ENTRY, MOST_PODS, RejectionKind, read};
use kube_s3_exporter::usage::report::PodUsage;

fn report(pods: &str) -> String {
    format!(r#"{{"timestamp":"2026-03-01T12:00:00Z","node_name":"node-1","hostname":"h","pods":[{pods}]}}"#)
}

const POD: &str = r#"{"pod_id":"u","namespace":"n","name":"p"}"#;

#[test]
fn every_field_arrives() {
    let body = r#"{"timestamp":"2026-03-01T12:00:00.5+01:00","node_name":"node-\u0031","hostname":"h\ud83d\ude00","ec2_instance_id":"i-1",
        "interval_seconds":30.5,"extra":{"pods":[]},"pods":[{"pod_id":"u","namespace":"n","name":"p","cpu_usage_cores":0.1,"cpu_usage_cum":2e3,
        "memory_usage_bytes":3.5,"net_tx_bytes":4,"net_rx_bytes":9223372036854775807,"pod_start_time":"2026-02-27T08:15:42Z"}]}"#;
    let payload = read(body.as_bytes()).unwrap();
    let report = payload.report;
    assert_eq!(report.timestamp, "2026-03-01T12:00:00.5+01:00");
    assert_eq!(report.collected_at, 1_772_362_800_500_000);
    assert_eq!((report.node_name.as_str(), report.hostname.as_str()), ("node-1", "h\u{1f600}"));
    assert_eq!((report.ec2_instance_id.as_deref(), report.interval_seconds), (Some("i-1"), Some(30.5)));
    let pod = PodUsage {
        pod_id: "u".to_owned(),
        namespace: "n".to_owned(),
        name: "p".to_owned(),
        cpu_usage_cores: Some(0.1),
        cpu_usage_cum: Some(2_000.0),
        memory_usage_bytes: Some(4),
        net_tx_bytes: Some(4),
        net_rx_bytes: Some(i64::MAX),
        pod_start_time: Some("2026-02-27T08:15:42Z".to_owned()),
    };
    assert_eq!((report.pods, payload.dead), (vec![pod], vec![]));
}

#[test]
fn optional_strings_that_are_empty_say_nothing() {
    let entry = POD.replace('}', r#","pod_start_time":""}"#);
    let body = report(&entry).replace(r#""pods""#, r#""ec2_instance_id":"","pods""#);
    let report = read(body.as_bytes()).unwrap().report;
    assert_eq!((report.ec2_instance_id, report.pods[0].pod_start_time.clone()), (None, None));
}

#[test]
fn a_dead_letter_has_the_entry_as_it_was_sent() {
    let bad = "{ \"pod_id\" : 5,\n \"x\": \"\\u00e9 ] }\" }";
    let payload = read(report(&format!("{POD}, {bad} ,{POD}")).as_bytes()).unwrap();
    let [letter] = &payload.dead[..] else { panic!("{:?}", payload.dead) };
    assert_eq!((letter.index, letter.field.as_str(), letter.entry.as_str()), (1, "pods[1].pod_id", bad));
    assert_eq!(letter.reason, "expected a string, found `5`");
    assert_eq!(payload.report.pods.len(), 2);
}

#[test]
fn a_dead_letter_is_cut_between_characters() {
    for before in 0..4 {
        let bad = format!("\"{}{}\"", "x".repeat(before), "\u{1f600}".repeat(LONGEST_ENTRY / 4));
        let letter = read(report(&format!("{POD},{bad}")).as_bytes()).unwrap().dead.remove(0);
        assert!((LONGEST_ENTRY - 3..=LONGEST_ENTRY).contains(&letter.entry.len()) && bad.starts_with(&letter.entry));
    }
}

#[test]
fn more_entries_than_a_node_can_have_are_refused() {
    let of = |count: usize, entry: &str| read(report(&vec![entry; count].join(",")).as_bytes());
    assert_eq!(of(MOST_PODS, POD).unwrap().report.pods.len(), MOST_PODS);
    for entry in [POD, "0"] {
        let rejection = of(MOST_PODS + 1, entry).unwrap_err();
        assert_eq!((rejection.kind, rejection.field.as_str()), (RejectionKind::Invalid, "pods"));
    }
    let open = report(&vec!["0"; MOST_PODS + 5].join(",")).replace("]}", "");
    assert_eq!(read(open.as_bytes()).unwrap_err().kind, RejectionKind::NotJson);
}

#[test]
fn no_depth_is_too_much() {
    let deep = 100_000;
    let array = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
    let object = format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep));
    for value in [array, object] {
        let entry = POD.replace('}', &format!(",\"x\":{value}}}"));
        let bad = POD.replace("\"p\"", &value);
        let payload = read(report(&format!("{entry},{bad}")).as_bytes()).unwrap();
        assert_eq!((payload.report.pods.len(), payload.dead[0].field.as_str()), (1, "pods[1].name"));
        assert_eq!(read(value.as_bytes()).unwrap_err().kind, RejectionKind::Invalid);
        assert_eq!(read(&value.as_bytes()[..value.len() - 1]).unwrap_err().kind, RejectionKind::NotJson);
    }
}

#[test]
fn what_is_wrong_is_told_in_words() {
    let told = |body: &str| read(body.as_bytes()).unwrap_err().to_string();
    assert_eq!(told(""), "expected a value at byte 0, found the end");
    assert_eq!(told("[5,]"), "expected a value or a name at byte 3, found `]`");
    assert_eq!(told("{\"a\":NaN}"), "expected a value at byte 5, found `NaN`");
    assert_eq!(told("\u{feff}{}"), "expected a value at byte 0, found `\\u{feff}`");
    assert_eq!(told("[]"), "expected an object, found an array");
    assert_eq!(told("{}"), "`timestamp`: missing");
    assert_eq!(told(&report(&POD.replace("\"u\"", "-7"))), "`pods[0].pod_id`: expected a string, found `-7`");
    let long = report(&POD.replace('}', &format!(",\"net_rx_bytes\":-{}}}", "9".repeat(5_000))));
    assert_eq!(told(&long), format!("`pods[0].net_rx_bytes`: must not be negative, found `-{}…`", "9".repeat(39)));
}
