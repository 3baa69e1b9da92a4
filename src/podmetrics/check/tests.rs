//! What is refused, and what is left out.

use super::*;

fn checked(text: &str) -> Result<Body, Failure> {
    let limits = Limits { samples: 5, families: 10, labels: 3, name_bytes: 20, value_bytes: 30 };
    let terms = Terms { format: Format::Text, escaping: Escaping::Underscores, limits, added: &["job"], honor_labels: false };
    check(text.as_bytes().to_vec(), terms)
}

fn reason(text: &str) -> Reason {
    checked(text).expect_err("it is refused").reason
}

#[test]
fn limits_hold() {
    assert!(checked("a 1\nb 1\nc 1\nd 1\ne 1\n").is_ok());
    assert_eq!(reason("a 1\nb 1\nc 1\nd 1\ne 1\nf 1\n"), Reason::SampleLimit);
    assert_eq!(reason("a{b=\"\",c=\"\",d=\"\",e=\"\"} 1\n"), Reason::LabelLimit);
    assert_eq!(reason(&format!("{} 1\n", "a".repeat(21))), Reason::LabelLimit);
    assert_eq!(reason(&format!("a{{{}=\"\"}} 1\n", "b".repeat(21))), Reason::LabelLimit);
    assert_eq!(reason(&format!("a{{b=\"{}\"}} 1\n", "c".repeat(31))), Reason::LabelLimit);
}

#[test]
fn what_prometheus_refuses_is_refused_with_its_line() {
    for text in ["a{b=\"1\",b=\"2\"} 1\n", "a{__name__=\"b\"} 1\n", "a 0x1\n", "a 1\r\n", "<!DOCTYPE html>"] {
        assert_eq!(reason(text), Reason::Syntax, "{text:?}");
    }
    assert_eq!(checked("a 1\n\nb one\n").unwrap_err().to_string(), "line 3: a value is not a number");
    assert_eq!(checked("a{b=\"1\",b=\"2\"} 1\n").unwrap_err().to_string(), "line 1: the label b comes twice");
}

/// A name that is legal in quotation marks can be escaped to one that spoils the whole answer.
#[test]
fn labels_are_looked_at_as_they_go_out() {
    assert_eq!(reason("a{\"..name__\"=\"b\"} 1\n"), Reason::Syntax);
    let clashes = |text: &str| checked(text).unwrap().families()[0].traits.any(Traits::CLASH);
    assert!(clashes("a{job=\"b\"} 1\n") && clashes("a{\"job\"=\"b\"} 1\n") && !clashes("a{\"jo.b\"=\"b\"} 1\n"));
    let limits = Limits::default();
    let terms = Terms { format: Format::Text, escaping: Escaping::Underscores, limits, added: &["pod_ip"], honor_labels: false };
    assert!(check(b"a{\"pod-ip\"=\"b\"} 1\n".to_vec(), terms).unwrap().families()[0].traits.any(Traits::CLASH));
}

#[test]
fn samples_of_another_age_are_left_out() {
    let limits = Limits::default();
    let terms = Terms { format: Format::OpenMetrics, escaping: Escaping::Underscores, limits, added: &[], honor_labels: false };
    let body = check(b"a 1 -1\na 1 -62135596800\na 1 1e20\na 1 1395066363.5\n# EOF\n".to_vec(), terms).unwrap();
    assert_eq!((body.untimely, body.samples, body.families()[0].samples), (3, 4, 1));
}

#[test]
fn samples_that_a_later_type_does_not_allow_stay_apart() {
    let body = checked("h 1\n# TYPE h histogram\nh_sum 2\nh_count 3\nh 4\n").unwrap();
    let families = body.families().iter().filter(|family| family.samples > 0);
    let kinds: Vec<(Kind, u32)> = families.map(|family| (family.kind, family.samples)).collect();
    assert_eq!(kinds, [(Kind::Unknown, 1), (Kind::Histogram, 2)]);
    assert_eq!(body.duplicates, 1);
    // Those that follow are of it, though others of their name came before.
    let body = checked("h_sum{x=\"1\"} 1\n# TYPE h histogram\nh_sum 2\n").unwrap();
    assert_eq!(body.families().iter().map(|family| family.samples).collect::<Vec<_>>(), [1, 1]);
    let body = checked("s{x=\"1\"} 1\ns{x=\"2\"} 1\n# TYPE s summary\ns_sum{x=\"1\"} 2\n").unwrap();
    assert!(body.families().len() == 1 && body.families()[0].traits.any(Traits::SCATTERED));
}

#[test]
fn series_that_come_twice_are_left_out_whatever_the_order_of_their_labels() {
    let body =
        checked("a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 2\na{c=\"2\",b=\"1\",d=\"\"} 3\na{b=\"2\",c=\"1\"} 4\n").unwrap();
    assert_eq!((body.duplicates, body.samples), (2, 4));
    assert_eq!(body.families()[0].samples, 2);
    // One value with two spellings.
    assert_eq!(checked("a{b=\"\\\\x\"} 1\na{b=\"\\x\"} 2\n").unwrap().duplicates, 1);
}

#[test]
fn samples_of_the_scrape_itself_are_left_out() {
    let body = checked("up 1\nscrape_x_seconds 1\nscrape_anything{x=\"1\"} 2\nupper 1\nrescrape_x 1\n").unwrap();
    assert_eq!((body.reserved, body.families().iter().map(|family| family.samples).sum::<u32>()), (3, 2));
}

#[test]
fn the_index_is_a_small_part_of_the_text() {
    let text: String = (0..200).map(|family| {
        let samples: String = (0..9).map(|sample| format!("http_requests_{family}_total{{method=\"GET\",path=\"/api/v1/things/{sample}\",code=\"200\"}} 12345.678\n")).collect();
        format!("# HELP http_requests_{family}_total Requests by method, path and status code.\n# TYPE http_requests_{family}_total counter\n{samples}")
    }).collect();
    let length = text.len();
    let terms = Terms {
        format: Format::Text,
        escaping: Escaping::Underscores,
        limits: Limits::default(),
        added: &[],
        honor_labels: false,
    };
    let body = check(text.into_bytes(), terms).unwrap();
    assert!(body.bytes() * 10 < length * 11, "{} of {length}", body.bytes());
}

#[test]
fn labels_that_become_one_are_refused_and_series_that_become_one_are_left_out() {
    assert_eq!(reason("a{\"x.y\"=\"1\",\"x-y\"=\"2\"} 1\n"), Reason::Syntax);
    assert_eq!(checked("a{\"x.y\"=\"1\"} 1\na{\"x-y\"=\"1\"} 2\na{x_y=\"1\"} 3\n").unwrap().duplicates, 2);
    assert_eq!(checked("a{job=\"x\"} 1\na{exported_job=\"x\"} 2\na{exported_job=\"y\"} 3\n").unwrap().duplicates, 1);
}

#[test]
fn families_are_limited() {
    let text: String = (0..11).map(|at| format!("# TYPE f{at} gauge\n")).collect();
    assert_eq!(reason(&text), Reason::SampleLimit);
}

#[test]
fn a_family_of_the_scrapes_own_name_is_left_out() {
    let body = checked("# TYPE up histogram\nup_bucket{le=\"+Inf\"} 1\nup_sum 1\nup_count 1\n").unwrap();
    assert_eq!((body.reserved, body.samples), (3, 3));
}
