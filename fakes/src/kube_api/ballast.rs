//! The part of a pod that is larger than everything else and of no use to anybody.
//!
//! All pods with the same size of it share the text: a hundred thousand of them are as large as real ones
//! for who reads them, and small for the fake.

use std::sync::Arc;

use serde_json::{Map, Value, json};

/// Where the environment belongs in the text of a pod.
const ENVIRONMENT: &str = "\"env\":[";

/// Text for an object that has none of it.
#[derive(Clone)]
pub(super) struct Ballast {
    /// A member of `metadata`, with a comma before it.
    pub(super) metadata: Arc<str>,
    /// Elements of the environment of the container.
    pub(super) environment: Arc<str>,
}

impl Ballast {
    /// About so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let environment = environment(bytes).to_string();
        Self {
            metadata: format!(",\"managedFields\":{}", managed_fields(bytes)).into(),
            environment: environment.trim_start_matches('[').trim_end_matches(']').into(),
        }
    }

    /// Where in `text`, the members behind the metadata, the environment belongs.
    pub(super) fn place(text: &str) -> usize {
        text.find(ENVIRONMENT).map_or(text.len(), |start| start + ENVIRONMENT.len())
    }
}

/// Half of it: who has set which field.
pub(super) fn managed_fields(bytes: usize) -> Value {
    let field = |number: usize| (format!("f:template-setting-{number}"), json!({ ".": {}, "f:name": {}, "f:value": {} }));
    let owned: Map<String, Value> = (0..bytes.div_ceil(128)).map(field).collect();
    json!([{
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": { "f:spec": owned },
        "manager": "kube-controller-manager",
        "operation": "Update",
        "time": "2026-01-01T00:00:00Z",
    }])
}

/// The other half: the environment of a container.
pub(super) fn environment(bytes: usize) -> Value {
    let variable = |number: usize| json!({ "name": format!("SETTING_{number}"), "value": "x".repeat(64) });
    (0..bytes.div_ceil(190)).map(variable).collect()
}
