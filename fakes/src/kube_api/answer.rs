//! Answers of the API server that are no stream: lists, single objects and `Status`.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::object::Object;
use super::path::{Options, Target};
use super::state::State;
use crate::http_server::{Body, full};

/// Half of a JSON line, for broken streams.
pub(super) const HALF_A_LINE: &str = r#"{"type":"ADDED","object":{"kind":"Clus"#;

/// How objects are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Whole,
    /// `PartialObjectMetadata`: nothing but `metadata`.
    Metadata,
}

impl View {
    /// What the `Accept` header asks for
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#metadata-only-fetches>).
    pub(super) fn asked_for(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        if accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata")) { Self::Metadata } else { Self::Whole }
    }

    /// The JSON of an object on its own.
    pub(super) fn show(self, object: &Object) -> String {
        let mut json = String::new();
        self.write(object, true, &mut json);
        json
    }

    fn write(self, object: &Object, type_meta: bool, json: &mut String) {
        match self {
            Self::Whole => object.write(json, type_meta),
            Self::Metadata => object.write_partial(json),
        }
    }
}

/// The bytes of a `Status` document.
pub(super) fn status_object(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    })
}

/// An error answer.
pub(super) fn status(code: u16, message: &str) -> Response<Body> {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    let mut response = json_response(&status_object(code, reason, message));
    *response.status_mut() = StatusCode::from_u16(code).expect("a valid HTTP status");
    if code == 429 {
        let second = HeaderValue::from_static("1");
        response.headers_mut().insert(header::RETRY_AFTER, second);
    }
    response
}

/// What the API server says about a resource that nobody has defined.
pub(super) fn absent() -> Response<Body> {
    status(404, "the server could not find the requested resource")
}

/// What a proxy in front of the API server says.
pub(super) fn html() -> Response<Body> {
    let page = "<!DOCTYPE html><html><head><title>Sign in</title></head><body></body></html>";
    with_type(page, "text/html; charset=utf-8")
}

pub(super) fn json_response(value: &Value) -> Response<Body> {
    with_type(value.to_string(), "application/json")
}

fn with_type(body: impl Into<Bytes>, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(full(body));
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// `GET` of a single object.
pub(super) fn get(state: &State, target: &Target, name: &str, view: View) -> Response<Body> {
    match state.get(target, name) {
        Some(object) => with_type(view.show(&object), "application/json"),
        None => {
            let plural = target.resource.rsplit('/').next().unwrap_or_default();
            status(404, &format!("{plural} \"{name}\" not found"))
        }
    }
}

/// `GET` of one page of a list.
pub(super) fn list(state: &mut State, target: &Target, options: &Options, view: View) -> Response<Body> {
    let Some(page) = state.page(target, options) else {
        return status(410, "The provided continue parameter is too old to display a consistent list result.");
    };
    let (kind, api_version) = match view {
        View::Whole => (format!("{}List", state.kind(target)), target.api_version().to_owned()),
        View::Metadata => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
    };
    let mut metadata = json!({ "resourceVersion": page.revision.to_string() });
    if let Some(token) = page.continue_token {
        metadata["continue"] = json!(token);
        metadata["remainingItemCount"] = json!(page.remaining);
    }
    let fields = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata }).to_string();
    let mut json = fields.strip_suffix('}').unwrap_or_default().to_owned();
    json += ",\"items\":[";
    // Items of built-in lists come without the fields that the list itself has.
    let type_meta = !target.resource.starts_with("api/");
    for (index, object) in page.items.iter().enumerate() {
        if index > 0 {
            json += ",";
        }
        view.write(object, type_meta, &mut json);
    }
    json += "]}";
    with_type(json, "application/json")
}
