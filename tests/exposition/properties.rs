//! Properties of merged answers, over pieces of what real exporters answer and what can happen to them.

use std::fmt;

use kube_s3_exporter::exposition::{Answer, Format, negotiate};
use kube_s3_exporter::podmetrics::{Limits, Page, Target};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::fixtures::{FIXTURES, Fixture, Merged, OPEN, OPEN_UTF8, TEXT, UTF8, labels};
use crate::read::{Samples, Terms, expected, read, same};

/// A body of a pod.
#[derive(Clone)]
struct Body {
    format: Format,
    text: Vec<u8>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.format, String::from_utf8_lossy(&self.text))
    }
}

/// What happens to a body.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Delete(Index, usize),
    Insert(Index, &'static str),
    Repeat(Index, usize),
    Truncate(Index),
}

/// Bytes that mean something.
const TOKENS: [&str; 22] = [
    "\"",
    "\\",
    "{",
    "}",
    ",",
    "=",
    " ",
    "\t",
    "\n",
    "\r",
    "\0",
    "#",
    "# EOF\n",
    "# TYPE ",
    "_total",
    "_bucket",
    "NaN",
    "-1",
    "1e400",
    " # {} 1",
    "{\"a.b\"} 1\n",
    "\u{e9}",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Flip(at, byte)),
        (any::<Index>(), 1_usize..40).prop_map(|(at, length)| Mutation::Delete(at, length)),
        (any::<Index>(), select(&TOKENS[..])).prop_map(|(at, token)| Mutation::Insert(at, token)),
        (any::<Index>(), 1_usize..200).prop_map(|(at, length)| Mutation::Repeat(at, length)),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(text: &mut Vec<u8>, mutation: &Mutation) {
    if text.is_empty() {
        return;
    }
    let (at, length) = match mutation {
        Mutation::Flip(at, _) | Mutation::Insert(at, _) | Mutation::Truncate(at) => (at.index(text.len()), 0),
        Mutation::Delete(at, length) | Mutation::Repeat(at, length) => (at.index(text.len()), *length),
    };
    let end = (at + length).min(text.len());
    match mutation {
        Mutation::Flip(_, byte) => text[at] = *byte,
        Mutation::Delete(..) => drop(text.drain(at..end)),
        Mutation::Insert(_, token) => drop(text.splice(at..at, token.bytes())),
        Mutation::Repeat(..) => text.extend_from_within(at..end),
        Mutation::Truncate(_) => text.truncate(at),
    }
}

/// Some lines of a fixture, in their order.
fn piece() -> impl Strategy<Value = Body> {
    (select(&FIXTURES[..]), any::<Index>(), 1_usize..60).prop_map(|(fixture, from, lines): (Fixture, Index, usize)| {
        let all: Vec<&[u8]> = fixture.text.split_inclusive(|byte| *byte == b'\n').collect();
        let mut text = all.iter().skip(from.index(all.len())).take(lines).copied().collect::<Vec<_>>().concat();
        if fixture.format == Format::OpenMetrics && !text.ends_with(b"# EOF\n") {
            text.extend_from_slice(b"# EOF\n");
        }
        Body { format: fixture.format, text }
    })
}

