//! Bodies that are no reports, or only in part, or too much: each is answered with the right code, and nothing of it is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::CONTENT_ENCODING;
use serde_json::{Value, json};

use crate::report::{Answer, Sender, answered, post, report, some};
use crate::support::Exporter;
use crate::table::text;
use crate::world::{World, drained, metric};

/// A body with what is expected of it: a line of `tests/fixtures/payload/*.jsonl`.
struct Sample {
    name: String,
    body: Vec<u8>,
    expected: Value,
}

fn samples(file: &str) -> Vec<Sample> {
    let path = format!("{}/tests/fixtures/payload/{file}", env!("CARGO_MANIFEST_DIR"));
    let lines = std::fs::read_to_string(path).unwrap();
    let sample = |line: &str| {
        let expected: Value = serde_json::from_str(line).unwrap();
        let body = match &expected["body_base64"] {
            Value::String(packed) => base64::engine::general_purpose::STANDARD.decode(packed).unwrap(),
            _ => expected["body"].as_str().unwrap().as_bytes().to_vec(),
        };
        Sample { name: expected["name"].as_str().unwrap().to_owned(), body, expected }
    };
    lines.lines().map(sample).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

async fn packed(exporter: &Exporter, encoding: &str, body: Vec<u8>) -> Answer {
    answered(Sender::new().request(exporter.address).header(CONTENT_ENCODING, encoding).body(body)).await.unwrap()
}

#[tokio::test]
async fn no_body_that_is_no_report_is_stored() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    let sender = Sender::new();
    let refused: Vec<Sample> = samples("malformed.jsonl").into_iter().filter(|sample| sample.expected["code"] != 200).collect();
    assert!(refused.len() >= 200, "{} bodies", refused.len());
    let count = refused.len();
    for Sample { name, body, expected } in refused {
        let answer = sender.try_post(exporter.address, body).await.unwrap();
        assert_eq!(json!(answer.status), expected["code"], "{name}: {}", answer.text);
        let field = answer.json()["field"].as_str().unwrap_or_default().to_owned();
        assert_eq!(json!(field), expected["field"], "{name}: {}", answer.text);
        let error = answer.refused(answer.status)["error"].as_str().unwrap().to_owned();
        assert!(error.len() < 600 && !error.contains('\n'), "{name}: {error}");
    }
    let counted = metric(&exporter, "reports_total{outcome=\"not_json\"}").await
        + metric(&exporter, "reports_total{outcome=\"invalid\"}").await;
    assert_eq!(counted, count as f64);
    assert_eq!((metric(&exporter, "journal_entries").await, metric(&exporter, "dead_letters_total").await), (0.0, 0.0));
    post(exporter.address, &report("node-1", &[some("a")])).await.taken();
    drained(&exporter).await;
    assert_eq!((world.objects().len(), world.rows_by_pod().len()), (1, 1));
    assert!(!exporter.log_lines().iter().any(|line| line.contains("panicked")));
    assert_eq!(exporter.stop("TERM"), Some(0));
}

#[tokio::test]
async fn entries_that_cannot_be_read_become_dead_letters() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    let sender = Sender::new();
    let mut letters: BTreeMap<(String, u64), String> = BTreeMap::new();
    let in_part = samples("malformed.jsonl").into_iter().filter(|sample| sample.expected["code"] == 200);
    for (number, Sample { name, body, expected }) in in_part.enumerate() {
        // Each is a report of its own.
        let time = format!("2026-03-01T12:{:02}:{:02}Z", number / 60, number % 60);
        let body = String::from_utf8(body).unwrap();
        assert_eq!(body.matches("2026-03-01T12:00:00Z").count(), 1, "{name}");
        let answer = sender.try_post(exporter.address, body.replace("2026-03-01T12:00:00Z", &time)).await.unwrap();
        assert_eq!(answer.status, 200, "{name}: {}", answer.text);
        let json = answer.json();
        let rejected = json["rejected"].as_array().unwrap_or_else(|| panic!("{name}: {json}"));
        let fields: Vec<&Value> = rejected.iter().map(|entry| &entry["field"]).collect();
        assert_eq!((&json["status"], json!(fields)), (&json!("ok"), expected["rejected"].clone()), "{name}");
        for entry in rejected {
            assert!(entry["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{name}: {json}");
            let before =
                letters.insert((time.clone(), entry["index"].as_u64().unwrap()), entry["field"].as_str().unwrap().to_owned());
            assert_eq!(before, None, "{name}");
        }
    }
    assert!(letters.len() >= 50);
    assert_eq!(metric(&exporter, "dead_letters_total").await, letters.len() as f64);
    let taken = metric(&exporter, "rows_received_total").await;
    drained(&exporter).await;
    assert_eq!(world.rows().len() as f64, taken);
    let found = world.dead_letters();
    assert_eq!(found.len(), letters.len());
    for letter in found {
        let id = (letter["timestamp"].as_str().unwrap().to_owned(), letter["index"].as_u64().unwrap());
        assert_eq!(letters.remove(&id).map(Value::from), Some(letter["field"].clone()), "{letter}");
        let members: BTreeSet<&str> = letter.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, BTreeSet::from(["entry", "field", "index", "node_name", "reason", "received_at", "timestamp"]));
    }
}

