//! Which objects a request is about: resource paths and list options.

use http::Uri;

use super::object::Object;
use super::selector::{Requirement, requirements};

/// A resource path without the namespace and the name: `apis/kubermatic.k8c.io/v1/clusters`.
pub(super) fn normal(resource: &str) -> String {
    resource.trim_matches('/').to_owned()
}

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
}

impl Target {
    /// Reads `/api/v1/...` and `/apis/GROUP/VERSION/...`; `None` for any other path.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let version_parts = match *parts.first()? {
            "api" => 2,
            "apis" => 3,
            _ => return None,
        };
        let (version, rest) = parts.split_at_checked(version_parts)?;
        let (namespace, rest) = match rest {
            // With two parts it is the namespace itself: `/api/v1/namespaces/default`.
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            _ => (None, rest),
        };
        let (plural, name) = match rest {
            [plural] => (plural, None),
            [plural, name] => (plural, Some((*name).to_owned())),
            _ => return None,
        };
        Some(Self { resource: format!("{}/{plural}", version.join("/")), namespace: namespace.map(str::to_owned), name })
    }

    /// The API version of the resource: `v1`, `kubermatic.k8c.io/v1`.
    pub(super) fn api_version(&self) -> &str {
        let version = self.resource.rsplit_once('/').map_or("", |(version, _)| version);
        version.strip_prefix("apis/").or_else(|| version.strip_prefix("api/")).unwrap_or(version)
    }

    /// The kind that objects of the resource should have: `clusters` are `Cluster`.
    pub(super) fn guessed_kind(&self) -> String {
        let plural = self.resource.rsplit('/').next().unwrap_or_default();
        // Of several words, each with a capital.
        let known = ["PersistentVolumeClaim", "PersistentVolume", "ReplicaSet"];
        if let Some(kind) = known.iter().find(|kind| format!("{}s", kind.to_ascii_lowercase()) == plural) {
            return (*kind).to_owned();
        }
        let singular = plural.strip_suffix('s').unwrap_or(plural);
        let mut letters = singular.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    }
}

/// The query parameters of a list or a watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) watch: bool,
    pub(super) limit: Option<usize>,
    pub(super) continue_token: Option<String>,
    pub(super) resource_version: String,
    pub(super) resource_version_match: String,
    pub(super) bookmarks: bool,
    pub(super) send_initial_events: bool,
    pub(super) timeout_seconds: Option<u64>,
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

impl Options {
    pub(super) fn parse(uri: &Uri) -> Self {
        let mut options = Self::default();
        let truth = |value: &str| value == "true" || value == "1";
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "watch" => options.watch = truth(&value),
                "limit" => options.limit = value.parse().ok().filter(|&limit| limit > 0),
                "continue" if !value.is_empty() => {
                    options.continue_token = Some(value.into_owned());
                }
                "resourceVersion" => options.resource_version = value.into_owned(),
                "resourceVersionMatch" => options.resource_version_match = value.into_owned(),
                "allowWatchBookmarks" => options.bookmarks = truth(&value),
                "sendInitialEvents" => options.send_initial_events = truth(&value),
                "timeoutSeconds" => options.timeout_seconds = value.parse().ok(),
                "labelSelector" => options.labels = requirements(&value),
                "fieldSelector" => options.fields = requirements(&value),
                _ => {}
            }
        }
        options
    }

    /// Whether both selectors choose `object`.
    pub(super) fn select(&self, object: &Object) -> bool {
        self.labels.iter().all(|wanted| wanted.holds(|key| object.label(key)))
            && self.fields.iter().all(|wanted| wanted.holds(|path| object.field(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn targets() {
        let read = |path| {
            let target = Target::parse(path).unwrap();
            (target.resource, target.namespace, target.name)
        };
        let text = |part: &str| Some(part.to_owned());
        assert_eq!(read("/apis/kubermatic.k8c.io/v1/clusters"), ("apis/kubermatic.k8c.io/v1/clusters".into(), None, None));
        assert_eq!(read("/api/v1/namespaces/default/pods/web-0"), ("api/v1/pods".into(), text("default"), text("web-0")));
        assert_eq!(read("/api/v1/namespaces/default"), ("api/v1/namespaces".into(), None, text("default")));
        assert_eq!(Target::parse("/version"), None);
        assert_eq!(Target::parse("/apis/apps"), None);
    }

    #[test]
    fn selectors() {
        let pod = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"nodeName": "n1"}});
        let pod = Object::new(pod, None, None, 1);
        let selects = |query: &str| {
            let uri = format!("/api/v1/pods?{query}").parse().unwrap();
            Options::parse(&uri).select(&pod)
        };
        assert!(selects("labelSelector=app%3Dweb,!job&fieldSelector=spec.nodeName%3Dn1"));
        assert!(!selects("labelSelector=app!%3Dweb"));
        assert!(!selects("labelSelector=job"));
        assert!(selects("labelSelector=app+in+(api,+web),job+notin+(a,b)"));
        assert!(!selects("labelSelector=app+notin+(api,web)"));
        assert!(!selects("labelSelector=job+in+(a)"));
        assert!(!selects("fieldSelector=spec.nodeName%3Dn2"));
    }
}
