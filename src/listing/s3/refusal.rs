//! An answer that is no page: what it says, whose fault it is, and whether asking again can help. Pure.
//!
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use url::Url;

use crate::http::{Retry, retry_after};
use crate::listing::Reason;
use crate::listing::page::{ErrorDocument, read_error_document};

/// An error answer. Without a status it is an error document that came with a 200.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    pub(super) status: Option<StatusCode>,
    /// Empty where the body was something else.
    pub(super) document: ErrorDocument,
    /// Where a redirect points: scheme and host, since the rest may hold a secret.
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).map(str::to_owned);
        let mut document = read_error_document(body).unwrap_or_default();
        document.region = document.region.or_else(|| text("x-amz-bucket-region"));
        Self {
            status: Some(status),
            document,
            location: text("location").and_then(|location| origin(&location)),
            retry_after: retry_after(headers),
        }
    }

    /// True when the server says that the bucket is in another region, and which.
    pub(super) fn names_region(&self) -> bool {
        let by_code = matches!(
            self.document.code.as_str(),
            "PermanentRedirect" | "TemporaryRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"
        );
        self.document.region.is_some() && (by_code || self.status.is_some_and(|status| status.is_redirection()))
    }

    /// For the metric, and whether to ask again: S3's own code decides first, then the status.
    pub(super) fn judge(&self) -> (Reason, Retry) {
        let again = self.retry_after.map_or(Retry::Backoff, Retry::After);
        if self.names_region() {
            return (Reason::WrongRegion, Retry::Never);
        }
        match self.document.code.as_str() {
            "SlowDown"
            | "ServiceUnavailable"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequests"
            | "RequestLimitExceeded" => {
                return (Reason::Throttled, again);
            }
            "InternalError" => return (Reason::ServerError, again),
            "RequestTimeout" => return (Reason::Timeout, again),
            // Temporary keys that ran out are replaced by the provider before the next attempt.
            "ExpiredToken" => return (Reason::AccessDenied, again),
            "NoSuchBucket" => return (Reason::NoSuchBucket, Retry::Never),
            "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed" | "InvalidToken" => {
                return (Reason::AccessDenied, Retry::Never);
            }
            _ => {}
        }
        match self.status.map(|status| status.as_u16()) {
            Some(401 | 403) => (Reason::AccessDenied, Retry::Never),
            Some(404) => (Reason::NoSuchBucket, Retry::Never),
            Some(408) => (Reason::Timeout, again),
            Some(429 | 503) => (Reason::Throttled, again),
            Some(500..=599) => (Reason::ServerError, again),
            _ => (Reason::InvalidResponse, Retry::Never),
        }
    }
}

fn origin(location: &str) -> Option<String> {
    let url = Url::parse(location).ok()?;
    url.has_host().then(|| url.origin().ascii_serialization())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => f.write_str("an error in a 200")?,
        }
        for part in [&self.document.code, &self.document.message].into_iter().filter(|part| !part.is_empty()) {
            // The server's words, which must not look like ours.
            write!(f, ": {}", part.replace(char::is_control, " "))?;
        }
        match (&self.document.region, &self.location) {
            (Some(region), _) if self.names_region() => write!(f, ": the bucket is in region {region:?}; set the region to that"),
            (_, Some(location)) => {
                write!(f, ": the server points to {location:?}; redirects are not followed, so set the endpoint to that")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: &str, status: u16, region: Option<&str>) -> Refusal {
        let document = ErrorDocument { code: code.into(), message: String::new(), region: region.map(Into::into) };
        Refusal { status: StatusCode::from_u16(status).ok(), document, ..Refusal::default() }
    }

    #[test]
    fn an_answer_is_judged_by_its_code_then_its_status() {
        let judge = |code, status| refusal(code, status, None).judge();
        assert_eq!(judge("SlowDown", 200), (Reason::Throttled, Retry::Backoff));
        assert_eq!(judge("SignatureDoesNotMatch", 403), (Reason::AccessDenied, Retry::Never));
        assert_eq!(judge("", 502), (Reason::ServerError, Retry::Backoff));
        assert_eq!(judge("NoSuchBucket", 404), (Reason::NoSuchBucket, Retry::Never));
        assert_eq!(judge("MalformedXML", 400), (Reason::InvalidResponse, Retry::Never));
        let slow = Refusal { retry_after: Some(Duration::from_secs(7)), ..refusal("", 503, None) };
        assert_eq!(slow.judge(), (Reason::Throttled, Retry::After(Duration::from_secs(7))));
    }

    #[test]
    fn the_servers_words_are_kept_in_bounds() {
        let mut refused = refusal("A\nb", 403, None);
        refused.document.message = "x\u{1b}[31m".into();
        assert_eq!(refused.to_string(), "403 Forbidden: A b: x [31m");
        let mut headers = HeaderMap::new();
        headers.insert("location", header::HeaderValue::from_static("https://user:pw@elsewhere:1/?signature=x"));
        assert_eq!(Refusal::new(StatusCode::FOUND, &headers, b"").location.as_deref(), Some("https://elsewhere:1"));
    }

    #[test]
    fn a_redirect_is_about_the_region_only_if_it_names_one() {
        assert_eq!(refusal("PermanentRedirect", 301, Some("eu-west-1")).judge().0, Reason::WrongRegion);
        assert_eq!(refusal("AuthorizationHeaderMalformed", 400, None).judge().0, Reason::InvalidResponse);
        let moved = Refusal { location: Some("https://x/".into()), ..refusal("", 308, None) };
        assert_eq!(moved.judge().0, Reason::InvalidResponse);
        assert!(moved.to_string().contains("https://x/") && moved.to_string().contains("endpoint"));
    }
}
