//! Lines that are legal and lines that are not. What a real Prometheus says to the same lines is held by `tests/whole`.

use proptest::strategy::Strategy as _;

use super::super::{Escaping, escape_into, unescape};
use super::*;

/// Reads everything, each entry as text.
fn read(text: &str, format: Format) -> Result<Vec<String>, SyntaxError> {
    let mut scanner = Scanner::new(text.as_bytes(), format);
    let mut out = Vec::new();
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    while let Some(entry) = scanner.entry()? {
        out.push(match entry {
            Entry::Help(name, text) => format!("help {} [{}]", show(name.raw), show(text)),
            Entry::Type(name, kind) => format!("type {} {kind:?}", show(name.raw)),
            Entry::Unit(name, unit) => format!("unit {} {}", show(name.raw), show(unit)),
            Entry::Nothing => continue,
            Entry::Eof => "eof".to_owned(),
            Entry::Sample => {
                let sample = scanner.sample();
                let labels: Vec<String> =
                    scanner.labels().iter().map(|label| format!("{}={}", show(label.name.raw), show(label.value))).collect();
                let part =
                    |mark: &str, part: Option<&[u8]>| part.map(|part| format!(" {mark}{}", show(part))).unwrap_or_default();
                let layout = match sample.layout {
                    Layout { plain: true, loose: false } => "",
                    Layout { plain: true, loose: true } => " loose",
                    Layout { plain: false, .. } => " odd",
                };
                let (name, labels, value) = (show(sample.name.raw), labels.join("|"), show(sample.value));
                format!("{name}({labels}) {value}{}{}{layout}", part("@", sample.timestamp), part("#", sample.exemplar))
            }
        });
    }
    Ok(out)
}

fn text(line: &str) -> String {
    read(line, Format::Text).map_or_else(|error| error.to_string(), |entries| entries.join("; "))
}

fn open(line: &str) -> String {
    let whole = format!("{line}\n# EOF\n");
    read(&whole, Format::OpenMetrics).map_or_else(
        |error| error.to_string(),
        |mut entries| {
            assert_eq!(entries.pop().unwrap(), "eof");
            entries.join("; ")
        },
    )
}

#[test]
fn samples_of_the_text_format() {
    let cases = [
        ("a 1\n", "a() 1"),
        ("a 1", "a() 1"),
        ("a{} 1\n", "a() 1"),
        ("a{b=\"c\",d=\"e\"} +Inf 123\n", "a(b=c|d=e) +Inf @123"),
        ("a{b=\"c,}d{\",e=\"f\\\"\\\\\\ng\"} 1\n", "a(b=c,}d{|e=f\\\"\\\\\\ng) 1"),
        ("a{b=\"\u{e9}\u{1f600}\"} NaN\n", "a(b=\u{e9}\u{1f600}) NaN"),
        ("a{b=\"c\",} 1\n", "a(b=c) 1 loose"),
        ("a{ b = \"c\" , d=\"e\" }\t1\t2 \n", "a(b=c|d=e) 1 @2 loose"),
        ("a{b=\"c\"}1\n", "a(b=c) 1 loose"),
        ("a  1\n", "a() 1 loose"),
        ("a\t1\n", "a() 1 odd"),
        ("a {b=\"c\"} 1\n", "a(b=c) 1 odd"),
        (" a 1\n", "a() 1 odd"),
        ("a{b=\"c\\d\"} 1\n", "a(b=c\\d) 1 odd"),
        ("{\"a.b\"} 1\n", "a.b() 1 odd"),
        ("{\"a.b\",c=\"d\",\"e f\"=\"g\"} 1\n", "a.b(c=d|e f=g) 1 odd"),
        ("a{\"b.c\"=\"d\"} 1\n", "a(b.c=d) 1 odd"),
        ("\n# a comment\n#\n#HELP a x\n  \n# HELPING a\na 1\n", "a() 1"),
        ("# HELP a Say \"this\" \\n \\\\.\n", "help a [Say \"this\" \\n \\\\.]"),
        ("# HELP a\n", "help a []"),
        ("#  HELP  a  x\n", "help a [ x]"),
        ("# HELP a.b x\na 1\n", "a() 1"),
        ("# TYPE a  counter \n", "type a Counter"),
        ("# TYPE \"a.b\" untyped\n", "type a.b Unknown"),
        ("# UNIT a_seconds seconds\n# EOF\na 1\n", "a() 1"),
    ];
    for (line, expected) in cases {
        assert_eq!(text(line), expected, "{line:?}");
    }
}

