//! Answers of a few small targets, word for word.

mod properties;

use std::sync::Arc;

use super::super::check::{Limits, Terms, check};
use super::super::render::Renderer;
use super::*;
use crate::exposition::{Entry, Format, Scanner, negotiate};

const TEXT: &str = "text/plain;version=0.0.4";
const OPEN: &str = "application/openmetrics-text;version=1.0.0";
const UTF8: &str = "text/plain;version=1.0.0;escaping=allow-utf-8";

/// A target named `p0`, `p1`, ... by its position. OpenMetrics are those that end so.
fn source(at: usize, text: &str, answer: Answer) -> Source {
    let format = if text.trim_end().ends_with("# EOF") { Format::OpenMetrics } else { Format::Text };
    let terms = Terms { format, escaping: answer.escaping, limits: Limits::default(), added: &["instance"], honor_labels: false };
    let added = vec![("instance".to_owned(), format!("p{at}"))];
    Source { added, seconds: 0.5, body: check(text.as_bytes().to_vec(), terms), share: None }
}

fn merged(texts: &[&str], accept: &str, honor_labels: bool) -> Merged {
    let answer = negotiate(std::iter::once(accept));
    let sources = texts.iter().enumerate().map(|(at, text)| source(at, text, answer)).collect();
    Merged::new(sources, answer, honor_labels)
}

fn written(merged: Merged) -> String {
    let mut renderer = Renderer::new(Arc::new(merged));
    let whole: Vec<u8> = std::iter::from_fn(|| renderer.piece()).flatten().collect();
    String::from_utf8(whole).unwrap()
}

/// What follows the samples of the scrapes.
fn families(texts: &[&str], accept: &str) -> String {
    let whole = written(merged(texts, accept, false));
    let own = whole.lines().take_while(|line| !line.starts_with("# ") || is_own(line)).count();
    whole.lines().skip(own).map(|line| format!("{line}\n")).collect()
}

fn is_own(line: &str) -> bool {
    ["up ", "scrape_", "s3exporter_podmetrics_scrape_failed "].iter().any(|name| line[7..].starts_with(name))
}

#[test]
fn one_help_and_type_and_all_samples_together() {
    let one = "# HELP a Of one.\n# TYPE a counter\na{x=\"1\"} 1\na 2 77\n# TYPE b gauge\nb 3\na{x=\"2\",} 4\n";
    let two = "# TYPE b gauge\nb{} 5\n# HELP a Of two.\n# TYPE a counter\na{x=\"1\"} +Inf";
    assert_eq!(
        families(&[one, two], TEXT),
        "# HELP a Of one.\n# TYPE a counter\na{instance=\"p0\",x=\"1\"} 1\na{instance=\"p0\"} 2 77\na{instance=\"p0\",x=\"2\",} 4\n\
         a{instance=\"p1\",x=\"1\"} +Inf\n# TYPE b gauge\nb{instance=\"p0\"} 3\nb{instance=\"p1\"} 5\n"
    );
}

#[test]
fn the_scrapes_themselves_are_told() {
    let whole = written(merged(&["a 1\n# a\nb 2", "a x\n"], TEXT, false));
    let lines: Vec<&str> = whole.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            "up{instance=\"p0\"} 1",
            "up{instance=\"p1\"} 0",
            "s3exporter_podmetrics_scrape_failed{instance=\"p1\",reason=\"syntax\"} 1",
            "scrape_duration_seconds{instance=\"p0\"} 0.500000",
            "scrape_duration_seconds{instance=\"p1\"} 0.500000",
            "scrape_samples_scraped{instance=\"p0\"} 2",
            "scrape_samples_scraped{instance=\"p1\"} 0",
            "scrape_body_size_bytes{instance=\"p0\"} 11",
            "scrape_body_size_bytes{instance=\"p1\"} 0",
            "a{instance=\"p0\"} 1",
            "b{instance=\"p0\"} 2",
        ]
    );
    assert!(written(merged(&["a 1\n"], OPEN, false)).ends_with("# TYPE a unknown\na{instance=\"p0\"} 1\n# EOF\n"));
}

#[test]
fn the_type_of_most_stands_and_those_without_follow() {
    let gauge = "# TYPE a gauge\na 1\n";
    let counter = "# TYPE a counter\na 2\n";
    let nothing = "a 3\n";
    let answer = merged(&[counter, gauge, nothing, gauge], TEXT, false);
    assert_eq!(answer.conflicts, 1);
    assert!(written(answer).ends_with("# TYPE a gauge\na{instance=\"p1\"} 1\na{instance=\"p2\"} 3\na{instance=\"p3\"} 1\n"));
    // The first of equals.
    assert!(
        families(&[nothing, counter, gauge], TEXT).starts_with("# TYPE a counter\na{instance=\"p0\"} 3\na{instance=\"p1\"} 2\n")
    );
}

