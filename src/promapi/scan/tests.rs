use proptest::prelude::*;
use serde_json::Value;

use super::whole as scan;
use super::*;

const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"a","b":"[\"é\\"},"values":[[1700000000,"1"],[1700000060.5,"NaN"]]},{"metric":{},"histograms":[[1,{"count":"3","buckets":[[0,"1","2","3"]]}]],"values":[[1,"1"]]}]},"warnings":["half \"of\" it","x\u00e9"],"infos":["note"]}"#;

#[test]
fn an_answer_is_counted_and_its_notes_are_kept() {
    let answer = scan(MATRIX.as_bytes()).unwrap();
    assert_eq!((answer.status.as_str(), answer.result_type.as_str(), answer.series, answer.samples), ("success", "matrix", 2, 4));
    assert_eq!((answer.warnings, answer.infos), (vec!["half \"of\" it".to_owned(), "xé".to_owned()], vec!["note".to_owned()]));
    let vector = r#" {"data":{"result":[{"value":[1,"2"],"metric":{}}],"resultType":"vector"},"status":"success"} "#;
    let answer = scan(vector.as_bytes()).unwrap();
    assert_eq!((answer.series, answer.samples), (1, 1));
    let error = scan(br#"{"status":"error","errorType":"bad_data","error":"parse \u00e9rror"}"#).unwrap();
    assert_eq!((error.status.as_str(), error.error_type.as_str(), error.error.as_str()), ("error", "bad_data", "parse érror"));
}

#[test]
fn what_looks_like_a_series_elsewhere_is_not_counted() {
    let text = r#"{"result":[{},{}],"data":{"result":[{"metric":{"values":"x","result":"y"}}],"stats":{"result":[1,2],"values":[[1]]}},"status":"success"}"#;
    let answer = scan(text.as_bytes()).unwrap();
    assert_eq!((answer.series, answer.samples), (1, 0));
}

#[test]
fn series_are_found_wherever_the_bytes_are_cut() {
    let bytes = MATRIX.as_bytes();
    for piece in [1, 2, 3, 7, 64, bytes.len()] {
        let (mut scanner, mut offset, mut found) = (Scanner::default(), 0, Vec::new());
        for chunk in bytes.chunks(piece) {
            scanner
                .feed_marking(chunk, |boundary| match boundary {
                    Boundary::Begin(at) => found.push((offset + at, 0)),
                    Boundary::End(at) => found.last_mut().unwrap().1 = offset + at,
                })
                .unwrap();
            offset += chunk.len();
        }
        let series: Vec<Value> = found.iter().map(|&(from, to)| serde_json::from_slice(&bytes[from..to]).unwrap()).collect();
        let whole: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(Value::Array(series), whole["data"]["result"], "in pieces of {piece}");
        assert_eq!(scanner.finish().unwrap(), scan(bytes).unwrap());
    }
}

#[test]
fn every_beginning_of_an_answer_is_cut_off() {
    for length in 0..MATRIX.len() {
        if MATRIX.is_char_boundary(length) {
            assert_eq!(scan(&MATRIX.as_bytes()[..length]), Err(Malformed::Truncated(length as u64)));
        }
    }
}

#[test]
fn what_is_no_json_is_told_with_its_place_and_beginning() {
    let html = "<html><body>Please log in\nat the door</body></html>";
    let error = scan(html.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("at byte 0") && error.contains("`<html><body>Please log in at the door"), "{error}");
    for wrong in [
        "null",
        "[]",
        "{} {}",
        "{,}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{\"a\":01}",
        "{\"a\":-}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":nul}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\n\"}",
        "{a:1}",
        "{\"a\":NaN}",
    ] {
        assert!(matches!(scan(wrong.as_bytes()), Err(Malformed::NotJson { .. })), "{wrong}");
    }
    assert!(matches!(scan(b"{\"a\":\"\xff\"}"), Err(Malformed::NotJson { at: 6, .. })));
    let deep = format!("{{\"a\":{}", "[".repeat(40));
    assert!(scan(deep.as_bytes()).unwrap_err().to_string().contains("too deep"));
}

/// The quick ways must say what the slow one says.
#[test]
fn words_of_eight_bytes_are_searched_like_single_bytes() {
    for special in [b'"', b'\\', 0, 0x1f] {
        for length in 0..40 {
            for at in 0..=length {
                let mut bytes = vec![0x20; length];
                bytes.iter_mut().zip([0x7f, 0x80, 0xff, b'!', b'#', b'[', b']']).for_each(|(byte, other)| *byte = other);
                let expected = if at < length { at } else { length };
                if at < length {
                    bytes[at] = special;
                }
                assert_eq!(text::plain(&bytes), expected, "{bytes:?}");
            }
        }
    }
    assert_eq!(text::usual_samples(br#"[1,"a"],[2.5,"b"],[3,"c"]]"#), (2, 18));
    for unusual in [r#"[01,"a"],"#, r#"[1.,"a"],"#, r#"[1,"a\""],"#, r#"[1,"a"]"#, r#"[-1,"a"],"#, r#"[1 ,"a"],"#, ""] {
        assert_eq!(text::usual_samples(unusual.as_bytes()), (0, 0), "{unusual}");
    }
}

proptest! {
    /// Whatever `serde_json` says of bytes that look a bit like an answer, this says too.
    #[test]
    fn agrees_with_serde_json(text in r#"\{("status":("success"|"x\\u00e9\\n"|[0-9.eE+-]{1,4}|null|tru?e),?)?("data":\{"result":\[(\{"values":\[(\[1,"é"\],?){0,2}\]\},?){0,2}[\]}]\}?)?\}?[ x]?"#, piece in 1_usize..9) {
        let mut scanner = Scanner::default();
        let fed = text.as_bytes().chunks(piece).try_for_each(|chunk| scanner.feed(chunk));
        let scanned = fed.and_then(|()| scanner.finish());
        let parsed = serde_json::from_str::<Value>(&text);
        prop_assert_eq!(scanned.is_ok(), parsed.is_ok(), "{} {:?} {:?}", text, scanned, parsed);
        if let (Ok(answer), Ok(value)) = (scanned, parsed) {
            let series = value["data"]["result"].as_array().map_or(0, Vec::len);
            prop_assert_eq!(answer.series, series as u64);
            prop_assert_eq!(value["status"].as_str().unwrap_or_default(), answer.status);
        }
    }
}