#[test]
fn what_is_no_text_format() {
    let lines = [
        "a",
        "a\n",
        "a{\n",
        "a{b}\n",
        "a{b=c} 1\n",
        "a{b=\"c} 1\n",
        "a{b=\"c\n\"} 1\n",
        "a{b=\"c\"",
        "a{b=\"c\"}\n",
        "a{,} 1\n",
        "a{b=\"c\",,} 1\n",
        "a{b=\"c\" d=\"e\"} 1\n",
        "a{9=\"c\"} 1\n",
        "a{b:c=\"d\"} 1\n",
        "9a 1\n",
        "a.b 1\n",
        "{b=\"c\"} 1\n",
        "{} 1\n",
        "a{\"b\"} 1\n",
        "{\"a\",\"b\"} 1\n",
        "{\"\"} 1\n",
        "a{\"\"=\"b\"} 1\n",
        "{\"a\0b\"} 1\n",
        "# TYPE \"\" gauge\n",
        "a 1 2 3\n",
        "a 1 x\n",
        "a 1 1.5\n",
        "a 1 -5\n",
        "a 0x1p3\n",
        "a 1_0\n",
        "a 1e999\n",
        "a 1\r\n",
        "\r\n",
        "a 1 # {x=\"y\"} 1\n",
        "# TYPE a\n",
        "# TYPE a kind\n",
        "# TYPE a unknown\n",
        "# TYPE a COUNTER\n",
        "# TYPE a.b gauge\n",
        "# HELP 9 x\n",
        "<html>\n",
        "\u{feff}a 1\n",
        "a{b=\"c\\\n\"} 1\n",
    ];
    for line in lines {
        assert!(read(line, Format::Text).is_err(), "{line:?} was taken as {}", text(line));
    }
    assert_eq!(read("a 1\nb x\n", Format::Text), Err(SyntaxError { line: 2, what: "a value is not a number" }));
}

