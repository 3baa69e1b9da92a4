//! The form of an answer: what the reader asks for, and what becomes of labels and names.

use std::io::Read as _;

use fakes::pods::{Behaviour, Pod};

use crate::answer::Answer;
use crate::support::Exporter;
use crate::world::{JOB, World, ask, get, metric, ours, path_of};

/// `Accept` of Prometheus 2.42, of Prometheus 3 with UTF-8 names, and of one that is told to take text.
const TWO: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                   text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const THREE: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                     text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
const THREE_TEXT: &str = "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.4";

const IN_TEXT: &str = "# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 7 1700000000123\n\
                       # TYPE errors counter\nerrors 3\n# TYPE heat gauge\nheat{room=\"a\"} +Inf";
const IN_OPENMETRICS: &str = "# HELP hits Hits.\n# TYPE hits counter\nhits_total 7 1700000000.123\n\
                              # TYPE heat gauge\nheat{room=\"a\"} +Inf\n# EOF\n";

async fn accepting(exporter: &Exporter, accept: &str) -> Answer {
    get(exporter.address, &path_of(JOB), &[("accept", accept)]).await.well()
}

#[tokio::test]
async fn the_answer_is_in_the_format_that_is_asked_for_and_so_are_pods() {
    let (world, pod) = World::with_pod(Behaviour::negotiate(IN_TEXT, IN_OPENMETRICS)).await;
    let exporter = world.exporter(&[]).await;
    for (accept, content_type, of_pod) in [
        (TWO, "application/openmetrics-text; version=1.0.0; charset=utf-8", "application/openmetrics-text;version=1.0.0,"),
        (
            THREE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,",
        ),
        (
            THREE_TEXT,
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
            "text/plain;version=1.0.0;escaping=allow-utf-8,",
        ),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8", "text/plain;version=0.0.4,"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", "text/plain;version=0.0.4,"),
        ("text/html", "text/plain; version=0.0.4; charset=utf-8", "text/plain;version=0.0.4,"),
    ] {
        let answer = accepting(&exporter, accept).await;
        assert_eq!(answer.header("content-type"), content_type, "{accept}");
        assert_eq!(answer.header("vary"), "accept, accept-encoding");
        let asked = pod.requests().last().unwrap().header("accept").to_owned();
        assert!(asked.starts_with(of_pod), "{accept}: {asked}");
        let open = content_type.starts_with("application/");
        assert_eq!(answer.text.ends_with("\n# EOF\n"), open);
        // The pod's own bytes, but for the labels.
        let labels = format!("instance=\"a\",job=\"{JOB}\",pod_namespace=\"default\",pod_ip=\"{}\"", pod.ip());
        let time = if open { "1700000000.123" } else { "1700000000123" };
        assert!(answer.text.contains(&format!("\nhits_total{{{labels}}} 7 {time}\n")), "{}", answer.text);
        assert!(answer.text.contains("} +Inf\n"), "{}", answer.text);
        let head = if open {
            "# HELP hits Hits.\n# TYPE hits counter\n"
        } else {
            "# HELP hits_total Hits.\n# TYPE hits_total counter\n"
        };
        assert!(answer.text.contains(head), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_pod_that_knows_one_format_alone_is_understood_in_the_other() {
    let (world, _text) = World::with_pod(Behaviour::text(IN_TEXT)).await;
    let _open = world.pod("b", Behaviour::openmetrics(IN_OPENMETRICS)).await;
    let exporter = world.exporter(&[]).await;
    let answer = accepting(&exporter, TWO).await;
    assert_eq!(answer.healthy(), ["a", "b"]);
    assert_eq!(answer.text.matches(" 7 1700000000.123\n").count(), 2, "{}", answer.text);
    assert_eq!(answer.text.matches("# TYPE hits counter\n").count(), 1);
    // In OpenMetrics a counter ends with `_total`; one that does not is none.
    assert!(answer.text.contains("# TYPE errors unknown\nerrors{"), "{}", answer.text);
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.text.matches(" 7 1700000000123\n").count(), 2, "{}", answer.text);
    assert!(answer.text.contains("# TYPE errors counter\nerrors{"), "{}", answer.text);
    assert_eq!(answer.value("hits_total", "b"), Some(7.0));
}

#[tokio::test]
async fn whoever_asks_for_gzip_gets_the_same_packed() {
    let body: String = (0..8_000).map(|line| format!("lines{{n=\"{line}\"}} {line}\n")).collect();
    let (world, pod) = World::with_pod(Behaviour::text(body)).await;
    let exporter = world.exporter(&[]).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}{}", exporter.address, path_of(JOB));
    let response = client.get(url).header("accept-encoding", "deflate, gzip").header("accept", TWO).send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let (headers, packed) = (response.headers().clone(), response.bytes().await.unwrap());
    let mut text = String::new();
    flate2::bufread::GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
    assert!(packed.len() * 5 < text.len());
    let answer = Answer { status: 200, headers, text }.well();
    let plain = accepting(&exporter, TWO).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(answer.samples("lines"), plain.samples("lines"));
    assert_eq!(answer.samples("lines").len(), 8_000);
    assert_eq!(pod.requests()[0].header("accept-encoding"), "gzip");
}