/// The same lines, to which something happened.
fn spoilt() -> impl Strategy<Value = Body> {
    (piece(), prop::collection::vec(mutation(), 1..5)).prop_map(|(mut body, mutations)| {
        mutations.iter().for_each(|mutation| mutate(&mut body.text, mutation));
        body
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    select(&[TEXT, OPEN, UTF8, OPEN_UTF8, "text/plain;escaping=dots", "application/openmetrics-text;escaping=values"][..])
        .prop_map(|accept| negotiate(std::iter::once(accept)))
}

/// Pods by their numbers, so that a pod has the same labels whoever is beside it.
fn page(bodies: &[(usize, &Body)], answer: Answer) -> Page {
    let target = |(at, body): &(usize, &Body)| Target { added: labels(*at), body: body.text.clone(), format: body.format };
    Page::of_bodies(bodies.iter().map(target).collect(), answer, Limits::default(), false)
}

fn text(page: &Page) -> Vec<u8> {
    page.pieces().flatten().collect()
}

fn of_pod(samples: &Samples, pod: usize) -> Samples {
    let label = ("instance".to_owned(), format!("pod-{pod}"));
    let of_pod = samples.iter().filter(|((_, labels), _)| labels.contains(&label));
    Merged::without_own(of_pod.map(|(series, point)| (series.clone(), point.clone())).collect())
}

proptest! {
    /// Whatever the pods answer, the answer parses, has no series twice and its families in one piece, and the good samples are in it as they were.
    #[test]
    fn the_answer_is_good_and_holds_what_was_sent(bodies in prop::collection::vec(prop_oneof![piece(), spoilt()], 1..5), answer in answer()) {
        let numbered: Vec<(usize, &Body)> = bodies.iter().enumerate().collect();
        let page = page(&numbered, answer);
        let found = read(&text(&page), answer.format).map_err(TestCaseError::fail)?;
        let failed: Vec<usize> = page.failures().map(|(at, _)| at).collect();
        let mut missing = 0;
        for (at, body) in numbered.iter().filter(|(at, _)| !failed.contains(at)) {
            let mut found = of_pod(&found, *at);
            let terms = Terms { added: &labels(*at), from: body.format, to: answer.format, escaping: answer.escaping };
            for (series, sent) in expected(&body.text, &terms) {
                match found.remove(&series) {
                    Some(got) => prop_assert!(same(&sent, body.format, &got, answer.format), "{series:?} was {sent:?} and is {got:?}"),
                    None => missing += 1,
                }
            }
            prop_assert!(found.is_empty(), "nobody sent {found:?}");
        }
        prop_assert_eq!(missing, page.left_out().0);
    }

    /// Whatever happens to a pod, the samples of the others stay as they are, apart from those whose TYPE loses then.
    #[test]
    fn one_pod_never_spoils_the_others(good in piece(), bad in spoilt(), first: bool, answer in answer()) {
        let (alone, pair) = (page(&[(0, &good)], answer), if first { [(1, &bad), (0, &good)] } else { [(0, &good), (1, &bad)] });
        let both = page(&pair, answer);
        let before = of_pod(&read(&text(&alone), answer.format).map_err(TestCaseError::fail)?, 0);
        let mut after = of_pod(&read(&text(&both), answer.format).map_err(TestCaseError::fail)?, 0);
        let terms = Terms { added: &labels(0), from: good.format, to: answer.format, escaping: answer.escaping };
        let sent = expected(&good.text, &terms);
        let mut missing = 0;
        for series in before.keys() {
            match after.remove(series) {
                Some(got) => {
                    let sent = &sent[series];
                    prop_assert!(same(sent, good.format, &got, answer.format), "{series:?} was {sent:?} and is {got:?}");
                }
                None => missing += 1,
            }
        }
        // A sample can win by the vote of the other, too: its own pod has two types for the name.
        prop_assert!(after.len() as u64 <= alone.left_out().0, "came from nowhere: {after:?}");
        prop_assert!(missing <= both.left_out().0, "{missing} are missing");
        if both.failures().next().is_some() {
            prop_assert_eq!(missing, 0);
        }
    }

    /// Nothing but the bodies and their order counts, whoever reads the answer and however often.
    #[test]
    fn the_same_bodies_give_the_same_bytes(bodies in prop::collection::vec(prop_oneof![piece(), spoilt()], 1..5), answer in answer()) {
        let numbered: Vec<(usize, &Body)> = bodies.iter().enumerate().collect();
        let (one, other) = (page(&numbered, answer), page(&numbered, answer));
        let whole = text(&one);
        prop_assert_eq!(&whole, &text(&one));
        prop_assert_eq!(&whole, &text(&other));
    }
}