#[test]
fn samples_of_a_histogram_follow_it_without_a_type() {
    let typed = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n";
    let bare = "h_sum 3\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh 5\n";
    for accept in [TEXT, OPEN] {
        let answer = merged(&[bare, typed], accept, false);
        assert_eq!(answer.conflicts, 1, "`h` is no sample of a histogram");
        let text = written(answer);
        assert_eq!(text.matches("# TYPE h").count(), 1);
        let expected = "h_sum{instance=\"p0\"} 3\nh_bucket{instance=\"p0\",le=\"+Inf\"} 1\nh_count{instance=\"p0\"} 1\nh_bucket{instance=\"p1\",le=\"+Inf\"} 1\n";
        assert!(text.contains(expected), "{text}");
    }
    // Two claim the name: the majority has it, else the first.
    let other = "# TYPE h_count gauge\nh_count 9\n";
    assert_eq!(
        families(&[typed, other, other], TEXT),
        "# TYPE h_count gauge\nh_count{instance=\"p1\"} 9\nh_count{instance=\"p2\"} 9\n"
    );
    assert!(!families(&[typed, other], TEXT).contains('9'));
}

#[test]
fn counters_have_their_names_in_each_format() {
    let text = "# HELP a_total Say \"a\".\n# TYPE a_total counter\na_total 1 1500\n";
    let open = "# HELP a Say \\\"a\\\".\n# TYPE a counter\na_total 2 2.5 # {t=\"x\"} 1\na_created 100.5\n# EOF\n";
    assert_eq!(
        families(&[text, open], OPEN),
        "# HELP a Say \\\"a\\\".\n# TYPE a counter\na_total{instance=\"p0\"} 1 1.500\n\
         a_total{instance=\"p1\"} 2 2.5 # {t=\"x\"} 1\na_created{instance=\"p1\"} 100.5\n# EOF\n"
    );
    assert_eq!(
        families(&[open, text], TEXT),
        "# TYPE a_created gauge\na_created{instance=\"p0\"} 100.5\n# HELP a_total Say \"a\".\n# TYPE a_total counter\n\
         a_total{instance=\"p0\"} 2 2500\na_total{instance=\"p1\"} 1 1500\n"
    );
}

#[test]
fn counters_that_openmetrics_cannot_name_are_of_unknown_type() {
    assert_eq!(families(&["# TYPE a counter\na 1\n"], OPEN), "# TYPE a unknown\na{instance=\"p0\"} 1\n# EOF\n");
    // The shorter name is another's.
    let both = "# TYPE a_total counter\na_total 1\n# TYPE a gauge\na 2\n";
    let open = "# TYPE a counter\na_total 3\na_created 4\n# EOF\n";
    let expected = "# TYPE a gauge\na{instance=\"p0\"} 2\n# TYPE a_created unknown\na_created{instance=\"p1\"} 4\n\
                    # TYPE a_total unknown\na_total{instance=\"p0\"} 1\na_total{instance=\"p1\"} 3\n# EOF\n";
    assert_eq!(families(&[both, open], OPEN), expected);
}

#[test]
fn types_of_openmetrics_are_gauges_in_the_text_format() {
    let open = "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"on\"} 1\n# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 1\n\
                g_gcount 1\ng_gsum 2\n# TYPE b_bytes gauge\n# UNIT b_bytes bytes\nb_bytes 1\n# EOF\n";
    let text = "# TYPE i_info gauge\ni_info 1\n";
    assert_eq!(
        families(&[open, text], TEXT),
        "# TYPE b_bytes gauge\nb_bytes{instance=\"p0\"} 1\n# TYPE g_bucket untyped\ng_bucket{instance=\"p0\",le=\"+Inf\"} 1\n\
         # TYPE g_gcount gauge\ng_gcount{instance=\"p0\"} 1\n# TYPE g_gsum gauge\ng_gsum{instance=\"p0\"} 2\n# TYPE i_info gauge\n\
         i_info{instance=\"p0\",v=\"1\"} 1\ni_info{instance=\"p1\"} 1\n# TYPE s gauge\ns{instance=\"p0\",s=\"on\"} 1\n"
    );
    let both = families(&[open, text], OPEN);
    assert!(both.contains("# TYPE i_info gauge\n") && both.contains("# TYPE s stateset\n"), "{both}");
    assert!(both.contains("# TYPE b_bytes gauge\n# UNIT b_bytes bytes\n"), "{both}");
    assert!(families(&[open], OPEN).contains("# TYPE i info\ni_info{"));
}

