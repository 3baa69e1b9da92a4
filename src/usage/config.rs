//! The `usage` section of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::index::Keep;
use super::journal::Roll;
use super::key::Prefix;
use crate::aws::S3Options;
use crate::size::{humanize, optional_bytes};
use crate::store::Store;
use crate::time::optional_duration;

const DEFAULT_BUCKET: &str = "k8s-usage-data";
const DEFAULT_PREFIX: &str = "k8s-metrics/";
const DEFAULT_JOURNAL: &str = "/var/lib/kube-s3-exporter/usage";
/// Below it, watches have none to tell of pods that are as new as their reports.
const SHORTEST_AGE: Duration = Duration::from_millis(100);
/// Whom tokens of senders are for, where the API is to vouch for them.
const DEFAULT_AUDIENCE: &str = "kube-s3-exporter";

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsageConfigError {
    /// `S3_BUCKET` would mean two buckets.
    #[error(
        "usage.bucket (--usage-bucket, S3EXPORTER_USAGE_BUCKET) is needed where the export is on too: S3_BUCKET would mean the bucket of the export"
    )]
    AmbiguousBucket,
    /// The bucket, or how it is reached.
    #[error("usage.bucket: {0}")]
    Bucket(String),
    /// What keys begin with.
    #[error("usage.prefix (S3_PREFIX): {0}")]
    Prefix(String),
    /// A number that must be above zero.
    #[error("usage.{0} must be above zero")]
    Zero(&'static str),
    /// A file for next to nothing, again and again.
    #[error("usage.roll_age (--usage-roll-age, S3EXPORTER_USAGE_ROLL_AGE) must not be below {} ms", SHORTEST_AGE.as_millis())]
    RollAge,
    /// The address to listen on.
    #[error("usage.address: `{0}` is no address to listen on; write HOST:PORT, [IPV6]:PORT, or :PORT for all interfaces")]
    Address(String),
    /// A journal that is full before a file is.
    #[error(
        "usage.journal_budget (--usage-journal-budget), {0}, must not be below usage.roll_bytes (--usage-roll-bytes), {1}: the journal would be full \
         before a file is begun"
    )]
    Budget(String, String),
    /// Settings that nobody asks for.
    #[error("usage is set up, but not switched on: add --usage or usage.enabled, or set that to false")]
    NotSwitchedOn,
    /// Two ways to tell senders.
    #[error("usage.auth: `token_file` and `token_review` exclude each other")]
    TwoWays,
    /// Rules for nobody.
    #[error("usage.auth: `audience` and `service_accounts` need `token_review: true`")]
    NoReview,
    /// A service account that cannot be.
    #[error("usage.auth.service_accounts: `{0}` is not NAMESPACE/NAME")]
    ServiceAccount(String),
}

/// The section, as far as one source sets it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageSection {
    /// Switches it on.
    pub enabled: Option<bool>,
    /// A listener of its own, beside the main one.
    pub address: Option<String>,
    /// Where the tables go.
    pub bucket: Option<String>,
    /// The bucket as `S3_BUCKET` says, which stands below `bucket` and means the export's where that is on.
    #[serde(skip)]
    pub shared_bucket: Option<String>,
    /// What keys begin with; `{cluster_name}` and `{date}` are filled in.
    pub prefix: Option<String>,
    /// `cluster_id` of nodes that say nothing else.
    pub cluster_name: Option<String>,
    /// Folder of the journal.
    pub journal_dir: Option<PathBuf>,
    /// Live bytes from which on reports are refused.
    #[serde(default, deserialize_with = "optional_bytes")]
    pub journal_budget: Option<usize>,
    /// Bytes of journal that become a file.
    #[serde(default, deserialize_with = "optional_bytes")]
    pub roll_bytes: Option<usize>,
    /// Age of the oldest report at which a file is made.
    #[serde(default, deserialize_with = "optional_duration")]
    pub roll_age: Option<Duration>,
    /// Bytes of a body, packed and unpacked.
    #[serde(default, deserialize_with = "optional_bytes")]
    pub body_limit: Option<usize>,
    /// Tells in the log what the Kubernetes API is asked and answers.
    pub debug_k8s_api: Option<bool>,
    /// What is kept of annotations beyond the usual.
    #[serde(default)]
    pub annotations: AnnotationsSection,
    /// Who may send.
    #[serde(default)]
    pub auth: AuthSection,
}

