//! What holds of the answers of any targets.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::exposition::Kind;

/// A series and its value, apart from what the way out adds.
type Samples = BTreeMap<(String, Vec<(String, String)>), String>;

fn samples(text: &str, format: Format) -> Samples {
    let mut scanner = Scanner::new(text.as_bytes(), format);
    let mut out = Samples::new();
    let show = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (mut families, mut last) = (HashSet::new(), String::new());
    while let Some(entry) = scanner.entry().unwrap() {
        match entry {
            Entry::Type(name, _) => {
                last = show(name.raw);
                assert!(families.insert(last.clone()), "{last} comes twice");
            }
            Entry::Sample => {
                let sample = scanner.sample();
                let name = show(sample.name.raw);
                assert!(name.starts_with(&last), "{name} stands below {last}");
                let mut labels: Vec<(String, String)> =
                    scanner.labels().iter().map(|label| (show(label.name.raw), show(label.value))).collect();
                labels.sort();
                let before = out.insert((name, labels), show(sample.value));
                assert!(before.is_none(), "a series comes twice");
            }
            _ => {}
        }
    }
    out
}

/// Lines of a few families with and without types, in any order, perhaps repeated.
fn body() -> impl Strategy<Value = String> {
    let sample = (0_u8..5, 0_u8..4, 0_u16..1000).prop_map(|(name, label, value)| match (name, label) {
        (4, label) => format!("h_bucket{{le=\"{label}\"}} {value}\nh_sum {value}\n"),
        (name, 0) => format!("m{name} {value}\n"),
        (name, label) => format!("m{name}{{x=\"{label}\",y=\"a\\\"b\"}} {value}.5\n"),
    });
    let kind =
        prop::sample::select(vec!["# TYPE h histogram\n", "# TYPE m0 counter\n", "# TYPE m1 gauge\n", "# HELP m2 x\n", "\n"]);
    (prop::collection::vec(kind, 0..5), prop::collection::vec(sample, 0..20))
        .prop_map(|(kinds, samples)| kinds.concat() + &samples.concat())
}

proptest! {
    #[test]
    fn the_answer_holds_exactly_the_samples_and_their_labels(bodies in prop::collection::vec(body(), 1..5), open: bool) {
        let (accept, format) = if open { (OPEN, Format::OpenMetrics) } else { (TEXT, Format::Text) };
        let texts: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let mut expected = Samples::new();
        for (at, text) in texts.iter().enumerate() {
            let mut scanner = Scanner::new(text.as_bytes(), Format::Text);
            while let Some(entry) = scanner.entry().unwrap() {
                let Entry::Sample = entry else { continue };
                let sample = scanner.sample();
                let show = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let mut labels: Vec<(String, String)> = scanner.labels().iter().map(|label| (show(label.name.raw), show(label.value))).collect();
                labels.push(("instance".to_owned(), format!("p{at}")));
                labels.sort();
                expected.entry((show(sample.name.raw), labels)).or_insert(show(sample.value));
            }
        }
        let mut found = samples(&written(merged(&texts, accept, false)), format);
        found.retain(|(name, _), _| name.starts_with(['m', 'h']));
        prop_assert_eq!(found, expected);
    }

    /// Whatever happens to the body of one target, the samples of the others stay; apart from types, which are voted on.
    #[test]
    fn one_target_never_spoils_the_others(good in body(), bad in body(), at in 0_usize..200, byte: u8) {
        let mut spoilt = bad.into_bytes();
        if !spoilt.is_empty() {
            let at = at % spoilt.len();
            spoilt[at] = byte;
        }
        let answer = negotiate(std::iter::once(TEXT));
        let terms = Terms { format: Format::Text, escaping: answer.escaping, limits: Limits::default(), added: &["instance"], honor_labels: false };
        let second = Source { added: vec![("instance".to_owned(), "p1".to_owned())], seconds: 0.5, body: check(spoilt, terms), share: None };
        let alone = samples(&written(merged(&[&good], TEXT, false)), Format::Text);
        let both = Merged::new(vec![source(0, &good, answer), second], answer, false);
        let conflicts = both.conflicts;
        let both = samples(&written(both), Format::Text);
        let kept = alone.iter().filter(|(series, value)| both.get(series) == Some(value)).count();
        prop_assert!(alone.len() - kept <= usize::try_from(conflicts).unwrap());
    }
}

