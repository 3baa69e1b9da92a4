//! The check and the merging of pods' answers: no bytes make them panic, what goes out can be read, and a pod beside a bad one keeps its samples.
#![no_main]

use std::collections::HashSet;
use std::sync::LazyLock;

use kube_s3_exporter::exposition::{Answer, Entry, Format, Scanner, negotiate};
use kube_s3_exporter::podmetrics::{Limits, Page, Target};
use libfuzzer_sys::fuzz_target;

const ASKED: [&str; 4] = [
    "text/plain",
    "application/openmetrics-text",
    "text/plain;version=1.0.0;escaping=allow-utf-8",
    "application/openmetrics-text;escaping=allow-utf-8",
];

const GOOD: &str = "# HELP a Help.\n# TYPE a counter\na_total{b=\"c\"} 1 5 # {d=\"e\"} 1\na_created{b=\"c\"} 5\n# TYPE f histogram\n\
                    f_bucket{le=\"1\"} 1\nf_bucket{le=\"+Inf\"} 2\nf_sum 3\nf_count 2\n# TYPE g info\ng_info{v=\"1\"} 1\nh 1\n\
                    # TYPE i gauge\n# UNIT i_bytes bytes\ni{b=\"\\\"\\\\\\n\"} NaN\ni 2\n# EOF\n";

fn page(bad: &[u8], format: Format, answer: Answer, first: bool, honor_labels: bool) -> Page {
    let target = |name: &str, body: &[u8], format| {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Target { added: vec![label("pod", name), label("pod_ip", "::1")], body: body.to_vec(), format }
    };
    let mut targets = vec![target("bad", bad, format), target("good", GOOD.as_bytes(), Format::OpenMetrics)];
    if !first {
        targets.reverse();
    }
    Page::of_bodies(targets, answer, Limits { samples: 10_000, ..Limits::default() }, honor_labels)
}

/// The samples of the good pod. Panics if the answer cannot be read.
fn read(page: &Page) -> HashSet<Vec<Vec<u8>>> {
    let text: Vec<u8> = page.pieces().flatten().collect();
    let mut scanner = Scanner::new(&text, page.answer().format);
    let (mut types, mut series, mut good) = (HashSet::new(), HashSet::new(), HashSet::new());
    while let Some(entry) = scanner.entry().expect("what was merged can be read") {
        match entry {
            Entry::Type(name, _) => assert!(types.insert(name.raw.to_vec()), "one TYPE for each family"),
            Entry::Sample => {
                let sample = scanner.sample();
                let labels = scanner.labels().iter().filter(|label| !label.value.is_empty());
                let mut parts: Vec<Vec<u8>> = labels.map(|label| label.whole.to_vec()).collect();
                let of_good = parts.iter().any(|part| part == b"pod=\"good");
                parts.sort();
                parts.push(sample.name.raw.to_vec());
                assert!(series.insert(parts.clone()), "no series twice");
                if of_good && !sample.name.raw.starts_with(b"scrape_") {
                    parts.push(sample.value.to_vec());
                    good.insert(parts);
                }
            }
            _ => {}
        }
    }
    good
}

/// What the good pod gives alone, for each of what can be asked for, with its labels honoured and without.
static ALONE: LazyLock<Vec<[HashSet<Vec<Vec<u8>>>; 2]>> = LazyLock::new(|| {
    let answers = ASKED.iter().map(|asked| negotiate(std::iter::once(*asked)));
    answers.map(|answer| [false, true].map(|honor_labels| read(&page(b"", Format::Text, answer, false, honor_labels)))).collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bad)) = bytes.split_first() else { return };
    let format = if choice & 1 == 0 { Format::Text } else { Format::OpenMetrics };
    let asked = usize::from(choice >> 3) % ASKED.len();
    let answer = negotiate(std::iter::once(ASKED[asked]));
    let honor_labels = choice & 4 != 0;
    let both = page(bad, format, answer, choice & 2 != 0, honor_labels);
    let kept = read(&both);
    let lost = ALONE[asked][usize::from(honor_labels)].difference(&kept).count() as u64;
    let (conflicts, repeated) = both.left_out();
    // Types are voted on; and with its labels honoured, a pod can be first to give the series of another.
    assert!(lost <= conflicts + repeated, "{lost} samples are lost");
    assert!(both.failures().next().is_none() || lost == 0, "a refused body takes nothing with it");
});
