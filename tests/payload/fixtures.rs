//! `tests/fixtures/payload`: one body a line, and what must come of it.

use std::collections::BTreeSet;

use base64::Engine as _;
use kube_s3_exporter::usage::payload::{RejectionKind, check, read};
use serde::Deserialize;

/// A line of `malformed.jsonl`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Malformed {
    pub name: String,
    body: Option<String>,
    body_base64: Option<String>,
    /// 400, 422, or 200 where some entries can be used.
    pub code: u16,
    /// Which field a rejection names.
    pub field: String,
    /// With 200: the fields that the dead letters name.
    #[serde(default)]
    pub rejected: Vec<String>,
    /// Why the schema takes it nevertheless.
    pub beyond_schema: Option<String>,
}

/// A line of `valid.jsonl`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Valid {
    pub name: String,
    pub body: String,
    pub pods: usize,
    pub collected_at: i64,
}

impl Malformed {
    pub fn body(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(coded)) => base64::engine::general_purpose::STANDARD.decode(coded).unwrap(),
            _ => panic!("{}: one body", self.name),
        }
    }
}

fn lines<'a, T: Deserialize<'a>>(text: &'a str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

pub fn malformed() -> Vec<Malformed> {
    lines(include_str!("../fixtures/payload/malformed.jsonl"))
}

pub fn valid() -> Vec<Valid> {
    lines(include_str!("../fixtures/payload/valid.jsonl"))
}

#[test]
fn malformed_bodies_get_the_answer_that_says_what_is_wrong() {
    let bodies = malformed();
    assert!(bodies.len() >= 250);
    let mut names = BTreeSet::new();
    for fixture in &bodies {
        assert!(names.insert(&fixture.name), "{} comes twice", fixture.name);
        let body = fixture.body();
        let (code, field, rejected) = match read(&body) {
            Ok(payload) => {
                assert!(!payload.dead.is_empty(), "{}: was taken whole", fixture.name);
                assert!(payload.dead.iter().all(|letter| serde_json::from_str::<serde::de::IgnoredAny>(&letter.entry).is_ok()));
                assert!(payload.dead.iter().all(|letter| fine(&letter.reason)), "{}: {:?}", fixture.name, payload.dead);
                (200, String::new(), payload.dead.into_iter().map(|letter| letter.field).collect())
            }
            Err(rejection) => {
                assert!(fine(&rejection.reason) && fine(&rejection.to_string()), "{}: {rejection}", fixture.name);
                assert!(rejection.to_string().contains(&rejection.field));
                let code = if rejection.kind == RejectionKind::NotJson { 400 } else { 422 };
                (code, rejection.field, Vec::new())
            }
        };
        assert_eq!((code, &field, &rejected), (fixture.code, &fixture.field, &fixture.rejected), "{}", fixture.name);
    }
}

/// In one line, and not long.
fn fine(told: &str) -> bool {
    !told.is_empty() && told.len() < 400 && !told.contains(char::is_control)
}

#[test]
fn valid_bodies_are_taken_whole() {
    for fixture in valid() {
        let payload = read(fixture.body.as_bytes()).unwrap_or_else(|rejection| panic!("{}: {rejection}", fixture.name));
        let found = (payload.report.pods.len(), payload.report.collected_at, payload.dead);
        assert_eq!(found, (fixture.pods, fixture.collected_at, Vec::new()), "{}", fixture.name);
    }
}

#[test]
fn checking_says_what_reading_says() {
    let malformed = malformed();
    let bodies = malformed.iter().map(Malformed::body).chain(valid().into_iter().map(|fixture| fixture.body.into_bytes()));
    for body in bodies {
        agree(&body);
    }
}

/// Fails if the two tell different things of one body.
pub fn agree(body: &[u8]) {
    match (check(body), read(body)) {
        (Ok(checked), Ok(payload)) => {
            let report = payload.report;
            assert_eq!((checked.node_name, checked.timestamp), (report.node_name.into(), report.timestamp.into()));
            assert_eq!((checked.collected_at, checked.pods), (report.collected_at, report.pods.len()));
            assert_eq!(checked.dead, payload.dead);
        }
        (checked, payload) => assert_eq!(checked.err(), payload.err()),
    }
}
