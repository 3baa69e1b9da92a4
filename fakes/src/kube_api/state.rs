//! The objects of the fake cluster, the history of their changes and the switches of the test.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::path::{Options, Target};

/// Resource, namespace (empty for cluster-scoped objects) and name.
type ObjectId = (String, String, String);

/// One change, as watches see it.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) revision: u64,
    /// `ADDED`, `MODIFIED` or `DELETED`.
    pub(super) change: &'static str,
    resource: String,
    namespace: String,
    pub(super) object: Arc<Value>,
}

/// What a test has switched on. Counters only grow: whoever remembers an old value sees the change.
#[derive(Default)]
pub(super) struct Switches {
    pub(super) hang: bool,
    pub(super) garbage: bool,
    pub(super) absent: HashSet<String>,
    pub(super) failure: Option<Failure>,
    pub(super) token: Option<String>,
    pub(super) page_size: Option<usize>,
    pub(super) bookmark_interval: Option<Duration>,
    pub(super) expired: u64,
    pub(super) broken: u64,
    pub(super) bookmarks: u64,
}

/// An answer in place of the right one.
#[derive(Clone, Copy)]
pub(super) struct Failure {
    pub(super) code: u16,
    /// For so many requests; `None`: until it is cleared.
    pub(super) times: Option<u64>,
}

/// A list that is being read page by page. All of its pages are from one moment.
struct Snapshot {
    revision: u64,
    objects: Vec<Arc<Value>>,
}

/// One page of a list.
pub(super) struct ListPage {
    pub(super) revision: u64,
    pub(super) items: Vec<Arc<Value>>,
    pub(super) continue_token: Option<String>,
    pub(super) remaining: usize,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) switches: Switches,
    revision: u64,
    /// Resource versions below this one are too old to watch from.
    oldest: u64,
    objects: BTreeMap<ObjectId, Arc<Value>>,
    kinds: HashMap<String, String>,
    events: Vec<Event>,
    snapshots: HashMap<u64, Snapshot>,
    snapshots_taken: u64,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            // A cluster never begins at zero, which means "any version" in requests.
            revision: 1_000,
            ..Self::default()
        }
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Creates or replaces an object and fills in what the API server fills in.
    pub(super) fn apply(&mut self, resource: String, mut object: Value) {
        self.revision += 1;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&object["metadata"]["namespace"]);
        let name = text(&object["metadata"]["name"]);
        if let Some(kind) = object["kind"].as_str() {
            self.kinds.insert(resource.clone(), kind.to_owned());
        }
        let id = (resource.clone(), namespace.clone(), name);
        let before = self.objects.get(&id);
        let fixed = [
            ("uid", json!(format!("0c1d2e3f-0000-4000-8000-{:012x}", self.revision))),
            ("creationTimestamp", json!("2026-01-01T00:00:00Z")),
        ];
        let metadata = &mut object["metadata"];
        for (field, first) in fixed {
            if let Some(before) = before {
                metadata[field] = before["metadata"][field].clone();
            } else if metadata[field].is_null() {
                metadata[field] = first;
            }
        }
        metadata["resourceVersion"] = json!(self.revision.to_string());
        let change = if before.is_some() { "MODIFIED" } else { "ADDED" };
        let object = Arc::new(object);
        self.objects.insert(id, Arc::clone(&object));
        self.record(change, resource, namespace, object);
    }

    /// Removes an object; whether it was there.
    pub(super) fn delete(&mut self, resource: String, namespace: &str, name: &str) -> bool {
        let id = (resource, namespace.to_owned(), name.to_owned());
        let Some(object) = self.objects.remove(&id) else {
            return false;
        };
        self.revision += 1;
        // The last state, with the version of the deletion.
        let mut last = Value::clone(&object);
        last["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let (resource, namespace, _) = id;
        self.record("DELETED", resource, namespace, Arc::new(last));
        true
    }

    fn record(&mut self, change: &'static str, resource: String, namespace: String, object: Arc<Value>) {
        self.events.push(Event { revision: self.revision, change, resource, namespace, object });
    }

    /// Makes every resource version known so far too old.
    pub(super) fn expire(&mut self) {
        self.revision += 1;
        self.oldest = self.revision;
        self.events.clear();
    }

    pub(super) fn expire_continue_tokens(&mut self) {
        self.snapshots.clear();
    }

    pub(super) fn too_old(&self, revision: u64) -> bool {
        revision < self.oldest
    }

    pub(super) fn kind(&self, target: &Target) -> String {
        self.kinds.get(&target.resource).cloned().unwrap_or_else(|| target.guessed_kind())
    }

    pub(super) fn get(&self, target: &Target, name: &str) -> Option<Arc<Value>> {
        let namespace = target.namespace.clone().unwrap_or_default();
        let id = (target.resource.clone(), namespace, name.to_owned());
        self.objects.get(&id).cloned()
    }

    /// All objects that a list or a new watch is about, by namespace and name.
    pub(super) fn select(&self, target: &Target, options: &Options) -> Vec<Arc<Value>> {
        let from = (target.resource.clone(), String::new(), String::new());
        self.objects
            .range(from..)
            .take_while(|((resource, ..), _)| *resource == target.resource)
            .filter(|((_, namespace, _), _)| in_namespace(target, namespace))
            .filter(|(_, object)| options.select(object))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// The changes behind `revision` that a watch is about.
    pub(super) fn events_after(&self, revision: u64, target: &Target, options: &Options) -> Vec<Event> {
        let first = self.events.partition_point(|event| event.revision <= revision);
        self.events[first..]
            .iter()
            .filter(|event| event.resource == target.resource)
            .filter(|event| in_namespace(target, &event.namespace))
            .filter(|event| options.select(&event.object))
            .cloned()
            .collect()
    }

    /// One page of a list; `None` if its continue token is unknown or has expired.
    pub(super) fn page(&mut self, target: &Target, options: &Options) -> Option<ListPage> {
        let (id, start) = match &options.continue_token {
            None => {
                let snapshot = Snapshot { revision: self.revision, objects: self.select(target, options) };
                self.snapshots_taken += 1;
                self.snapshots.insert(self.snapshots_taken, snapshot);
                (self.snapshots_taken, 0)
            }
            Some(token) => {
                let (id, start) = token.strip_prefix("page-")?.split_once('-')?;
                (id.parse().ok()?, start.parse().ok()?)
            }
        };
        let snapshot = self.snapshots.get(&id)?;
        // Only who asks for pages gets pages.
        let limit = options.limit.map_or(usize::MAX, |limit| limit.min(self.switches.page_size.unwrap_or(usize::MAX)));
        let rest = snapshot.objects.get(start..)?;
        let items = rest[..limit.min(rest.len())].to_vec();
        let remaining = rest.len() - items.len();
        let page = ListPage {
            revision: snapshot.revision,
            continue_token: (remaining > 0).then(|| format!("page-{id}-{}", start + items.len())),
            items,
            remaining,
        };
        if remaining == 0 {
            self.snapshots.remove(&id);
        }
        Some(page)
    }
}

fn in_namespace(target: &Target, namespace: &str) -> bool {
    target.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
}
