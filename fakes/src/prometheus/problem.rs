//! Answers that are errors.

use http::StatusCode;

use super::data::json;

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    error_type: &'static str,
    error: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, error_type: &'static str, error: impl Into<String>) -> Self {
        Self { status, error_type, error: error.into() }
    }

    pub(super) fn bad_data(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_data", error)
    }

    /// Its JSON document.
    pub(super) fn document(&self) -> Vec<u8> {
        let (error_type, error) = (json(self.error_type), json(&self.error));
        format!(r#"{{"status":"error","errorType":{error_type},"error":{error}}}"#).into_bytes()
    }
}
