//! What the answer says of the scrapes themselves, under the names that Prometheus has for it.

use super::line::write_added;
use super::merge::Merged;
use crate::exposition::Format;

/// Name of the family that says why a target is down.
pub(super) const FAILED: &str = "s3exporter_podmetrics_scrape_failed";

const FAMILIES: [(&str, &str); 5] = [
    ("up", "1 if the target answered and its answer could be merged, else 0."),
    (FAILED, "Why the target is down; always 1."),
    ("scrape_duration_seconds", "How long the scrape of the target took."),
    ("scrape_samples_scraped", "Samples in the answer of the target, those that are left out here included."),
    ("scrape_body_size_bytes", "Bytes in the answer of the target, once unpacked; 0 if it is down."),
];

/// Names of all families that the answer has of itself.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(name, _)| *name)
}

/// Writes all of them.
pub(super) fn write(merged: &Merged, out: &mut Vec<u8>) {
    for (name, help) in FAMILIES {
        out.extend_from_slice(format!("# HELP {name} {help}\n# TYPE {name} gauge\n").as_bytes());
        for source in &merged.sources {
            let body = source.body.as_ref();
            let (value, reason) = match (name, body) {
                ("up", _) => (u8::from(body.is_ok()).to_string(), None),
                (FAILED, Ok(_)) => continue,
                (FAILED, Err(failure)) => ("1".to_owned(), Some(failure.reason.as_str())),
                ("scrape_duration_seconds", _) => (format!("{:.6}", source.seconds), None),
                ("scrape_samples_scraped", _) => (body.map_or(0, |body| body.samples).to_string(), None),
                _ => (body.map_or(0, |body| body.size).to_string(), None),
            };
            out.extend_from_slice(name.as_bytes());
            out.push(b'{');
            write_added(&source.added, out);
            if let Some(reason) = reason {
                out.extend_from_slice(format!(",reason=\"{reason}\"").as_bytes());
            }
            out.extend_from_slice(format!("}} {value}\n").as_bytes());
        }
    }
}

/// The end of an answer.
pub(super) fn write_end(format: Format, out: &mut Vec<u8>) {
    if format == Format::OpenMetrics {
        out.extend_from_slice(b"# EOF\n");
    }
}
