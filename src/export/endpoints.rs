//! Endpoints as people write them: in the JSON of `PROM_ENDPOINTS`, and in the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, de};

use super::config::Mode;
use crate::promapi::{BasicAuth, EndpointOptions, SigV4Options, TlsOptions};
use crate::time::optional_duration;

/// Endpoints by alias, in the order of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Endpoints(pub Vec<(String, EndpointSection)>);

/// An endpoint in the file: a URL, or this. What is absent is taken from the section around it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSection {
    /// Base URL, or that of `query_range`.
    #[serde(default)]
    pub url: String,
    /// What it is asked for.
    pub metrics: Option<Vec<String>>,
    /// Between two values.
    #[serde(default, deserialize_with = "optional_duration")]
    pub step: Option<Duration>,
    /// One value per step, or everything.
    pub mode: Option<Mode>,
    /// Windows at once.
    pub concurrency: Option<usize>,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// File with a token; read again for each request.
    pub bearer_token_file: Option<PathBuf>,
    /// Sent with each request.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretString>,
    /// Certificates.
    #[serde(default)]
    pub tls: TlsOptions,
    /// Signatures for Amazon Managed Prometheus.
    pub sigv4: Option<SigV4Options>,
}

/// What an endpoint says of its own export.
pub(super) struct Own {
    pub(super) metrics: Option<Vec<String>>,
    pub(super) step: Option<Duration>,
    pub(super) mode: Option<Mode>,
    pub(super) concurrency: Option<usize>,
}

impl EndpointSection {
    pub(super) fn split(self) -> (EndpointOptions, Own) {
        let Self { url, metrics, step, mode, concurrency, basic_auth, bearer_token_file, headers, tls, sigv4 } = self;
        (EndpointOptions { url, basic_auth, bearer_token_file, headers, tls, sigv4 }, Own { metrics, step, mode, concurrency })
    }
}

impl Endpoints {
    /// Reads the value of `PROM_ENDPOINTS`: a JSON object of aliases and URLs.
    ///
    /// # Errors
    /// One line; URLs, which may hold a password, are not repeated.
    pub fn from_json(text: &str) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') {
            return Err("it is not a JSON object; write {\"ALIAS\": \"URL\", ...}".to_owned());
        }
        let urls: Urls = serde_json::from_str(text).map_err(|error| {
            let what = error.to_string();
            match what.split_once(" at line ") {
                // serde_json repeats what it found.
                _ if what.starts_with("invalid type") => "an alias has something else than a URL in quotes".to_owned(),
                Some((what, place)) => format!("it cannot be read as aliases and URLs: {what} (line {place})"),
                None => format!("it cannot be read as aliases and URLs: {what}"),
            }
        })?;
        let sections = urls.0.into_iter().map(|(alias, url)| (alias, EndpointSection { url, ..Default::default() }));
        Ok(Self(sections.collect()))
    }

    /// These endpoints; of those that `others` has too, what it says besides the URL.
    pub(super) fn or(self, others: &Self) -> Self {
        let completed = self.0.into_iter().map(|(alias, section)| match others.0.iter().find(|(other, _)| *other == alias) {
            Some((_, details)) => (alias, EndpointSection { url: section.url, ..details.clone() }),
            None => (alias, section),
        });
        Self(completed.collect())
    }
}

/// Aliases and URLs; serde's own maps would let the last of two win.
struct Urls(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Unique(std::marker::PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Endpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sections = deserializer.deserialize_map(Unique::<UrlOrSection>(std::marker::PhantomData))?;
        Ok(Self(sections.into_iter().map(|(alias, section)| (alias, section.0)).collect()))
    }
}

/// Reads a map whose keys must differ.
struct Unique<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
    type Value = Vec<(String, T)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("aliases with their URLs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries: Self::Value = Vec::new();
        while let Some(alias) = map.next_key::<String>()? {
            if entries.iter().any(|(other, _)| *other == alias) {
                return Err(de::Error::custom(format!("the alias `{alias}` is given twice")));
            }
            entries.push((alias, map.next_value()?));
        }
        Ok(entries)
    }
}

struct UrlOrSection(EndpointSection);

impl<'de> Deserialize<'de> for UrlOrSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = EndpointSection;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, or a mapping with `url`")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<Self::Value, E> {
                Ok(EndpointSection { url: url.to_owned(), ..Default::default() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                EndpointSection::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(Either).map(Self)
    }
}