/// The `annotations` of the section.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnotationsSection {
    /// Keeps `kubectl.kubernetes.io/last-applied-configuration`, as far as its length allows.
    pub last_applied: Option<bool>,
    /// Keeps values of more than 1 KiB.
    pub long_values: Option<bool>,
}

/// The `auth` of the section.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSection {
    /// Senders have the token that is in this file.
    pub token_file: Option<PathBuf>,
    /// Senders have a token that the Kubernetes API vouches for, and report the node that it is bound to.
    pub token_review: Option<bool>,
    /// Whom such tokens are for.
    pub audience: Option<String>,
    /// `NAMESPACE/NAME` of the accounts that may send; any where absent.
    pub service_accounts: Option<Vec<String>>,
}

/// Who may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthConfig {
    /// Anybody who reaches the port.
    Open,
    /// Whoever has the token in this file.
    TokenFile(PathBuf),
    /// Pods of these accounts, or of any if there are none, for the node they run on.
    Review {
        /// Whom their tokens are for.
        audience: String,
        /// User names, as the API tells them.
        users: Vec<String>,
    },
}

/// What `usage` runs with.
#[derive(Debug, Clone)]
pub struct UsageConfig {
    pub(super) address: Option<String>,
    pub(super) store: Store,
    pub(super) prefix: Prefix,
    pub(super) cluster_name: Option<String>,
    pub(super) journal_dir: PathBuf,
    pub(super) journal_budget: u64,
    pub(super) roll: Roll,
    pub(super) body_limit: usize,
    pub(super) debug_k8s_api: bool,
    pub(super) keep: Keep,
    pub(super) auth: AuthConfig,
}

impl UsageSection {
    /// This section, completed by `fallback`.
    pub fn or(self, fallback: Self) -> Self {
        Self {
            enabled: self.enabled.or(fallback.enabled),
            address: self.address.or(fallback.address),
            bucket: self.bucket.or(fallback.bucket),
            shared_bucket: self.shared_bucket.or(fallback.shared_bucket),
            prefix: self.prefix.or(fallback.prefix),
            cluster_name: self.cluster_name.or(fallback.cluster_name),
            journal_dir: self.journal_dir.or(fallback.journal_dir),
            journal_budget: self.journal_budget.or(fallback.journal_budget),
            roll_bytes: self.roll_bytes.or(fallback.roll_bytes),
            roll_age: self.roll_age.or(fallback.roll_age),
            body_limit: self.body_limit.or(fallback.body_limit),
            debug_k8s_api: self.debug_k8s_api.or(fallback.debug_k8s_api),
            annotations: AnnotationsSection {
                last_applied: self.annotations.last_applied.or(fallback.annotations.last_applied),
                long_values: self.annotations.long_values.or(fallback.annotations.long_values),
            },
            auth: AuthSection {
                token_file: self.auth.token_file.or(fallback.auth.token_file),
                token_review: self.auth.token_review.or(fallback.auth.token_review),
                audience: self.auth.audience.or(fallback.auth.audience),
                service_accounts: self.auth.service_accounts.or(fallback.auth.service_accounts),
            },
        }
    }

    /// Whether anything is set that means usage and nothing else.
    fn is_set_up(&self) -> bool {
        let texts = self.address.is_some() || self.bucket.is_some() || self.journal_dir.is_some();
        let sizes =
            [self.journal_budget, self.roll_bytes, self.body_limit].iter().any(Option::is_some) || self.roll_age.is_some();
        texts || sizes || self.auth.token_file.is_some() || self.auth.token_review.is_some()
    }

