//! What a real Prometheus says to odd bodies, and what the library says.
//!
//! The rules: what Prometheus refuses is refused, or what is written in its place is accepted; what Prometheus accepts is accepted, with the exceptions
//! below; and of what both accept, the samples are the same.

use std::collections::BTreeMap;

use kube_s3_exporter::exposition::{Format, negotiate};
use kube_s3_exporter::podmetrics::{Limits, Page, Target};

use crate::bodies;
use crate::fixtures::{OPEN, TEXT};
use crate::read::{Series, is_own};
use crate::scraped::{Scraped, scrape};
use crate::support::{has, skip};

/// What is asked for, by name.
const ANSWERS: [(&str, &str, Format); 2] = [("text", TEXT, Format::Text), ("openmetrics", OPEN, Format::OpenMetrics)];

/// The label that samples gain, and what its value begins with.
const LABEL: (&str, &str) = ("pod", "mine");

/// What Prometheus 2.42 accepts and the library does not, by a part of the library's reason.
const STRICTER: [(Format, &[u8], &str); 7] = [
    // The format's document has commas between labels, and other readers insist.
    (Format::Text, b"a{b=\"c\" d=\"e\"} 1\n", "a comma or a closing brace was expected"),
    (Format::Text, b"a{b=\"c\"d=\"e\"} 1\n", "a comma or a closing brace was expected"),
    // It has line feeds as `\n`, and other readers take lines one by one.
    (Format::Text, b"a{b=\"c\nd\"} 1\n", "a quotation mark is not closed in its line"),
    (Format::Text, b"a{b=\"\n\"} 1\n", "a quotation mark is not closed in its line"),
    // Prometheus takes a NUL for the end and says nothing of what it did not read.
    (Format::Text, b"a 1\n\0", "neither a comment nor the name of a metric"),
    (Format::Text, b"\0a 1\n", "neither a comment nor the name of a metric"),
    // It takes any byte behind a name for the blank.
    (Format::Text, b"# TYPE a-gauge\na 1\n", "a TYPE without a type"),
];

/// What both accept, and of which Prometheus 2.42 has other samples.
const READ_OTHERWISE: [(Format, &[u8]); 5] = [
    // The NUL again; the library does not look into comments.
    (Format::Text, b"#\0\na 1\n"),
    // Left out: the text format has no such times in Prometheus. With times honoured, it would not keep them either.
    (Format::OpenMetrics, b"a 1 -5\n# EOF\n"),
    (Format::OpenMetrics, b"a 1 -0.5\n# EOF\n"),
    (Format::OpenMetrics, b"a 1 1e20\n# EOF\n"),
    (Format::OpenMetrics, b"a 1 99999999999999999999\n# EOF\n"),
];

fn page(bodies: &[(Format, Vec<u8>)], accept: &str) -> Page {
    let target = |(at, (format, body)): (usize, &(Format, Vec<u8>))| Target {
        added: vec![(LABEL.0.to_owned(), format!("{}{at}", LABEL.1))],
        body: body.clone(),
        format: *format,
    };
    let answer = negotiate(std::iter::once(accept));
    Page::of_bodies(bodies.iter().enumerate().map(target).collect(), answer, Limits::default(), false)
}

/// The samples of an answer that come from body `at`, without the label that says so.
fn of_body(samples: &BTreeMap<Series, String>, at: usize) -> BTreeMap<Series, String> {
    let added = (LABEL.0.to_owned(), format!("{}{at}", LABEL.1));
    let strip = |((name, labels), value): (&Series, &String)| {
        let rest = labels.iter().filter(|label| **label != added && !matches!(label.0.as_str(), "job" | "instance"));
        ((name.clone(), rest.cloned().collect()), value.clone())
    };
    samples.iter().filter(|((name, _), _)| !is_own(name)).map(strip).collect()
}