/// One exemplar at another name makes Prometheus before 2.43 refuse the whole answer.
#[test]
fn exemplars_stand_where_every_reader_takes_them() {
    let open = "# TYPE a gauge\na 1 # {t=\"x\"} 1\n# TYPE b counter\nb_total 2 # {t=\"x\"} 1\nb_created 3 # {t=\"x\"} 1\n# EOF\n";
    assert_eq!(
        families(&[open], OPEN),
        "# TYPE a gauge\na{instance=\"p0\"} 1\n# TYPE b counter\nb_total{instance=\"p0\"} 2 # {t=\"x\"} 1\n\
         b_created{instance=\"p0\"} 3\n# EOF\n"
    );
    // By its type, too: the counter cannot be one beside a gauge of its name.
    let clash = "# TYPE b gauge\nb 1\n";
    assert!(families(&[open, clash], OPEN).contains("# TYPE b_total unknown\nb_total{instance=\"p0\"} 2\n"));
    let younger = families(&[open], "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8");
    assert!(younger.contains("a{instance=\"p0\"} 1 # {t=\"x\"} 1\n"), "{younger}");
}

#[test]
fn openmetrics_of_go_and_of_kube_state_metrics_keep_their_types() {
    // Go's clients have two families of one name, kube-state-metrics names families like their samples.
    let go = "# TYPE b gauge\nb 1\n# TYPE b counter\nb_total 2\n# EOF\n";
    let state = "# TYPE r_total counter\nr_total{x=\"1\"} 3\n# TYPE p_info info\np_info 1\n# EOF\n";
    assert_eq!(
        families(&[go, state], TEXT),
        "# TYPE b gauge\nb{instance=\"p0\"} 1\n# TYPE b_total counter\nb_total{instance=\"p0\"} 2\n# TYPE p_info gauge\n\
         p_info{instance=\"p1\"} 1\n# TYPE r_total counter\nr_total{instance=\"p1\",x=\"1\"} 3\n"
    );
    assert_eq!(
        families(&[go, state], OPEN),
        "# TYPE b gauge\nb{instance=\"p0\"} 1\n# TYPE b_total unknown\nb_total{instance=\"p0\"} 2\n# TYPE p info\np_info{instance=\"p1\"} 1\n\
         # TYPE r counter\nr_total{instance=\"p1\",x=\"1\"} 3\n# EOF\n"
    );
}

#[test]
fn openmetrics_has_the_samples_of_a_metric_together() {
    let text = "# TYPE s summary\ns_sum{a=\"1\"} 1\ns_sum{a=\"2\"} 2\ns_count{a=\"1\"} 3\ns_count{a=\"2\"} 4\n# TYPE s_created gauge\n\
                s_created{a=\"2\"} 5\ns_created{a=\"1\"} 6\n";
    assert_eq!(
        families(&[text], OPEN),
        "# TYPE s summary\ns_sum{instance=\"p0\",a=\"1\"} 1\ns_count{instance=\"p0\",a=\"1\"} 3\ns_created{instance=\"p0\",a=\"1\"} 6\n\
         s_sum{instance=\"p0\",a=\"2\"} 2\ns_count{instance=\"p0\",a=\"2\"} 4\ns_created{instance=\"p0\",a=\"2\"} 5\n# EOF\n"
    );
    let as_it_was = families(&[text], TEXT);
    assert!(
        as_it_was.starts_with("# TYPE s summary\ns_sum{instance=\"p0\",a=\"1\"} 1\ns_sum{instance=\"p0\",a=\"2\"} 2\n"),
        "{as_it_was}"
    );
}

#[test]
fn what_is_legal_in_text_alone_is_laid_out_anew_for_openmetrics() {
    let text = "a { x = \"1\" , }\t1\nb{y=\"2\",} 2 \n c 3\t4\nd{z=\"\\q\"} 5\n";
    assert_eq!(
        families(&[text], OPEN),
        "# TYPE a unknown\na{instance=\"p0\",x=\"1\"} 1\n# TYPE b unknown\nb{instance=\"p0\",y=\"2\"} 2\n\
         # TYPE c unknown\nc{instance=\"p0\"} 3 0.004\n# TYPE d unknown\nd{instance=\"p0\",z=\"\\\\q\"} 5\n# EOF\n"
    );
}