    /// Checks the section and fills in the defaults; `None` while it is switched off. `export` tells whether the export is on.
    ///
    /// # Errors
    /// With the first setting that cannot be used.
    pub fn resolve(self, s3: &S3Options, export: bool) -> Result<Option<UsageConfig>, UsageConfigError> {
        if !self.enabled.unwrap_or(false) {
            let forgotten = self.enabled.is_none() && self.is_set_up();
            return if forgotten { Err(UsageConfigError::NotSwitchedOn) } else { Ok(None) };
        }
        if let Some(address) = self.address.as_ref().filter(|address| !crate::server::is_address(address)) {
            return Err(UsageConfigError::Address(address.clone()));
        }
        let bucket = match (self.bucket, export) {
            (Some(bucket), _) => bucket,
            (None, true) => return Err(UsageConfigError::AmbiguousBucket),
            (None, false) => self.shared_bucket.unwrap_or_else(|| DEFAULT_BUCKET.to_owned()),
        };
        let roll = Roll {
            bytes: above_zero("roll_bytes", self.roll_bytes, 128 << 20)? as u64,
            age: self.roll_age.unwrap_or(Duration::from_secs(300)),
        };
        if roll.age < SHORTEST_AGE {
            return Err(UsageConfigError::RollAge);
        }
        let journal_budget = above_zero("journal_budget", self.journal_budget, 4 << 30)? as u64;
        if journal_budget < roll.bytes {
            return Err(UsageConfigError::Budget(humanize(journal_budget), humanize(roll.bytes)));
        }
        Ok(Some(UsageConfig {
            address: self.address,
            store: Store::open(s3, &bucket).map_err(|error| UsageConfigError::Bucket(error.to_string()))?,
            prefix: Prefix::parse(self.prefix.as_deref().unwrap_or(DEFAULT_PREFIX))
                .map_err(|error| UsageConfigError::Prefix(error.to_string()))?,
            cluster_name: self.cluster_name.filter(|name| !name.is_empty()),
            journal_dir: self.journal_dir.unwrap_or_else(|| DEFAULT_JOURNAL.into()),
            journal_budget,
            roll,
            body_limit: above_zero("body_limit", self.body_limit, 10 << 20)?,
            debug_k8s_api: self.debug_k8s_api.unwrap_or(false),
            keep: Keep {
                last_applied: self.annotations.last_applied.unwrap_or(false),
                long_values: self.annotations.long_values.unwrap_or(false),
            },
            auth: self.auth.resolve()?,
        }))
    }
}

impl AuthSection {
    fn resolve(self) -> Result<AuthConfig, UsageConfigError> {
        let review = self.token_review.unwrap_or(false);
        match self.token_file {
            Some(_) if review => return Err(UsageConfigError::TwoWays),
            _ if !review && (self.audience.is_some() || self.service_accounts.is_some()) => {
                return Err(UsageConfigError::NoReview);
            }
            Some(file) => return Ok(AuthConfig::TokenFile(file)),
            None if !review => return Ok(AuthConfig::Open),
            None => {}
        }
        let user = |account: String| match account.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(format!("system:serviceaccount:{namespace}:{name}"))
            }
            _ => Err(UsageConfigError::ServiceAccount(account)),
        };
        Ok(AuthConfig::Review {
            audience: self.audience.unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned()),
            users: self.service_accounts.into_iter().flatten().map(user).collect::<Result<_, _>>()?,
        })
    }
}

impl UsageConfig {
    /// How long what is gone is kept for reports that are not joined yet.
    pub(super) fn retention(&self) -> Duration {
        self.roll.age + Duration::from_secs(180)
    }
}

