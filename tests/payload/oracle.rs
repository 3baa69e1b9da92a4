//! The schema is what the reader does: Python's `jsonschema` takes and refuses the same bodies.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use kube_s3_exporter::usage::payload::SCHEMA;

use crate::fixtures::{malformed, valid};
use crate::support::{python, skip};

fn has_jsonschema() -> bool {
    let import = |python| Command::new(python).args(["-c", "import jsonschema"]).stderr(Stdio::null()).status();
    python().is_some_and(|python| import(python).is_ok_and(|status| status.success()))
}

/// What Python says: of the schema, then of each body.
fn judged(bodies: &[Vec<u8>]) -> Vec<String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/payload/judge.py");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/usage.json");
    let mut command = Command::new(python().unwrap());
    let mut child = command.args([script, schema]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: Vec<String> = bodies.iter().map(|body| base64::engine::general_purpose::STANDARD.encode(body) + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.concat().as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// But for what a schema cannot say: that a name comes once, that half a surrogate pair is no text, that February is short.
#[test]
fn the_schema_takes_and_refuses_what_the_reader_does() {
    if !has_jsonschema() {
        return skip("the_schema_takes_and_refuses_what_the_reader_does", "jsonschema");
    }
    let (malformed, valid) = (malformed(), valid());
    let mut bodies: Vec<Vec<u8>> = malformed.iter().map(|fixture| fixture.body()).collect();
    bodies.extend(valid.iter().map(|fixture| fixture.body.clone().into_bytes()));
    let said = judged(&bodies);
    assert_eq!((said.len(), said[0].as_str()), (bodies.len() + 1, "valid"), "the schema or one of its examples");
    for (fixture, said) in malformed.iter().zip(&said[1..]) {
        let expected = match (fixture.code, &fixture.beyond_schema) {
            (400, None) => "syntax",
            (_, Some(reason)) => {
                assert!(["duplicates", "surrogates", "calendar"].contains(&reason.as_str()));
                "valid"
            }
            _ => "invalid",
        };
        assert_eq!(said, expected, "{}", fixture.name);
    }
    for (fixture, said) in valid.iter().zip(&said[1 + malformed.len()..]) {
        assert_eq!(said, "valid", "{}", fixture.name);
    }
}

#[test]
fn the_schema_is_json() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["pods"]["maxItems"], kube_s3_exporter::usage::payload::MOST_PODS);
}
