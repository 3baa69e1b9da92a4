//! A client of the HTTP API of Prometheus, and of what speaks it: Thanos, Mimir, VictoriaMetrics, Amazon Managed Prometheus.
//!
//! An answer is read as it arrives ([`scan`]) and never held as a whole. What is too much for one query is asked for in parts, and the parts are laid
//! together series by series ([`parts`]).
//!
//! API: <https://prometheus.io/docs/prometheus/latest/querying/api/>.

mod endpoint;
mod error;
mod parts;
mod query;
pub mod scan;
mod series;

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;
use prometheus::IntCounter;
use url::Url;

use self::endpoint::{Address, Identity};
pub use self::endpoint::{BasicAuth, EndpointError, EndpointOptions, SigV4Options, TlsOptions};
pub use self::error::{Limit, QueryError, QueryFailure};
pub use self::parts::{Query, Reading};
pub use self::query::{MetricName, Selector, Span};
pub use self::scan::Answer;
use crate::http::{self as client, ClientOptions, Failed, retry_after};

/// Of an answer that is an error, or about labels.
const MOST_SMALL: usize = 4 << 20;
/// Servers and proxies take URLs of this length at least; longer queries are sent as a form.
const LONGEST_QUERY: usize = 2_000;

/// What is counted about requests.
#[derive(Debug, Clone)]
pub struct RequestMeter {
    /// Answers of 2xx, 3xx, 4xx and 5xx, and requests without an answer.
    pub by_class: [IntCounter; 5],
}

impl RequestMeter {
    /// Names of the classes, in their order.
    pub const CLASSES: [&'static str; 5] = ["2xx", "3xx", "4xx", "5xx", "error"];

    fn answered(&self, code: StatusCode) {
        let class = usize::from(code.as_u16() / 100).clamp(2, 5) - 2;
        self.by_class[class].inc();
    }

    fn unanswered(&self) {
        self.by_class[4].inc();
    }
}

/// A Prometheus.
#[derive(Debug, Clone)]
pub struct Prometheus {
    http: reqwest::Client,
    address: Address,
    identity: Identity,
    headers: HeaderMap,
    timeout: Duration,
    meter: RequestMeter,
}

/// What came of a request, and whether it is worth another.
pub type Attempt<T> = Result<T, Failed<QueryError>>;

impl Prometheus {
    /// Sets up a client. `timeout` is the longest wait for the first byte, and for the next bytes.
    ///
    /// # Errors
    /// When the options cannot be used.
    pub fn new(options: &EndpointOptions, timeout: Duration, meter: RequestMeter) -> Result<Self, EndpointError> {
        let (address, user) = Address::parse(&options.url)?;
        let identity = Identity::new(options, user, &address)?;
        let shown = endpoint::client_identity(&options.tls)?;
        let http = client::client(ClientOptions {
            ca_bundle: options.tls.ca_bundle.as_deref(),
            identity: shown.as_deref(),
            stall_timeout: timeout,
            ..Default::default()
        })?;
        Ok(Self { http, headers: endpoint::fixed_headers(options)?, address, identity, timeout, meter })
    }

    /// Where it is, without secrets.
    pub fn location(&self) -> String {
        self.address.to_string()
    }

    /// How long it keeps samples, if it says so and keeps them by time.
    pub async fn retention(&self) -> Option<Duration> {
        let body = self.small("status/runtimeinfo", &[]).await.ok()?;
        let value: serde_json::Value = serde_json::from_slice(&body).ok()?;
        // Such as `15d`, `15d or 10GiB`, `10GiB`.
        let told = value["data"]["storageRetention"].as_str()?;
        told.split(" or ").find_map(prometheus_duration)
    }

    /// Asks for nothing in particular, to see that it answers, and as a Prometheus does. Gives its time.
    ///
    /// # Errors
    /// With what it answered.
    pub async fn probe(&self) -> Result<Option<Timestamp>, QueryError> {
        let response = self.open("query", &[("query", "vector(1)".to_owned())]).await.map_err(|failed| failed.error)?;
        let (date, place) = (parts::date(response.headers()), self.place("query"));
        let body = client::read_body(response, MOST_SMALL).await;
        let body = body.map_err(|error| unavailable(&place, &error.to_string(), None).error)?;
        let answer = scan::whole(&body).map_err(|error| error::malformed(&error, &place))?;
        if answer.status == "success" {
            Ok(date)
        } else {
            Err(QueryError::new(QueryFailure::Status, format!("{place}: {}", answer.error)))
        }
    }

    /// A whole answer of moderate size.
    async fn small(&self, path: &str, parameters: &[(&str, String)]) -> Attempt<Vec<u8>> {
        let response = self.open(path, parameters).await?;
        let body = client::read_body(response, MOST_SMALL).await;
        body.map_err(|error| unavailable(&self.place(path), &error.to_string(), None))
    }

    /// One request, up to the head of an answer of 200.
    async fn open(&self, path: &str, parameters: &[(&str, String)]) -> Attempt<reqwest::Response> {
        let place = self.place(parameters.first().map_or(path, |(_, query)| query));
        let request = self.request(path, parameters).await.map_err(|error| unavailable(&place, &error, None))?;
        let response = match self.http.execute(request).await {
            Ok(response) => response,
            Err(error) => {
                self.meter.unanswered();
                let told = match error.is_timeout() && !error.is_connect() {
                    true => format!("no answer within {} s", self.timeout.as_secs_f64()),
                    false => client::chain(&error.without_url()),
                };
                return Err(unavailable(&place, &told, None));
            }
        };
        self.meter.answered(response.status());
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let (code, after) = (response.status(), retry_after(response.headers()));
        let location = response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        let body = beginning(response).await;
        let error = error::refused(code, location.as_deref(), &body, &place);
        Err(Failed { retry: error.retry(after), error })
    }

    async fn request(&self, path: &str, parameters: &[(&str, String)]) -> Result<reqwest::Request, String> {
        let mut url = self.address.url(path);
        let mut form = Url::parse("form:/").map_err(|error| error.to_string())?;
        form.query_pairs_mut().extend_pairs(parameters);
        let form = form.query().unwrap_or_default().to_owned();
        // The values of a label are only told to a GET.
        let as_form = form.len() > LONGEST_QUERY && !path.starts_with("label/");
        if !parameters.is_empty() && !as_form {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let (method, body) = if as_form { (Method::POST, Bytes::from(form)) } else { (Method::GET, Bytes::new()) };
        let mut headers = self.identity.headers(&method, &url, &body).await?;
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut request = reqwest::Request::new(method, url);
        if as_form {
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/x-www-form-urlencoded"));
            *request.body_mut() = Some(body.into());
        }
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn place(&self, query: &str) -> String {
        let short: String = query.chars().take(100).collect();
        format!("{}: {short}", self.address)
    }
}

/// A peer that may be there later.
fn unavailable(place: &str, why: &str, after: Option<Duration>) -> Failed<QueryError> {
    let error = QueryError::new(QueryFailure::Unavailable, format!("{place}: {why}"));
    Failed { retry: error.retry(after), error }
}

/// As much of an error's body as will be looked at, if it comes in time.
async fn beginning(response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() > 64 << 10 {
            break;
        }
    }
    body
}

/// Durations as Prometheus writes them: `15d`, `1w2d`, `36h`.
fn prometheus_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, behind) = rest.split_at(digits);
        let unit = behind.chars().take_while(char::is_ascii_alphabetic).count();
        let factor = match &behind[..unit] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            "y" => 365 * 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = &behind[unit..];
    }
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