fn above_zero(name: &'static str, value: Option<usize>, default: usize) -> Result<usize, UsageConfigError> {
    match value.unwrap_or(default) {
        0 => Err(UsageConfigError::Zero(name)),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(export: bool, change: impl FnOnce(&mut UsageSection)) -> Result<Option<UsageConfig>, String> {
        let mut section = UsageSection { enabled: Some(true), ..Default::default() };
        change(&mut section);
        section.resolve(&S3Options::default(), export).map_err(|error| error.to_string())
    }

    #[test]
    fn it_is_off_unless_it_is_switched_on() {
        assert!(UsageSection::default().resolve(&S3Options::default(), true).unwrap().is_none());
        let forgotten = UsageSection { address: Some(":8888".into()), ..Default::default() };
        assert!(
            forgotten.clone().resolve(&S3Options::default(), false).is_err_and(|error| error.to_string().contains("--usage"))
        );
        assert!(UsageSection { enabled: Some(false), ..forgotten }.resolve(&S3Options::default(), false).unwrap().is_none());
        let config = resolve(false, |_| ()).unwrap().unwrap();
        assert_eq!((config.roll.bytes, config.roll.age.as_secs(), config.journal_budget), (128 << 20, 300, 4 << 30));
        let shortest = resolve(false, |section| section.roll_age = Some(SHORTEST_AGE));
        assert_eq!(shortest.unwrap().unwrap().roll.age, SHORTEST_AGE);
        assert_eq!((config.body_limit, config.auth.clone(), config.retention().as_secs()), (10 << 20, AuthConfig::Open, 480));
        assert!(config.store.location().contains("k8s-usage-data"), "{}", config.store.location());
    }

    #[test]
    fn one_variable_cannot_name_two_buckets() {
        let of = |export, bucket: Option<&str>, shared: Option<&str>| {
            let resolved = resolve(export, |section| {
                (section.bucket, section.shared_bucket) = (bucket.map(str::to_owned), shared.map(str::to_owned));
            });
            resolved.map(|config| config.unwrap().store.location().to_owned())
        };
        assert!(of(false, None, Some("shared")).unwrap().contains("shared"));
        assert!(of(false, Some("own"), Some("shared")).unwrap().contains("own"));
        assert!(of(true, Some("own"), Some("shared")).unwrap().contains("own"));
        assert!(of(true, None, Some("shared")).unwrap_err().contains("--usage-bucket"));
        assert!(of(true, None, None).unwrap_err().contains("--usage-bucket"));
        assert!(of(false, Some("a b"), None).unwrap_err().starts_with("usage.bucket: "));
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_path() {
        type Change = fn(&mut UsageSection);
        let cases: [(Change, &str); 9] = [
            (|section| section.address = Some("80".into()), "usage.address"),
            (|section| section.prefix = Some("{x}".into()), "usage.prefix (S3_PREFIX): `{x}`"),
            (|section| section.roll_bytes = Some(0), "usage.roll_bytes"),
            (|section| section.roll_age = Some(Duration::from_millis(99)), "usage.roll_age"),
            (|section| section.journal_budget = Some(1), "usage.journal_budget"),
            (|section| section.body_limit = Some(0), "usage.body_limit"),
            (|section| section.auth.audience = Some("a".into()), "token_review"),
            (
                |section| {
                    section.auth = AuthSection { token_file: Some("t".into()), token_review: Some(true), ..Default::default() }
                },
                "exclude",
            ),
            (
                |section| {
                    section.auth.token_review = Some(true);
                    section.auth.service_accounts = Some(vec!["collector".into()]);
                },
                "`collector` is not NAMESPACE/NAME",
            ),
        ];
        for (change, expected) in cases {
            let error = resolve(false, change).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn accounts_are_known_by_the_name_that_the_api_gives_them() {
        let config = resolve(false, |section| {
            section.auth.token_review = Some(true);
            section.auth.service_accounts = Some(vec!["monitoring/collector".into()]);
        });
        let users = vec!["system:serviceaccount:monitoring:collector".to_owned()];
        assert_eq!(config.unwrap().unwrap().auth, AuthConfig::Review { audience: "kube-s3-exporter".into(), users });
    }
}
