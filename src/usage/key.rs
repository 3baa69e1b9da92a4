//! Keys of the objects: `{prefix}cluster-name={id}/year=YYYY/month=MM/day=DD/metrics_{journal}_{first}-{last}.parquet`, and those of dead letters
//! beside them under `_dead-letter/`, where readers of tables do not look.

use std::fmt::Write as _;

use jiff::civil::Date;

use super::seal::sha256;

/// Longer names in keys are cut, and told apart by a hash; S3 takes 1,024 bytes for the whole.
const LONGEST_NAME: usize = 200;
/// Bytes in a prefix, so that the rest fits.
const LONGEST_PREFIX: usize = 300;

/// What cannot be a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Something in braces that means nothing.
    #[error("`{{{0}}}` is no placeholder; there are {{cluster_name}} and {{date}}")]
    Placeholder(String),
    /// A brace without its other one.
    #[error("a brace stands alone")]
    Brace,
    /// An empty part, or one that a file system would take for something else.
    #[error("`{0}` cannot be part of a key")]
    Segment(String),
    /// Too long.
    #[error("it is longer than {LONGEST_PREFIX} bytes")]
    Long,
}

/// What keys begin with, with placeholders. Ends in a slash unless it is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    ClusterName,
    Date,
}

impl Prefix {
    /// Reads a prefix; a slash is added to its end where there is none.
    ///
    /// # Errors
    /// For what could not be part of a key, and placeholders that are unknown.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        if text.len() > LONGEST_PREFIX {
            return Err(PrefixError::Long);
        }
        let segments = text.strip_suffix('/').unwrap_or(text);
        let bad = |part: &&str| part.is_empty() || *part == "." || *part == ".." || part.chars().any(char::is_control);
        if !text.is_empty()
            && let Some(part) = segments.split('/').find(bad)
        {
            return Err(PrefixError::Segment(if part.is_empty() { text.to_owned() } else { part.to_owned() }));
        }
        let mut pieces = Vec::new();
        let mut rest = segments;
        while let Some((before, after)) = rest.split_once('{') {
            let (inside, behind) = after.split_once('}').ok_or(PrefixError::Brace)?;
            pieces.push(Piece::text(before)?);
            pieces.push(match inside {
                "cluster_name" => Piece::ClusterName,
                "date" => Piece::Date,
                other => return Err(PrefixError::Placeholder(other.to_owned())),
            });
            rest = behind;
        }
        pieces.push(Piece::text(rest)?);
        if !segments.is_empty() {
            pieces.push(Piece::Text("/".to_owned()));
        }
        Ok(Self(pieces))
    }

    fn fill(&self, cluster: &str, day: Date) -> String {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::ClusterName => filled.push_str(cluster),
                Piece::Date => filled.push_str(&day.to_string()),
            }
        }
        filled
    }
}

impl Piece {
    fn text(text: &str) -> Result<Self, PrefixError> {
        if text.contains('}') { Err(PrefixError::Brace) } else { Ok(Self::Text(text.to_owned())) }
    }
}

/// A range of a journal.
#[derive(Debug, Clone, Copy)]
pub struct Range<'a> {
    /// Random id made with the journal.
    pub journal: &'a str,
    /// Number of its first entry.
    pub first: u64,
    /// Number of its last entry.
    pub last: u64,
}

/// Key of the rows of a cluster and day.
pub fn table(prefix: &Prefix, cluster: &str, day: Date, range: Range<'_>) -> String {
    let (cluster, partition) = partition(cluster, day);
    let Range { journal, first, last } = range;
    format!("{}{partition}/metrics_{journal}_{first}-{last}.parquet", prefix.fill(&cluster, day))
}

/// Key of the entries of reports of a cluster and day that could not be read.
pub fn dead_letters(prefix: &Prefix, cluster: &str, day: Date, range: Range<'_>) -> String {
    let (cluster, partition) = partition(cluster, day);
    let Range { journal, first, last } = range;
    format!("{}_dead-letter/{partition}/rejected_{journal}_{first}-{last}.jsonl", prefix.fill(&cluster, day))
}

fn partition(cluster: &str, day: Date) -> (String, String) {
    let cluster = segment(cluster);
    let path = format!("cluster-name={cluster}/year={:04}/month={:02}/day={:02}", day.year(), day.month(), day.day());
    (cluster, path)
}

/// A name as part of a key. What is not a letter, digit, `-`, `_` or `.` is written as `%XX`, which Hive and those who follow it read back; so no two
/// names become one.
fn segment(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for byte in name.bytes() {
        // Parts of only dots mean something else to file systems.
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && !written.is_empty()) {
            written.push(char::from(byte));
        } else {
            let _ = write!(written, "%{byte:02X}");
        }
    }
    if written.len() > LONGEST_NAME {
        written.truncate(LONGEST_NAME);
        written.push_str(&sha256(name.as_bytes())[..16]);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range<'static> = Range { journal: "00ff", first: 1, last: 20 };

    fn key(prefix: &str, cluster: &str) -> String {
        table(&Prefix::parse(prefix).unwrap(), cluster, Date::constant(2026, 3, 9), RANGE)
    }

    #[test]
    fn keys_are_partitions() {
        let rest = "cluster-name=prod/year=2026/month=03/day=09/metrics_00ff_1-20.parquet";
        assert_eq!(key("k8s-metrics/", "prod"), format!("k8s-metrics/{rest}"));
        assert_eq!(key("k8s-metrics", "prod"), format!("k8s-metrics/{rest}"));
        assert_eq!(key("", "prod"), rest);
        assert_eq!(key("a/{cluster_name}/{date}/", "prod"), format!("a/prod/2026-03-09/{rest}"));
        assert_eq!(key("x{date}y-{cluster_name}", "prod"), format!("x2026-03-09y-prod/{rest}"));
        let dead = dead_letters(&Prefix::parse("p/").unwrap(), "prod", Date::constant(2026, 12, 31), RANGE);
        assert_eq!(dead, "p/_dead-letter/cluster-name=prod/year=2026/month=12/day=31/rejected_00ff_1-20.jsonl");
    }

    #[test]
    fn names_of_clusters_are_made_fit_for_keys_and_stay_different() {
        let of = |cluster| key("", cluster).split('/').next().unwrap().to_owned();
        assert_eq!(of("a.b_c-D9"), "cluster-name=a.b_c-D9");
        assert_eq!(of("a/b c"), "cluster-name=a%2Fb%20c");
        assert_eq!(of("größe"), "cluster-name=gr%C3%B6%C3%9Fe");
        assert_eq!(of(".."), "cluster-name=%2E.");
        assert_ne!(of("a%2Fb"), of("a/b"));
        let long = |end| key("", &format!("{}{end}", "\u{1F980}".repeat(1_000)));
        assert!(long("a").len() < 400 && long("a") != long("b"));
    }

    #[test]
    fn what_cannot_be_a_prefix_is_refused() {
        for (prefix, expected) in [
            ("a/{cluster}/", "`{cluster}` is no placeholder"),
            ("a/{}/", "`{}` is no placeholder"),
            ("{date", "a brace"),
            ("date}", "a brace"),
            ("{date}}", "a brace"),
            ("/a", "`/a` cannot be"),
            ("a//b", "`a//b` cannot be"),
            ("/", "`/` cannot be"),
            ("a/../b", "`..` cannot be"),
            ("a\n", "cannot be"),
            (&"a".repeat(301), "longer than 300"),
        ] {
            let error = Prefix::parse(prefix).unwrap_err().to_string();
            assert!(error.contains(expected), "{prefix}: {error}");
        }
    }
}
