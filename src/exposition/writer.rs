//! Writes the text format 0.0.4 by hand: a scan's result is rendered once and then only copied, so the writer works on bytes.
//!
//! Rules: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::io::Write as _;

use super::text::escape_into;

/// `Content-Type` of what [`Writer`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric family: its name, what it says, and its type.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Full metric name.
    pub name: &'static str,
    /// Help text; the documentation of the metric.
    pub help: &'static str,
    /// `gauge` or `counter`.
    pub kind: &'static str,
}

impl Family {
    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: "gauge" }
    }
}

/// A label set in its written form, `{a="b",c="d"}`, made once and used for every family of the same target. Empty for no labels.
#[derive(Debug, Clone, Default)]
pub struct Labels(Vec<u8>);

impl Labels {
    /// Writes the pairs in their order; values are escaped, names are trusted.
    pub fn new(pairs: &[(&str, &str)]) -> Self {
        let mut out = Vec::with_capacity(64);
        for (name, value) in pairs {
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            escape_into(value.as_bytes(), true, &mut out);
            out.push(b'"');
        }
        if !out.is_empty() {
            out.push(b'}');
        }
        Self(out)
    }
}

/// Appends families and samples to a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Starts a family: its `HELP` and `TYPE` lines. All its samples follow before the next family.
    pub fn family(&mut self, family: &Family) {
        self.out.extend_from_slice(b"# HELP ");
        self.out.extend_from_slice(family.name.as_bytes());
        self.out.push(b' ');
        escape_into(family.help.as_bytes(), false, &mut self.out);
        let _ = write!(self.out, "\n# TYPE {} {}\n", family.name, family.kind);
    }

    /// A sample with an integer value.
    pub fn integer(&mut self, family: &Family, labels: &Labels, value: u64) {
        self.start_sample(family, labels);
        let _ = writeln!(self.out, "{value}");
    }

    /// A sample in seconds, given in milliseconds, so that no digit is lost to floating point.
    pub fn milliseconds(&mut self, family: &Family, labels: &Labels, value: i64) {
        self.start_sample(family, labels);
        let sign = if value < 0 { "-" } else { "" };
        let (seconds, fraction) = (value.unsigned_abs() / 1000, value.unsigned_abs() % 1000);
        let _ = match fraction {
            0 => writeln!(self.out, "{sign}{seconds}"),
            _ => writeln!(self.out, "{sign}{seconds}.{fraction:03}"),
        };
    }

    /// What was written so far.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    fn start_sample(&mut self, family: &Family, labels: &Labels) {
        self.out.extend_from_slice(family.name.as_bytes());
        self.out.extend_from_slice(&labels.0);
        self.out.push(b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: Family = Family::gauge("a_seconds", "Say \\ this\nto \"all\".");

    #[test]
    fn writes_what_the_format_asks_for() {
        let mut writer = Writer::default();
        writer.family(&FAMILY);
        writer.integer(&FAMILY, &Labels::default(), u64::MAX);
        writer.milliseconds(&FAMILY, &Labels::new(&[("cluster", "a\"b\\c\nd"), ("x", "")]), 1_763_702_400_007);
        writer.milliseconds(&FAMILY, &Labels::default(), -1_500);
        let text = String::from_utf8(writer.into_bytes()).unwrap();
        assert_eq!(
            text,
            "# HELP a_seconds Say \\\\ this\\nto \"all\".\n# TYPE a_seconds gauge\na_seconds 18446744073709551615\n\
             a_seconds{cluster=\"a\\\"b\\\\c\\nd\",x=\"\"} 1763702400.007\na_seconds -1.500\n"
        );
    }
}
