//! Why a query failed, and what can be done about it.

use std::time::Duration;

use super::scan::{Answer, Malformed};
use crate::http::Retry;

/// A query without a usable answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// What kind of failure.
    pub kind: QueryFailure,
    /// One line for people, with the address.
    pub message: String,
}

/// Kinds of failure that callers treat differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryFailure {
    /// No answer: refused, reset, silent, too slow, 429, 5xx. May succeed later.
    Unavailable,
    /// An answer of 200 that says `status: error`.
    Status,
    /// An answer of 200 that is no answer of a Prometheus.
    Malformed,
    /// An answer that was cut off.
    Truncated,
    /// Too much for one query: the server gave up by time or by number of samples, so parts of it may succeed.
    TooMuch(Limit),
    /// The server lets nobody in, or is another one: 401, 403, 404, redirects.
    NotLetIn,
    /// The server will not answer this, however often it is asked: other 4xx.
    Refused,
}

/// What was too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Time or samples.
    Work,
    /// Steps in one query.
    Resolution,
}

impl QueryError {
    pub(super) fn new(kind: QueryFailure, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether the same query may succeed when it is asked again at once.
    pub(super) fn retry(&self, after: Option<Duration>) -> Retry {
        match (self.kind, after) {
            (QueryFailure::TooMuch(_) | QueryFailure::NotLetIn | QueryFailure::Refused, _) => Retry::Never,
            (_, Some(after)) => Retry::After(after),
            (_, None) => Retry::Backoff,
        }
    }
}

/// A body that is not what it should be.
pub(super) fn malformed(error: &Malformed, place: &str) -> QueryError {
    match error {
        Malformed::Truncated(_) => QueryError::new(QueryFailure::Truncated, format!("{place}: the answer is cut off: {error}")),
        Malformed::NotJson { .. } => {
            QueryError::new(QueryFailure::Malformed, format!("{place}: the answer is none of a Prometheus: {error}"))
        }
    }
}

/// An answer of 200 that is whole: does it have what was asked for?
pub(super) fn check(answer: &Answer, place: &str) -> Result<(), QueryError> {
    match (answer.status.as_str(), answer.result_type.as_str()) {
        ("success", "matrix") => Ok(()),
        ("success", other) => {
            let message = format!("{place}: the result is of type `{other}` and not a matrix; is this a Prometheus?");
            Err(QueryError::new(QueryFailure::Malformed, message))
        }
        (status, _) => {
            let told = told(answer).unwrap_or_else(|| format!("status `{status}`"));
            Err(QueryError::new(QueryFailure::Status, format!("{place}: answered 200, but with an error: {told}")))
        }
    }
}

/// An answer that is not 200. `body` is its beginning.
pub(super) fn refused(code: http::StatusCode, location: Option<&str>, body: &[u8], place: &str) -> QueryError {
    let answer = super::scan::whole(body).unwrap_or_default();
    let told = told(&answer).unwrap_or_else(|| first_line(body));
    let kind = kind(code, &answer);
    let hint = match code.as_u16() {
        300..=399 => format!("; redirects are not followed{}", location.and_then(leads_to).unwrap_or_default()),
        401 | 403 => "; check the authentication of the endpoint".to_owned(),
        404 => "; check the path of the endpoint's URL".to_owned(),
        _ => String::new(),
    };
    let told = if told.is_empty() { String::new() } else { format!(": {told}") };
    QueryError::new(kind, format!("{place}: answered {}{told}{hint}", code.as_u16()))
}

/// Rules: `web/api/v1/api.go` of Prometheus for the types and their codes, `promql/engine.go` for the texts of limits.
fn kind(code: http::StatusCode, answer: &Answer) -> QueryFailure {
    let says = |text: &str| answer.error.contains(text);
    match (answer.error_type.as_str(), code.as_u16()) {
        // The server is busy with other queries; more of them would not help.
        ("timeout", _) if says("query queue") => QueryFailure::Unavailable,
        ("timeout", _) => QueryFailure::TooMuch(Limit::Work),
        ("bad_data", _) if says("exceeded maximum resolution") => QueryFailure::TooMuch(Limit::Resolution),
        ("execution" | "too_many_samples", _) if says("too many samples") || says("limit") || says("exceed") => {
            QueryFailure::TooMuch(Limit::Work)
        }
        // VictoriaMetrics has the code for a type.
        (_, 422) if says("too many samples") || says("limit") || says("exceed") => QueryFailure::TooMuch(Limit::Work),
        (_, 429 | 408 | 500..) => QueryFailure::Unavailable,
        (_, 300..=399 | 401 | 403 | 404) => QueryFailure::NotLetIn,
        _ => QueryFailure::Refused,
    }
}

/// Without parameters, among which a secret may be.
fn leads_to(location: &str) -> Option<String> {
    let told = match url::Url::parse(location) {
        Ok(mut url) => {
            url.set_query(None);
            let _ = (url.set_username(""), url.set_password(None));
            url.to_string()
        }
        Err(_) => location.split('?').next()?.to_owned(),
    };
    Some(format!(", and this one leads to {told}"))
}

fn told(answer: &Answer) -> Option<String> {
    match (answer.error_type.as_str(), answer.error.as_str()) {
        ("", "") => None,
        ("", error) => Some(error.to_owned()),
        (kind, error) => Some(format!("{kind}: {error}")),
    }
}

/// Of a page that is not for programs.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, body: &str) -> QueryError {
        refused(http::StatusCode::from_u16(code).unwrap(), None, body.as_bytes(), "prod: up")
    }

    fn prometheus(kind: &str, error: &str) -> String {
        format!(r#"{{"status":"error","errorType":"{kind}","error":"{error}"}}"#)
    }

    #[test]
    fn errors_are_judged_by_their_type() {
        let limit = "query processing would load too many samples into memory in query execution";
        for (code, body, kind) in [
            (503, prometheus("timeout", "query timed out in expression evaluation"), QueryFailure::TooMuch(Limit::Work)),
            (422, prometheus("execution", limit), QueryFailure::TooMuch(Limit::Work)),
            (422, prometheus("execution", "many-to-many matching not allowed"), QueryFailure::Refused),
            (
                400,
                prometheus("bad_data", "exceeded maximum resolution of 11,000 points"),
                QueryFailure::TooMuch(Limit::Resolution),
            ),
            (400, prometheus("bad_data", "parse error"), QueryFailure::Refused),
            (503, prometheus("unavailable", "starting"), QueryFailure::Unavailable),
            (429, "slow down".into(), QueryFailure::Unavailable),
            (502, "<html>Bad Gateway</html>".into(), QueryFailure::Unavailable),
            (401, String::new(), QueryFailure::NotLetIn),
            (503, prometheus("timeout", "query timed out in query queue"), QueryFailure::Unavailable),
            (422, prometheus("422", "too many samples"), QueryFailure::TooMuch(Limit::Work)),
            (302, String::new(), QueryFailure::NotLetIn),
        ] {
            let error = of(code, &body);
            assert_eq!(error.kind, kind, "{code} {body}");
            assert!(error.message.starts_with(&format!("prod: up: answered {code}")), "{}", error.message);
        }
        assert!(of(422, &prometheus("execution", limit)).message.contains("too many samples"));
        assert!(of(401, "").message.contains("authentication"));
    }

    #[test]
    fn only_what_may_change_is_asked_again() {
        let after = Some(Duration::from_secs(7));
        let error = |kind| QueryError::new(kind, "");
        assert_eq!(error(QueryFailure::Unavailable).retry(after), Retry::After(Duration::from_secs(7)));
        assert_eq!(error(QueryFailure::Truncated).retry(None), Retry::Backoff);
        assert_eq!(error(QueryFailure::Refused).retry(after), Retry::Never);
        assert_eq!(error(QueryFailure::TooMuch(Limit::Work)).retry(after), Retry::Never);
    }
}