#[tokio::test]
async fn labels_of_the_pod_make_room_unless_they_are_honoured() {
    let text = "hits{instance=\"mine\",job=\"mine\",exported_job=\"older\",pod_ip=\"\",zone=\"z\"} 1\n";
    let (world, pod) = World::with_pod(Behaviour::text(text)).await;
    let exporter = world.exporter(&[]).await;
    let sample = ask(&exporter, JOB).await.samples("hits").remove(0);
    let labels = ["instance", "job", "exported_instance", "exported_exported_job", "exported_job", "zone"];
    assert_eq!(labels.map(|label| sample.label(label)), ["a", JOB, "mine", "mine", "older", "z"], "{sample:?}");
    assert_eq!(sample.label("pod_ip"), pod.ip().to_string());

    let exporter = world.exporter(&["--honor-labels"]).await;
    let answer = ask(&exporter, JOB).await;
    let sample = answer.samples("hits").remove(0);
    assert_eq!(["instance", "job", "exported_job", "zone"].map(|label| sample.label(label)), ["mine", "mine", "older", "z"]);
    assert_eq!((sample.label("pod_namespace"), answer.up("a")), ("default", Some(1.0)));
}

#[tokio::test]
async fn hyphens_are_for_those_who_can_read_them() {
    let (world, pod) = World::with_pod(Behaviour::negotiate(IN_TEXT, IN_OPENMETRICS)).await;
    let exporter = world.exporter(&["--label-style=hyphen"]).await;
    for (accept, hyphens) in [(TWO, false), ("*/*", false), (THREE, true), (THREE_TEXT, true)] {
        let answer = accepting(&exporter, accept).await;
        let (namespace, ip) = if hyphens { ("\"pod-namespace\"", "\"pod-ip\"") } else { ("pod_namespace", "pod_ip") };
        let labels = format!("instance=\"a\",job=\"{JOB}\",{namespace}=\"default\",{ip}=\"{}\"", pod.ip());
        assert_eq!(answer.text.matches(&labels).count(), answer.text.matches("instance=").count(), "{accept}: {}", answer.text);
        assert!(answer.text.contains(&format!("up{{{labels}}} 1\n")));
    }
}

#[tokio::test]
async fn what_is_told_of_each_scrape() {
    let text = "up 0\nscrape_duration_seconds 99\nscrape_foo 1\na{n=\"1\"} 1\na{n=\"2\"} 1\na{n=\"1\"} 3\n";
    let (world, _pod) = World::with_pod(Behaviour::text(text)).await;
    let _down = world.pod("b", Behaviour::Status(500)).await;
    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.targets(), [("a".to_owned(), true), ("b".to_owned(), false)]);
    let told = |name: &str| ["a", "b"].map(|instance| answer.value(name, instance).unwrap());
    assert_eq!(told("scrape_samples_scraped"), [6.0, 0.0]);
    #[expect(clippy::cast_precision_loss, reason = "a short text")]
    let size = text.len() as f64;
    assert_eq!(told("scrape_body_size_bytes"), [size, 0.0]);
    assert!(told("scrape_duration_seconds").iter().all(|seconds| (0.0..5.0).contains(seconds)));
    assert_eq!(answer.samples("scrape_foo"), []);
    // The first of two of the same series is kept.
    assert_eq!(answer.samples("a").iter().map(|sample| sample.value.as_str()).collect::<Vec<_>>(), ["1", "1"]);
    for (reason, count) in [("reserved_name", 3.0), ("duplicate", 1.0), ("type_conflict", 0.0)] {
        assert_eq!(metric(&exporter, &ours(&format!("samples_left_out_total{{reason=\"{reason}\"}}"))).await, count, "{reason}");
    }
    assert_eq!(metric(&exporter, &ours("scrapes_total")).await, 2.0);
    assert_eq!(metric(&exporter, &ours("received_bytes_total")).await, size);
}

#[tokio::test]
async fn of_many_pods_each_family_stands_together_and_the_majority_names_its_type() {
    let world = World::start().await;
    let mut pods: Vec<Pod> = Vec::new();
    for (name, kind, value) in [("c", "gauge", 3), ("a", "counter", 1), ("b", "gauge", 2), ("d", "", 4)] {
        let head = if kind.is_empty() { String::new() } else { format!("# HELP x of {name}\n# TYPE x {kind}\n") };
        pods.push(world.pod(name, Behaviour::text(format!("{head}x {value}\nalone_{name} 1\n"))).await);
    }
    let exporter = world.exporter(&[]).await;
    let answer = ask(&exporter, JOB).await;
    assert_eq!(answer.healthy(), ["a", "b", "c", "d"]);
    let values: Vec<String> = answer.samples("x").into_iter().map(|sample| sample.value).collect();
    assert_eq!(values, ["2", "3", "4"]);
    assert!(answer.text.contains("\n# TYPE x gauge\nx{instance=\"b\""), "{}", answer.text);
    assert_eq!(answer.text.matches("# HELP x ").count(), 1);
    assert_eq!(answer.value("alone_a", "a"), Some(1.0));
    assert_eq!(metric(&exporter, &ours("samples_left_out_total{reason=\"type_conflict\"}")).await, 1.0);
}