#[tokio::test]
async fn every_legal_body_is_taken_whole() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    let sender = Sender::new();
    let mut times = BTreeMap::new();
    for Sample { name, body, expected } in samples("valid.jsonl") {
        // Some are beyond other readers.
        if let Ok(report) = serde_json::from_slice::<Value>(&body) {
            let id = ["node_name", "timestamp"].map(|field| report[field].as_str().unwrap().to_owned());
            times.insert(id, expected["collected_at"].clone());
        }
        let answer = sender.try_post(exporter.address, body).await.unwrap();
        assert_eq!((answer.status, answer.json()), (200, json!({ "status": "ok" })), "{name}");
    }
    assert!(times.len() > 10);
    let taken = metric(&exporter, "rows_received_total").await;
    drained(&exporter).await;
    let rows = world.rows();
    assert_eq!(rows.len() as f64, taken);
    for row in &rows {
        let id = ["node_name", "timestamp"].map(|column| text(row, column).to_owned());
        if let Some(time) = times.get(&id) {
            assert_eq!(row["collected_at"], *time, "{id:?}");
        }
    }
}

#[tokio::test]
async fn too_much_is_refused_however_it_is_packed() {
    let world = World::start().await;
    let exporter = world.ready(&["--usage-body-limit=64KiB"]).await;
    let fits = |bytes: usize| {
        let mut report = report(&format!("node-{bytes}"), &[some(&format!("pod-{bytes}"))]);
        let rest = bytes - report.to_string().len() - r#","comment":"""#.len();
        report["comment"] = " ".repeat(rest).into();
        assert_eq!(report.to_string().len(), bytes);
        report
    };
    post(exporter.address, &fits(64 << 10)).await.taken();
    post(exporter.address, &fits((64 << 10) + 1)).await.refused(413);
    // Without a length that could be looked at first.
    let pieces = (0..80).map(|_| Ok::<_, std::io::Error>(" ".repeat(1 << 10)));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    Sender::new().try_post(exporter.address, body).await.unwrap().refused(413);

    let before = exporter.metrics().await.value("process_resident_memory_bytes").unwrap();
    let bomb = " ".repeat(32 << 20);
    for (encoding, body) in [("gzip", gzip(bomb.as_bytes())), ("zstd", zstd(bomb.as_bytes()))] {
        for _ in 0..3 {
            packed(&exporter, encoding, body.clone()).await.refused(413);
        }
    }
    let after = exporter.metrics().await.value("process_resident_memory_bytes").unwrap();
    assert!(after - before < 16e6, "from {before} to {after} bytes");
    packed(&exporter, "gzip", gzip(fits((64 << 10) - 1).to_string().as_bytes())).await.taken();
    packed(&exporter, "zstd", zstd(fits((64 << 10) + 2).to_string().as_bytes())).await.refused(413);
    assert!(metric(&exporter, "reports_total{outcome=\"too_large\"}").await >= 8.0);
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().len(), 2);
}

/// Senders that send nothing for a while, without saying how much is to come, hold up nobody else.
#[tokio::test]
async fn slow_senders_do_not_hold_up_others() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    let slow: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(exporter.address).unwrap();
            stream.write_all(b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n").unwrap();
            stream
        })
        .collect();
    for number in 0..5 {
        let sent = report("node-1", &[some(&number.to_string())]);
        let answer = tokio::time::timeout(std::time::Duration::from_secs(5), post(exporter.address, &sent)).await;
        answer.expect("an answer in time").taken();
    }
    drop(slow);
}

#[tokio::test]
async fn packed_reports_are_taken() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    let body = |id: &str| report(&format!("node-{id}"), &[some(id)]).to_string().into_bytes();
    packed(&exporter, "gzip", gzip(&body("gzip"))).await.taken();
    packed(&exporter, "GZIP", gzip(&body("capitals"))).await.taken();
    packed(&exporter, "zstd", zstd(&body("zstd"))).await.taken();
    packed(&exporter, "identity", body("identity")).await.taken();
    let members = body("members");
    let (one, other) = members.split_at(40);
    packed(&exporter, "gzip", [gzip(one), gzip(other)].concat()).await.taken();
    packed(&exporter, "zstd", [zstd(&body("frames")[..40]), zstd(&body("frames")[40..])].concat()).await;
    for encoding in ["br", "deflate", "gzip, zstd", "gzip, gzip", "x"] {
        packed(&exporter, encoding, body("unknown")).await.refused(415);
    }
    let whole = gzip(&body("damaged"));
    let cut = zstd(&body("damaged"));
    for (encoding, body) in [
        ("gzip", body("plain")),
        ("zstd", body("plain")),
        ("gzip", whole[..whole.len() - 9].to_vec()),
        ("zstd", cut[..cut.len() - 9].to_vec()),
    ] {
        packed(&exporter, encoding, body).await.refused(400);
    }
    drained(&exporter).await;
    let mut found = world.rows_by_pod();
    found.remove("frames");
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["capitals", "gzip", "identity", "members", "zstd"]);
}