/// Names with which families of other types can collide.
fn tangled() -> impl Strategy<Value = String> {
    let stem = || prop::sample::select(vec!["a", "a_created", "a_total", "b", "up"]);
    let kind =
        prop::sample::select(vec!["counter", "gauge", "histogram", "summary", "info", "stateset", "gaugehistogram", "unknown"]);
    let end = prop::sample::select(vec!["", "_total", "_created", "_info", "_bucket", "_sum", "_count", "_gsum", "_gcount"]);
    let label = prop::sample::select(vec![
        "",
        "{x=\"1\"}",
        "{le=\"+Inf\"}",
        "{instance=\"z\"}",
        "{exported_instance=\"z\"}",
        "{\"x.y\"=\"1\"}",
    ]);
    let types = prop::collection::vec((stem(), kind), 0..4);
    let samples = prop::collection::vec((stem(), end, label, 0_u8..9), 0..12);
    (types, samples, any::<bool>()).prop_map(|(types, samples, open)| {
        let known = |kind: &str| open || !matches!(kind, "info" | "stateset" | "gaugehistogram");
        let word = |kind: &'static str| if kind == "unknown" && !open { "untyped" } else { kind };
        let mut text: String =
            types.iter().filter(|(_, kind)| known(kind)).map(|(name, kind)| format!("# TYPE {name} {}\n", word(kind))).collect();
        text.extend(samples.iter().map(|(name, end, label, value)| format!("{name}{end}{label} {value}\n")));
        if open { text + "# EOF\n" } else { text }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However names and types collide: no name of a family or of its samples is another's, no series comes twice, and what does not come out is counted.
    #[test]
    fn no_name_is_claimed_twice_and_nothing_is_lost_uncounted(bodies in prop::collection::vec(tangled(), 1..4), open: bool) {
        let (accept, format) = if open { (OPEN, Format::OpenMetrics) } else { (TEXT, Format::Text) };
        let texts: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let merged = merged(&texts, accept, false);
        let good = || merged.sources.iter().filter_map(|source| source.body.as_ref().ok());
        let came: u64 = good().map(|body| u64::from(body.samples)).sum();
        let counted: u64 = good().map(|body| u64::from(body.duplicates + body.reserved + body.untimely)).sum::<u64>() + merged.conflicts;
        let text = written(merged);
        let mut claimed = HashMap::new();
        let mut types: Vec<(String, Kind)> = Vec::new();
        let mut scanner = Scanner::new(text.as_bytes(), format);
        while let Some(entry) = scanner.entry().unwrap() {
            let Entry::Type(name, kind) = entry else { continue };
            let name = String::from_utf8(name.raw.to_vec()).unwrap();
            let mut claims: Vec<String> = kind.suffixes(format).iter().map(|end| format!("{name}{end}")).collect();
            if !claims.contains(&name) {
                claims.push(name.clone());
            }
            for claim in claims {
                let before = claimed.insert(claim.clone(), name.clone());
                prop_assert!(before.is_none(), "{claim} is claimed by {before:?} and {name}:\n{text}");
            }
            types.push((name, kind));
        }
        // Checks that no series comes twice.
        let out = samples(&text, format);
        let own = ["up", "scrape_", "s3exporter_"];
        let went = out.keys().filter(|(name, _)| !own.iter().any(|own| name == own || (*own != "up" && name.starts_with(own)))).count() as u64;
        prop_assert_eq!(went + counted, came, "{}", text);
    }
}
