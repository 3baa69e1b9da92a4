//! Where an endpoint's objects are: `{base}/{alias}/{YYYY_MM_DD}/{HH}/{metric}.json`, and the manifest beside them. The only place that knows.

use crate::promapi::MetricName;
use crate::store::Compression;
use crate::time::UtcHour;

const MANIFEST: &str = "_manifest.json";
const LONGEST_PART: usize = 256;
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>
const LONGEST_KEY: usize = 1_024;

/// The keys of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// `{base}/{alias}`
    folder: String,
    compression: Option<Compression>,
}

/// What a key of an endpoint names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Manifest,
    /// The name of a file beside a manifest.
    File(&'a str),
}

impl Keys {
    pub(super) fn new(base: &str, alias: &str, compression: Option<Compression>) -> Self {
        let folder = if base.is_empty() { alias.to_owned() } else { format!("{base}/{alias}") };
        Self { folder, compression }
    }

    /// All of the endpoint's objects are below it.
    pub(super) fn folder(&self) -> &str {
        &self.folder
    }

    /// The folder of a day, without a slash at its end.
    pub(super) fn day(&self, hour: UtcHour) -> String {
        format!("{}/{}", self.folder, hour.day())
    }

    /// The folder of an hour, without a slash at its end.
    pub(super) fn hour(&self, hour: UtcHour) -> String {
        format!("{}/{}", self.day(hour), hour.hour())
    }

    pub(super) fn manifest(&self, hour: UtcHour) -> String {
        format!("{}/{MANIFEST}", self.hour(hour))
    }

    pub(super) fn data(&self, hour: UtcHour, metric: &MetricName) -> String {
        format!("{}/{}", self.hour(hour), self.file(metric))
    }

    /// True if S3 would not take the keys of a metric.
    pub(super) fn is_too_long(&self, metric: &MetricName) -> bool {
        self.folder.len() + "/YYYY_MM_DD/HH/".len() + self.file(metric).len() > LONGEST_KEY
    }

    /// The last part of a data object's key.
    pub(super) fn file(&self, metric: &MetricName) -> String {
        format!("{metric}.json{}", self.compression.map_or("", Compression::suffix))
    }

    /// Which hour and what a key names.
    pub(super) fn parse<'a>(&self, key: &'a str) -> Option<(UtcHour, Item<'a>)> {
        let mut parts = key.strip_prefix(self.folder.as_str())?.strip_prefix('/')?.splitn(3, '/');
        let (day, hour, file) = (parts.next()?, parts.next()?, parts.next()?);
        let hour = UtcHour::from_key(day, hour)?;
        match file {
            MANIFEST => Some((hour, Item::Manifest)),
            file if file.contains('/') => None,
            file => Some((hour, Item::File(file))),
        }
    }
}

/// An alias is one part of a key.
pub(super) fn check_alias(alias: &str) -> Result<(), &'static str> {
    check_part(alias)
}

/// The base path without slashes at its ends; may be nothing.
pub(super) fn clean_base(base: &str) -> Result<String, &'static str> {
    let trimmed = base.trim_matches('/');
    if !trimmed.is_empty() {
        trimmed.split('/').try_for_each(check_part)?;
    }
    if trimmed.len() > LONGEST_PART { Err("it is longer than 256 bytes") } else { Ok(trimmed.to_owned()) }
}

fn check_part(part: &str) -> Result<(), &'static str> {
    match part {
        "" => Err("a part of it is empty"),
        "." | ".." => Err("`.` and `..` are folders"),
        part if part.contains(['/', '\\']) => Err("it holds a slash"),
        part if part.chars().any(char::is_control) => Err("it holds a control character"),
        part if part.trim() != part => Err("it begins or ends with a space"),
        part if part.len() > LONGEST_PART => Err("it is longer than 256 bytes"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_job_that_is_replaced() {
        let hour = UtcHour::containing("2026-11-21T07:10:00Z".parse().unwrap());
        let metric = MetricName::parse("cluster:x:größe").unwrap();
        let keys = Keys::new("k8s_data", "prod", None);
        assert_eq!(keys.data(hour, &metric), "k8s_data/prod/2026_11_21/07/cluster:x:größe.json");
        assert_eq!(keys.manifest(hour), "k8s_data/prod/2026_11_21/07/_manifest.json");
        assert_eq!(keys.parse(&keys.manifest(hour)), Some((hour, Item::Manifest)));
        assert_eq!(keys.parse("k8s_data/prod/2026_11_21/07/up.json"), Some((hour, Item::File("up.json"))));
        for other in
            ["k8s_data/prod2/2026_11_21/07/up.json", "k8s_data/prod/2026_11_21/up.json", "k8s_data/prod/x/07/up.json", ""]
        {
            assert_eq!(keys.parse(other), None, "{other}");
        }
        let zipped = Keys::new("", "prod", Some(Compression::Zstd));
        assert_eq!(zipped.data(hour, &metric), "prod/2026_11_21/07/cluster:x:größe.json.zst");
    }

    #[test]
    fn what_would_break_a_key_is_refused() {
        for alias in ["", ".", "..", "a/b", "a\\b", "a\nb", " a", &"a".repeat(257)] {
            assert!(check_alias(alias).is_err(), "{alias:?}");
        }
        for alias in ["prod", "prod cluster", "eu-west-1.prod", "größe"] {
            assert!(check_alias(alias).is_ok(), "{alias:?}");
        }
        assert_eq!(clean_base("/a/b/"), Ok("a/b".to_owned()));
        assert_eq!(clean_base(""), Ok(String::new()));
        assert!(clean_base("a//b").is_err() && clean_base("a/../b").is_err());
    }
}