/// The samples of a body itself, as they should come out of an answer.
fn renamed(samples: &BTreeMap<Series, String>) -> BTreeMap<Series, String> {
    let rename = |((name, mut labels), value): (Series, String)| {
        labels.iter_mut().filter(|(name, _)| *name == LABEL.0).for_each(|(name, _)| *name = format!("exported_{name}"));
        labels.sort();
        ((name, labels), value)
    };
    of_body(samples, usize::MAX).into_iter().map(rename).collect()
}

/// Whether nothing came, went or changed, apart from so many samples that are left out since types differ.
fn same(before: &BTreeMap<Series, String>, after: &BTreeMap<Series, String>, left_out: usize) -> bool {
    after.iter().all(|(series, value)| before.get(series) == Some(value)) && before.len() == after.len() + left_out
}

/// What is wrong with a body; nothing if all rules hold.
fn wrong(at: usize, case: &(Format, Vec<u8>), scraped: &BTreeMap<String, Scraped>) -> Vec<String> {
    let (format, body) = (case.0, case.1.as_slice());
    let stricter = STRICTER.iter().find(|(of, exception, _)| (*of, *exception) == (format, body));
    let otherwise = READ_OTHERWISE.contains(&(format, body));
    let theirs = &scraped[&format!("{at} in")];
    let mut wrong = Vec::new();
    for (name, accept, _) in ANSWERS {
        let page = page(std::slice::from_ref(case), accept);
        let ours = page.failures().next().map(|(_, failure)| failure.to_string());
        match (&theirs.error, &ours, stricter) {
            (None, Some(reason), Some((.., words))) if reason.contains(words) => {}
            (None, Some(reason), _) => wrong.push(format!("only Prometheus accepts it: {reason}")),
            (_, _, Some(_)) => wrong.push("it is no exception any more".to_owned()),
            _ => {}
        }
        let out = &scraped[&format!("{at} {name}")];
        if let Some(error) = &out.error {
            wrong.push(format!("refused after merging: {error}"));
        } else if theirs.error.is_none() && ours.is_none() {
            let (before, after) = (renamed(&theirs.samples), of_body(&out.samples, 0));
            let left_out = usize::try_from(page.left_out().0).unwrap();
            if same(&before, &after, left_out) == otherwise {
                wrong.push(format!("{before:?} became {after:?}"));
            }
        }
    }
    wrong.iter().map(|wrong| format!("{format:?} {:?}: {wrong}", String::from_utf8_lossy(body))).collect()
}

// Pods must answer also while the test computes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_and_the_library_agree() {
    if !has("prometheus") {
        return skip("prometheus_and_the_library_agree", "prometheus");
    }
    let bodies = bodies::all();
    let known = |format: Format, exception: &[u8]| bodies.iter().any(|(of, body)| (*of, body.as_slice()) == (format, exception));
    assert!(STRICTER.iter().all(|(format, exception, _)| known(*format, exception)));
    assert!(READ_OTHERWISE.iter().all(|(format, exception)| known(*format, exception)));
    let mut targets = Vec::new();
    for (at, (format, body)) in bodies.iter().enumerate() {
        targets.push((format!("{at} in"), *format, body.clone()));
        for (name, accept, format) in ANSWERS {
            targets.push((format!("{at} {name}"), format, page(&bodies[at..=at], accept).pieces().flatten().collect()));
        }
    }
    for (name, accept, format) in ANSWERS {
        targets.push((format!("all {name}"), format, page(&bodies, accept).pieces().flatten().collect()));
    }
    let (_, scraped) = scrape(targets).await;

    let mut wrong: Vec<String> = bodies.iter().enumerate().flat_map(|(at, case)| wrong(at, case, &scraped)).collect();
    let all = ANSWERS.iter().filter_map(|(name, ..)| scraped[&format!("all {name}")].error.as_ref());
    wrong.extend(all.map(|error| format!("all of them together: {error}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let accepted = (0..bodies.len()).filter(|at| scraped[&format!("{at} in")].error.is_none()).count();
    assert!(accepted > 100 && bodies.len() - accepted > 100, "{accepted} of {}", bodies.len());
}
