//! The answers of real exporters, merged, and read by promtool and by the Python client. Nothing may be lost, added or changed on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use kube_s3_exporter::exposition::Format;
use serde_json::Value;

use crate::fixtures::{FIXTURES, Fixture, Merged, OPEN, OPEN_UTF8, Source, TEXT, UTF8, merge, pods};
use crate::read::{Point, Samples, Series, read, same};
use crate::support::{has, python, skip};

/// Compares with what must be there; gives how many samples are missing.
fn compare(merged: &Merged, found: &Samples) -> u64 {
    let mut missing = 0;
    let mut left = found.len();
    for (from, expected) in &merged.expected {
        for (series, sent) in expected {
            match found.get(series) {
                Some(got) => {
                    assert!(same(sent, *from, got, merged.format()), "{series:?} was {sent:?} and is {got:?}");
                    left -= 1;
                }
                None => missing += 1,
            }
        }
    }
    assert_eq!(left, 0, "samples that nobody sent");
    missing
}

/// The check that the outside oracles do not make: no series twice, families in one piece under one TYPE that allows them.
#[test]
fn every_sample_arrives_as_it_was_sent() {
    for accept in [TEXT, OPEN, UTF8, OPEN_UTF8] {
        let merged = merge(&pods(2, |_| true), accept);
        let found = Merged::without_own(read(&merged.text, merged.format()).unwrap());
        assert!(found.len() > 10_000);
        assert_eq!(compare(&merged, &found), merged.conflicts, "{accept}");
    }
}

/// Pods of one program, some of which answer in text and some in OpenMetrics.
#[test]
fn nothing_is_lost_between_pods_of_one_program() {
    let program = |fixture: &Fixture| fixture.name.split('.').next().unwrap().to_owned();
    let programs: BTreeSet<String> = FIXTURES.iter().map(program).collect();
    for name in programs {
        for accept in [TEXT, OPEN, UTF8, OPEN_UTF8] {
            let merged = merge(&pods(3, |fixture| program(fixture) == name), accept);
            let found = Merged::without_own(read(&merged.text, merged.format()).unwrap());
            // A TYPE that differs: the Python client calls a gauge histogram a histogram in the text format, which has none. Five samples of three pods.
            let lost = if name == "python_client" && accept.contains("openmetrics") { 15 } else { 0 };
            assert_eq!((compare(&merged, &found), merged.conflicts), (lost, lost), "{name} {accept}");
        }
    }
}

fn feed(command: &mut Command, text: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&text));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    output
}

/// What promtool complains of.
fn complaints(text: &[u8]) -> BTreeSet<String> {
    let output = feed(Command::new("promtool").args(["check", "metrics"]), text);
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    // 3: it could read everything, and has something to say about style.
    assert!(matches!(output.status.code(), Some(0 | 3)) && !said.contains("error while linting"), "{said}");
    said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn promtool_reads_what_is_merged_and_has_no_more_to_say_than_before() {
    if !has("promtool") {
        return skip("promtool_reads_what_is_merged_and_has_no_more_to_say_than_before", "promtool");
    }
    assert!(!complaints(b"# TYPE a counter\na 1\n").is_empty(), "it does not complain at all");
    let before: BTreeSet<String> =
        FIXTURES.iter().filter(|fixture| fixture.format == Format::Text).flat_map(|fixture| complaints(&fixture.text)).collect();
    let after = complaints(&merge(&pods(2, |fixture| fixture.format == Format::Text), TEXT).text);
    let new: Vec<&String> = after.difference(&before).collect();
    assert_eq!(new, [""; 0]);
    complaints(&merge(&pods(2, |_| true), TEXT).text);
}

/// The samples that the Python client finds; its words if it refuses the text.
fn parsed(text: &[u8], format: Format) -> Result<BTreeMap<Series, Value>, String> {
    let word = if format == Format::Text { "text" } else { "openmetrics" };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/exposition/parse.py");
    let output = feed(Command::new(python().unwrap()).args([script, word]), text);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(said.lines().last().unwrap_or_default().to_owned());
    }
    let mut samples = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let sample: Value = serde_json::from_str(line).unwrap();
        let labels: Vec<(String, String)> = serde_json::from_value(sample[1].clone()).unwrap();
        let series = (sample[0].as_str().unwrap().to_owned(), labels);
        assert!(samples.insert(series, sample).is_none(), "{line} comes twice");
    }
    Ok(samples)
}

fn has_python_client() -> bool {
    python().is_some_and(|python| {
        Command::new(python).args(["-c", "import prometheus_client"]).status().is_ok_and(|status| status.success())
    })
}

fn equal(got: &Point, format: Format, sample: &Value) -> bool {
    let number = |text: &str| text.parse::<f64>().unwrap();
    let value = number(sample[2].as_str().unwrap());
    let values = number(&got.value) == value || (number(&got.value).is_nan() && value.is_nan());
    let divisor = if format == Format::Text { 1000.0 } else { 1.0 };
    let times = match (&got.timestamp, sample[3].as_f64()) {
        (None, None) => true,
        // It takes the digits before an exponent for all of them.
        (Some(time), Some(_)) if time.contains('e') => true,
        (Some(time), Some(seconds)) => (number(time) / divisor - seconds).abs() < 0.000_1,
        _ => false,
    };
    values && times && got.exemplar.is_some() == sample[4].is_array()
}

fn python_agrees(pods: &[Source], accept: &str) {
    let merged = merge(pods, accept);
    let ours = read(&merged.text, merged.format()).unwrap();
    let theirs = parsed(&merged.text, merged.format()).unwrap();
    assert_eq!(ours.len(), theirs.len());
    for ((name, labels), point) in &ours {
        let named = |end: &str| theirs.get(&(format!("{name}{end}"), labels.clone()));
        // It adds `_total` to counters of the text format that lack it.
        let sample = named("").or_else(|| named("_total")).expect("a sample");
        assert!(equal(point, merged.format(), sample), "{name} {labels:?}: {point:?} was read as {sample}");
    }
}

#[test]
fn the_python_client_reads_the_same_from_text() {
    if !has_python_client() {
        return skip("the_python_client_reads_the_same_from_text", "prometheus_client");
    }
    for accept in [TEXT, UTF8] {
        python_agrees(&pods(2, |_| true), accept);
    }
}

#[test]
fn the_python_client_reads_the_same_from_openmetrics() {
    if !has_python_client() {
        return skip("the_python_client_reads_the_same_from_openmetrics", "prometheus_client");
    }
    // Its state set has no label of its own name, which the Python client refuses in the answer of the exporter itself.
    let odd = |fixture: &Fixture| fixture.name == "kube_state_metrics.om";
    python_agrees(&pods(2, |fixture| !odd(fixture)), OPEN);
    // Who asks for UTF-8 gets exemplars also of counters that are called unknown, which Prometheus alone takes.
    let young = |fixture: &Fixture| matches!(fixture.name.as_str(), "go_utf8.om" | "go_values.om");
    python_agrees(&pods(2, |fixture| !odd(fixture) && !young(fixture)), OPEN_UTF8);
}