#[test]
fn bytes_that_are_no_utf8_may_stand_in_comments_alone() {
    let read = |bytes: &[u8]| {
        let mut scanner = Scanner::new(bytes, Format::Text);
        scanner.entry().map(|_| ())
    };
    assert!(read(b"# caf\xe9\n").is_ok());
    for line in [&b"a{b=\"caf\xe9\"} 1\n"[..], b"# HELP a caf\xe9\n", b"{\"caf\xe9\"} 1\n", b"a\xe9 1\n"] {
        assert!(read(line).is_err(), "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn samples_of_openmetrics() {
    let cases = [
        ("a 1", "a() 1"),
        ("a_total{b=\"c\"} 1 1.5", "a_total(b=c) 1 @1.5"),
        ("a_bucket{le=\"1\"} 1 # {trace=\"x\"} 0.5", "a_bucket(le=1) 1 #{trace=\"x\"} 0.5"),
        ("a_bucket{le=\"1\"} 1 2 # {} 0.5 1.25", "a_bucket(le=1) 1 @2 #{} 0.5 1.25"),
        ("a{b=\"c\",} 1", "a(b=c) 1 loose"),
        ("{\"a.b\",c=\"d\"} 1", "a.b(c=d) 1 odd"),
        ("# HELP a Say \\\"this\\\".", "help a [Say \\\"this\\\".]"),
        ("# TYPE a gaugehistogram", "type a GaugeHistogram"),
        ("# UNIT a_seconds seconds", "unit a_seconds seconds"),
    ];
    for (line, expected) in cases {
        assert_eq!(open(line), expected, "{line:?}");
    }
    assert_eq!(read("# EOF", Format::OpenMetrics).unwrap(), ["eof"]);
}

#[test]
fn what_is_no_openmetrics() {
    let lines = [
        "",
        "# a comment",
        "#",
        "a\t1",
        "a  1",
        " a 1",
        "a 1 ",
        "a{ b=\"c\"} 1",
        "a{b=\"c\"}1",
        "a 1 NaN",
        "a 1 2 3",
        "a 1 #",
        "a 1 # {",
        "a 1 # x 1",
        "a 1 # {b=\"c\"}",
        "a 1 # {b=\"c\"} x",
        "a 1 # {b=\"c\"} 1 2 3",
        "a 1 # {\"b\"} 1",
        "a 1 # {b=\"\0\"} 1",
        "a 1 # {b=\"c\",} 1",
        "# TYPE a untyped",
        "# UNIT a_seconds bytes",
        "# UNIT seconds seconds",
        "# HELP a",
        "# EOF",
    ];
    for line in lines {
        assert!(read(&format!("{line}\n# EOF\n"), Format::OpenMetrics).is_err(), "{line:?} was taken as {}", open(line));
    }
    for whole in ["", "a 1\n", "# EOF\n\n", "# EOF\na 1\n", "# EOF \n", "a 1\n# EO"] {
        assert!(read(whole, Format::OpenMetrics).is_err(), "{whole:?} was taken");
    }
}

#[test]
fn a_scan_can_begin_at_any_line() {
    let text = b"a 1\nb{c=\"d\"} 2\n# EOF\n";
    let mut scanner = Scanner::resume(text, Format::OpenMetrics, 4);
    assert_eq!(scanner.entry().unwrap(), Some(Entry::Sample));
    let sample = scanner.sample();
    assert_eq!((sample.name.raw, sample.start, sample.end, scanner.labels().len()), (&b"b"[..], 4, 15, 1));
    assert_eq!(scanner.offset(), 15);
}

/// A line of a few names and labels in a few layouts, so that neighbours have much in common.
fn line() -> impl proptest::strategy::Strategy<Value = String> {
    let name = proptest::sample::select(vec!["a", "ab", "a_b", "{\"a\",", " a", "b"]);
    let label = "(x|xy|y|z|\"q\")=\"(|1|12|1\\\\\"|\\\\q|é|1234567890123456)\"";
    let labels = proptest::collection::vec(label, 0..5);
    let layout = proptest::sample::select(vec![("", ","), (" ", ","), ("", " , "), ("", ",\t")]);
    let end = proptest::sample::select(vec!["} 1\n", ",} 1\n", "}  1\n", "}1\n", " } 1 7 \n"]);
    (name, labels, layout, end).prop_map(|(name, labels, (first, comma), end)| {
        let brace = if name.starts_with('{') { "" } else { "{" };
        format!("{name}{brace}{first}{}{end}", labels.join(comma))
    })
}

proptest::proptest! {
    /// What is kept of the line before changes nothing.
    #[test]
    fn lines_are_read_the_same_alone_and_behind_others(lines in proptest::collection::vec(line(), 1..8), open: bool) {
        let format = if open { Format::OpenMetrics } else { Format::Text };
        let (whole, mut offset) = (lines.concat(), 0);
        let mut together = Scanner::new(whole.as_bytes(), format);
        for line in &lines {
            let mut alone = Scanner::resume(whole.as_bytes(), format, offset);
            offset += line.len();
            let (one, other) = (together.entry(), alone.entry());
            let (Ok(Some(Entry::Sample)), Ok(Some(Entry::Sample))) = (one, other) else {
                proptest::prop_assert!(one.is_err() && other.is_err(), "{line:?} behind others: {one:?}, alone: {other:?}");
                break;
            };
            let (one, other) = (*together.sample(), *alone.sample());
            proptest::prop_assert!(one.layout.loose || !other.layout.loose);
            proptest::prop_assert_eq!(Sample { layout: other.layout, ..one }, Sample { layout: Layout { plain: one.layout.plain, ..other.layout }, ..other });
            proptest::prop_assert_eq!(one.layout.plain, other.layout.plain);
            proptest::prop_assert_eq!(together.labels(), alone.labels());
        }
    }

    /// Whatever the labels hold, they are read back.
    #[test]
    fn labels_come_back(labels in proptest::collection::vec(("[a-z_]{1,8}", proptest::prelude::any::<String>()), 0..6), open: bool) {
        let mut text = b"metric{".to_vec();
        for (at, (name, value)) in labels.iter().enumerate() {
            text.extend_from_slice(if at > 0 { b"," } else { b"" });
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b"=\"");
            escape_into(value.as_bytes(), true, &mut text);
            text.push(b'"');
        }
        text.extend_from_slice(b"} 1\n");
        let mut scanner = Scanner::new(&text, if open { Format::OpenMetrics } else { Format::Text });
        assert_eq!(scanner.entry().unwrap(), Some(Entry::Sample));
    let sample = scanner.sample();
        proptest::prop_assert_eq!(sample.layout, Layout { plain: true, loose: false });
        let read: Vec<(String, String)> = scanner.labels().iter().map(|label| {
            let mut value = Vec::new();
            unescape(label.value, true, &mut value);
            (String::from_utf8(label.name.raw.to_vec()).unwrap(), String::from_utf8(value).unwrap())
        }).collect();
        proptest::prop_assert_eq!(read, labels);
    }

    /// Names that are escaped are names.
    #[test]
    fn escaped_names_are_of_the_old_form(name in "\\PC{1,12}") {
        let scheme = Escaping::Underscores;
        proptest::prop_assert!(super::super::is_metric_name(scheme.apply(&name).as_bytes()), "{}", scheme.apply(&name));
        proptest::prop_assert!(super::super::is_label_name(scheme.apply_to_label(&name).as_bytes()));
    }

    /// Nothing that is fed makes it panic or go back.
    #[test]
    fn noise_is_read_or_refused(bytes in "[a-z{}\"=, \\n\\\\#0-9.TYPEHLOF\\t]{0,200}", open: bool) {
        let mut scanner = Scanner::new(bytes.as_bytes(), if open { Format::OpenMetrics } else { Format::Text });
        let mut before = 0;
        while let Ok(Some(_)) = scanner.entry() {
            proptest::prop_assert!(scanner.offset() > before);
            before = scanner.offset();
        }
    }
}
