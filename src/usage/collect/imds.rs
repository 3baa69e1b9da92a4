//! The id of the EC2 instance, from its metadata service: version 2 with a session token, version 1 where that is not to be had
//! (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>).
//!
//! Once known it is kept. Until then reports go without: nothing waits for it but the first report, for the first attempt.

use std::time::Duration;

use http::{HeaderValue, StatusCode};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::config::ImdsConfig;
use crate::http::{self as client, ClientError, ClientOptions, chain, jitter, read_body};

/// For one request: it is answered by the machine itself. The answer to version 2 does not come at all where a container is one hop too far.
const LONGEST: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(1_800);
/// A token has 56 bytes, an id 19.
const LARGEST: usize = 4 << 10;
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";

/// The metadata service.
pub(super) struct Imds {
    http: reqwest::Client,
    config: ImdsConfig,
}

/// What is known of the id.
#[derive(Debug, Clone, Default, PartialEq)]
enum Known {
    /// The first attempt is still on its way.
    #[default]
    NotAsked,
    /// Not yet, or not at all where this is not EC2.
    Unknown,
    Id(String),
}

/// The id, as far as it is known.
#[derive(Clone)]
pub(super) struct InstanceId(watch::Receiver<Known>);

impl InstanceId {
    /// Nobody asks for it.
    pub(super) fn unknown() -> Self {
        Self(watch::channel(Known::Unknown).1)
    }

    /// The id, once the first attempt is over.
    pub(super) async fn get(&mut self) -> Option<String> {
        let known = self.0.wait_for(|known| *known != Known::NotAsked).await.ok()?;
        match &*known {
            Known::Id(id) => Some(id.clone()),
            Known::NotAsked | Known::Unknown => None,
        }
    }
}

impl Imds {
    pub(super) fn new(config: ImdsConfig) -> Result<Self, ClientError> {
        // What is link-local is behind no proxy.
        let http = client::client(ClientOptions { direct: true, ..Default::default() })?;
        Ok(Self { http, config })
    }

    /// The id, and the task that asks until it is known.
    pub(super) fn learn(
        self,
        stop: CancellationToken,
    ) -> (InstanceId, impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let (known, id) = watch::channel(Known::default());
        let task = async move {
            stop.run_until_cancelled(self.ask_until_known(&known)).await;
            stop.cancelled().await;
            Ok(())
        };
        (InstanceId(id), task)
    }

    async fn ask_until_known(&self, known: &watch::Sender<Known>) {
        let mut retry = FIRST_RETRY;
        loop {
            match self.instance_id().await {
                Ok(id) => {
                    tracing::info!(instance_id = id, "the EC2 instance is known");
                    known.send_replace(Known::Id(id));
                    return;
                }
                Err(error) => {
                    known.send_replace(Known::Unknown);
                    let again = jitter(retry);
                    tracing::warn!(
                        error,
                        again_in_seconds = again.as_secs(),
                        "the id of the EC2 instance is not known; reports go without it"
                    );
                    sleep(again).await;
                    retry = (retry * 2).min(LONGEST_RETRY);
                }
            }
        }
    }

    /// Asks once, in both ways.
    async fn instance_id(&self) -> Result<String, String> {
        if self.config.force_v1 {
            return self.id(None).await;
        }
        let second = match self.token().await {
            Ok(token) => self.id(Some(token)).await,
            Err(error) => Err(error),
        };
        match second {
            Ok(id) => Ok(id),
            Err(second) => self.id(None).await.map_err(|first| format!("IMDSv2: {second}; IMDSv1: {first}")),
        }
    }

    async fn token(&self) -> Result<HeaderValue, String> {
        let request = self.http.put(self.url("latest/api/token")).header(TTL_HEADER, self.config.token_ttl);
        let mut token = HeaderValue::try_from(ask(request).await?).map_err(|_| "the token cannot stand in a header")?;
        token.set_sensitive(true);
        Ok(token)
    }

    async fn id(&self, token: Option<HeaderValue>) -> Result<String, String> {
        let mut request = self.http.get(self.url("latest/meta-data/instance-id"));
        if let Some(token) = token {
            request = request.header(TOKEN_HEADER, token);
        }
        let id = ask(request).await?;
        if is_instance_id(&id) { Ok(id) } else { Err("the answer is no instance id".to_owned()) }
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.config.endpoint.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        url
    }
}

/// The text of an answer with 200, in time.
async fn ask(request: reqwest::RequestBuilder) -> Result<String, String> {
    let whole = async {
        let response = request.send().await.map_err(|error| chain(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("it answered {}", response.status()));
        }
        let body = read_body(response, LARGEST).await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&body).trim().to_owned())
    };
    timeout(LONGEST, whole).await.unwrap_or_else(|_| Err(format!("no answer within {} s", LONGEST.as_secs())))
}

/// `i-` and hexadecimal digits: 8 of the old ids, 17 of the new ones. Anything may answer on a link-local address.
fn is_instance_id(text: &str) -> bool {
    let digits = text.strip_prefix("i-").unwrap_or_default();
    (1..=64).contains(&digits.len()) && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_ids() {
        for id in ["i-0abc123def4567890", "i-1234abcd"] {
            assert!(is_instance_id(id), "{id}");
        }
        for no in ["", "i-", "i-XYZ", "i-0ABC", "<html>", "i-12\n34", "vol-1234", "i-12 "] {
            assert!(!is_instance_id(no), "{no}");
        }
    }
}
