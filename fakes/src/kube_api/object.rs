//! An object as it is stored: as text, so that a hundred thousand of them fit and lists only join them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ballast::Ballast;

/// One version of an object. Clones share the text.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) revision: u64,
    parts: Arc<Parts>,
}

struct Parts {
    /// The members `apiVersion` and `kind`, each with a comma behind it.
    type_meta: String,
    /// The members of `metadata` but for `resourceVersion`, each with a comma before it.
    metadata: String,
    /// All other members, each with a comma before it.
    rest: String,
    uid: String,
    created: String,
    labels: Vec<(String, String)>,
    /// What a field selector can ask for, as `spec.nodeName`.
    fields: Vec<(String, String)>,
    /// More text, and where in `rest` its environment belongs.
    ballast: Option<(Ballast, usize)>,
}

impl Object {
    /// Stores `value` and fills in what the API server fills in. What is fixed stays as it was `before`.
    pub(super) fn new(mut value: Value, ballast: Option<Ballast>, before: Option<&Self>, revision: u64) -> Self {
        let uid = format!("0c1d2e3f-0000-4000-8000-{revision:012x}");
        let parts = before.map(|before| &before.parts);
        let fixed = [
            ("uid", parts.map(|parts| &parts.uid), uid.as_str()),
            ("creationTimestamp", parts.map(|parts| &parts.created), "2026-01-01T00:00:00Z"),
        ];
        let metadata = &mut value["metadata"];
        for (field, before, first) in fixed {
            if let Some(before) = before {
                metadata[field] = json!(before);
            } else if metadata[field].is_null() {
                metadata[field] = json!(first);
            }
        }
        let Value::Object(members) = value else {
            panic!("an object of Kubernetes is a JSON object");
        };
        Self { revision, parts: Arc::new(Parts::new(members, ballast)) }
    }

    /// The same with another resource version.
    pub(super) fn at(&self, revision: u64) -> Self {
        Self { revision, parts: Arc::clone(&self.parts) }
    }

    pub(super) fn uid(&self) -> &str {
        &self.parts.uid
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        find(&self.parts.labels, key)
    }

    pub(super) fn field(&self, path: &str) -> Option<&str> {
        find(&self.parts.fields, path)
    }

    /// Writes the whole object; items of built-in lists come without the fields that the list has.
    pub(super) fn write(&self, json: &mut String, type_meta: bool) {
        *json += "{";
        if type_meta {
            *json += &self.parts.type_meta;
        }
        self.write_metadata(json);
        match &self.parts.ballast {
            None => *json += &self.parts.rest,
            Some((ballast, place)) => {
                let (before, after) = self.parts.rest.split_at(*place);
                json.extend([before, &ballast.environment, after]);
            }
        }
        *json += "}";
    }

    /// Writes nothing but its metadata.
    pub(super) fn write_partial(&self, json: &mut String) {
        *json += r#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#;
        self.write_metadata(json);
        *json += "}";
    }

    fn write_metadata(&self, json: &mut String) {
        *json += r#""metadata":{"resourceVersion":""#;
        *json += &self.revision.to_string();
        *json += "\"";
        *json += &self.parts.metadata;
        if let Some((ballast, _)) = &self.parts.ballast {
            *json += &ballast.metadata;
        }
        *json += "}";
    }
}

impl Parts {
    fn new(mut members: Map<String, Value>, ballast: Option<Ballast>) -> Self {
        let mut type_meta = String::new();
        for name in ["apiVersion", "kind"] {
            if let Some(value) = members.remove(name) {
                type_meta += &format!("\"{name}\":{value},");
            }
        }
        let Some(Value::Object(mut metadata)) = members.remove("metadata") else {
            panic!("an object of Kubernetes has metadata");
        };
        metadata.remove("resourceVersion");
        let text = |name: &str| metadata.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut fields = vec![("metadata.name".to_owned(), text("name")), ("metadata.namespace".to_owned(), text("namespace"))];
        for (name, value) in &members {
            match value {
                Value::String(text) => fields.push((name.clone(), text.clone())),
                Value::Object(below) => {
                    fields.extend(strings(below).map(|(below, text)| (format!("{name}.{below}"), text.to_owned())));
                }
                _ => {}
            }
        }
        let rest = joined(&members);
        let labels = metadata.get("labels").and_then(Value::as_object).into_iter().flat_map(strings);
        Self {
            uid: text("uid"),
            created: text("creationTimestamp"),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            fields,
            type_meta,
            metadata: joined(&metadata),
            ballast: ballast.map(|ballast| (ballast, Ballast::place(&rest))),
            rest,
        }
    }
}

fn find<'a>(pairs: &'a [(String, String)], key: &str) -> Option<&'a str> {
    pairs.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
}

fn strings(members: &Map<String, Value>) -> impl Iterator<Item = (&str, &str)> {
    members.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// The members, each with a comma before it.
fn joined(members: &Map<String, Value>) -> String {
    let mut text: String = members.iter().map(|(name, value)| format!(",{}:{value}", json!(name))).collect();
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use super::super::PodSpec;
    use super::*;

    #[test]
    fn texts() {
        let value = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "a", "labels": { "app": "\"b\"" }, "uid": "u", "creationTimestamp": "c", "resourceVersion": "1" },
            "spec": { "nodeName": "n" },
        });
        let object = Object::new(value.clone(), None, None, 7);
        let mut expected = value;
        expected["metadata"]["resourceVersion"] = json!("7");
        let written = |type_meta| {
            let mut json = String::new();
            object.write(&mut json, type_meta);
            serde_json::from_str::<Value>(&json).unwrap()
        };
        assert_eq!(written(true), expected);
        assert_eq!(written(false), json!({ "metadata": expected["metadata"], "spec": expected["spec"] }));
        assert_eq!([object.label("app"), object.field("spec.nodeName")], [Some("\"b\""), Some("n")]);
        assert_eq!([object.label("x"), object.field("metadata.name")], [None, Some("a")]);
    }

    #[test]
    fn ballast_is_where_it_belongs() {
        let pod = PodSpec::new("default", "a").uid("u").created("c");
        let mut json = String::new();
        Object::new(pod.without_ballast(), Some(Ballast::of(4_096)), None, 7).write(&mut json, true);
        let mut expected = pod.to_json();
        expected["metadata"]["resourceVersion"] = json!("7");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), expected);
    }
}