#[test]
fn names_in_utf8_are_for_those_who_read_them() {
    let text = "# HELP \"a.b\" x\n# TYPE \"a.b\" gauge\n{\"a.b\",\"c.d\"=\"1\"} 1\n{\"a.b\"} 2\n";
    assert_eq!(
        families(&[text], UTF8),
        "# HELP \"a.b\" x\n# TYPE \"a.b\" gauge\n{\"a.b\",instance=\"p0\",\"c.d\"=\"1\"} 1\n{\"a.b\",instance=\"p0\"} 2\n"
    );
    assert_eq!(
        families(&[text], TEXT),
        "# HELP a_b x\n# TYPE a_b gauge\na_b{instance=\"p0\",c_d=\"1\"} 1\na_b{instance=\"p0\"} 2\n"
    );
    // Two names that become one: the first stands.
    assert_eq!(families(&["{\"a.b\"} 1\n{\"a-b\"} 2\na_b 3\n"], TEXT), "# TYPE a_b untyped\na_b{instance=\"p0\"} 1\n");
}

#[test]
fn labels_of_the_same_name_are_exported_or_honoured() {
    let text = "a{instance=\"x\",exported_instance=\"y\"} 1\nb{instance=\"p1\"} 2\n";
    let other = "b 3\n";
    let out = families(&[text, other], TEXT);
    assert!(out.contains("a{instance=\"p0\",exported_exported_instance=\"x\",exported_instance=\"y\"} 1\n"), "{out}");
    assert!(out.contains("b{instance=\"p0\",exported_instance=\"p1\"} 2\nb{instance=\"p1\"} 3\n"), "{out}");
    let honoured = merged(&[text, other], TEXT, true);
    assert_eq!(honoured.repeated.len(), 1);
    let out = written(honoured);
    assert!(out.contains("a{instance=\"x\",exported_instance=\"y\"} 1\n") && out.contains("b{instance=\"p1\"} 2\n"), "{out}");
    assert!(!out.contains("} 3\n"));
}

#[test]
fn a_family_larger_than_a_piece_is_written_whole() {
    let text: String = (0..30_000).map(|at| format!("a{{x=\"{at}\"}} {at}\n")).collect();
    let out = families(&[&text, "a 1\n"], TEXT);
    assert_eq!(out.lines().count(), 30_002);
    assert!(out.ends_with("a{instance=\"p0\",x=\"29999\"} 29999\na{instance=\"p1\"} 1\n"));
}

/// The end of a piece can be anywhere, also between the head of a family and its samples.
#[test]
fn heads_are_written_once_wherever_a_piece_ends() {
    let families = |padding: usize| -> String {
        let help = "x".repeat(padding);
        (0..600).map(|at| format!("# HELP f{at} {help}\n# TYPE f{at} gauge\nf{at} 1\n")).collect()
    };
    for padding in 1_500..1_510 {
        let whole = written(merged(&[&families(padding)], TEXT, false));
        assert_eq!(whole.matches("# TYPE f").count(), 600, "{padding}");
        assert_eq!(whole.matches("\nf").count(), 600, "{padding}");
    }
}

#[test]
fn one_type_does_not_stand_against_many_that_say_nothing() {
    let histogram = "# TYPE load histogram\nload_bucket{le=\"+Inf\"} 1\nload_sum 1\nload_count 1\n";
    let answer = merged(&["load 1\n", "load 1\n", histogram], TEXT, false);
    assert_eq!(answer.conflicts, 3);
    assert!(written(answer).ends_with("# TYPE load untyped\nload{instance=\"p0\"} 1\nload{instance=\"p1\"} 1\n"));
}

#[test]
fn a_gauge_that_only_ends_like_a_time_of_creation_is_none() {
    let orders = "# TYPE orders_total counter\norders_total 3\n# TYPE orders_created gauge\norders_created{shop=\"x\"} 17\n";
    let out = families(&[orders], OPEN);
    assert!(out.contains("# TYPE orders_created gauge\n") && out.contains("# TYPE orders_total unknown\n"), "{out}");
}

#[test]
fn what_loses_takes_nothing_with_it() {
    let histogram = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    let count = "# TYPE h_count gauge\nh_count 7\n";
    let out = families(&[histogram, count, count, "# TYPE h_bucket gauge\nh_bucket 3\n", "h_sum 4\n"], TEXT);
    assert!(
        out.contains("h_count{instance=\"p1\"} 7")
            && out.contains("h_bucket{instance=\"p3\"} 3")
            && out.contains("h_sum{instance=\"p4\"} 4")
    );
}

#[test]
fn help_is_that_of_the_family_and_has_no_illegal_escapes() {
    let part = "# HELP h_count of count\nh_count 1\n";
    let whole = "# HELP h real C:\\temp\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
    assert!(families(&[part, whole], TEXT).starts_with("# HELP h real C:\\\\temp\n# TYPE h histogram\n"));
}
