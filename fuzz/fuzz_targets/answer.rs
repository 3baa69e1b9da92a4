//! The reader of Prometheus' answers: it takes what `serde_json` takes, counts what is there, and says the same wherever the bytes are cut.
#![no_main]

use kube_s3_exporter::promapi::scan::{Scanner, whole};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let read = whole(body);
    let mut pieces = Scanner::default();
    let step = usize::from(body.first().copied().unwrap_or(1)) % 7 + 1;
    let fed = body.chunks(step).try_for_each(|piece| pieces.feed(piece));
    assert_eq!(fed.and_then(|()| pieces.finish()).ok(), read.as_ref().ok().cloned());
    // Whatever is taken is an object, if `serde_json` can hold its numbers and its escapes.
    if let Ok(answer) = read
        && let Ok(Value::Object(object)) = serde_json::from_slice::<Value>(body)
    {
        let twice = |key: &str| body.windows(key.len()).filter(|window| *window == key.as_bytes()).count() > 1;
        if !body.contains(&b'\\') && !twice("data") && !twice("result\"") {
            let series = object.get("data").and_then(|data| data.get("result")).and_then(Value::as_array).map_or(0, Vec::len);
            assert_eq!(answer.series, series as u64);
        }
    } else if let Ok(text) = std::str::from_utf8(body)
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        && text.trim_ascii_start().starts_with('{')
    {
        assert!(whole(body).is_ok() || body.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 32);
    }
});
