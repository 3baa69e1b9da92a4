//! The objects of the fake cluster, the history of their changes and the switches of the test.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

use super::ballast::Ballast;
use super::object::Object;
use super::path::{Options, Target, normal};
use super::review::KnownToken;

/// Resource, namespace (empty for cluster-scoped objects) and name.
pub(super) type ObjectId = (String, String, String);

pub(super) fn id(resource: &str, namespace: Option<&str>, name: &str) -> ObjectId {
    (normal(resource), namespace.unwrap_or_default().to_owned(), name.to_owned())
}

/// One change of an object.
struct Event {
    revision: u64,
    resource: String,
    namespace: String,
    before: Option<Object>,
    /// The new version; for a deletion the last one.
    object: Object,
    deleted: bool,
}

impl Event {
    /// What a watch with these selectors sees of it: nothing, or the type of its event and the object.
    /// An object that no longer matches is deleted for the watch, with its last version that did.
    fn seen_with(&self, options: &Options) -> Option<(&'static str, Object)> {
        let before = self.before.as_ref().filter(|before| options.select(before));
        let matches = !self.deleted && options.select(&self.object);
        match (before, matches) {
            (None, false) => None,
            (None, true) => Some(("ADDED", self.object.clone())),
            (Some(_), true) => Some(("MODIFIED", self.object.clone())),
            (Some(before), false) => Some(("DELETED", before.at(self.revision))),
        }
    }
}

/// What a test has switched on. Counters only grow: whoever remembers an old value sees the change.
#[derive(Default)]
pub(super) struct Switches {
    pub(super) hang: bool,
    pub(super) garbage: bool,
    pub(super) absent: HashSet<String>,
    pub(super) forbidden: HashSet<String>,
    pub(super) failure: Option<Failure>,
    pub(super) token: Option<String>,
    /// Of others, for token reviews.
    pub(super) tokens: HashMap<String, KnownToken>,
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
    objects: Vec<Object>,
}

/// One page of a list.
pub(super) struct ListPage {
    pub(super) revision: u64,
    pub(super) items: Vec<Object>,
    pub(super) continue_token: Option<String>,
    pub(super) remaining: usize,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) switches: Switches,
    revision: u64,
    /// Resource versions below this one are too old to watch from.
    oldest: u64,
    objects: BTreeMap<ObjectId, Object>,
    kinds: HashMap<String, String>,
    /// By size.
    ballasts: HashMap<usize, Ballast>,
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

    /// Creates or replaces an object. Another uid than before is another object: the old one is deleted.
    pub(super) fn apply(&mut self, resource: String, object: Value, ballast: Option<usize>) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&object["metadata"]["namespace"]);
        let name = text(&object["metadata"]["name"]);
        if let Some(kind) = object["kind"].as_str()
            && self.kinds.get(&resource).is_none_or(|known| known != kind)
        {
            self.kinds.insert(resource.clone(), kind.to_owned());
        }
        let id = (resource, namespace, name);
        let uid = object["metadata"]["uid"].as_str();
        if uid.is_some_and(|uid| self.objects.get(&id).is_some_and(|before| before.uid() != uid)) {
            self.delete(id.clone(), true);
        }
        self.revision += 1;
        let ballast = ballast.map(|bytes| self.ballasts.entry(bytes).or_insert_with(|| Ballast::of(bytes)).clone());
        let object = Object::new(object, ballast, self.objects.get(&id), self.revision);
        let before = self.objects.insert(id.clone(), object.clone());
        let (resource, namespace, _) = id;
        self.events.push(Event { revision: self.revision, resource, namespace, before, object, deleted: false });
    }

    /// Removes an object; whether it was there. If it is not `told`, no watch will know.
    pub(super) fn delete(&mut self, id: ObjectId, told: bool) -> bool {
        let Some(object) = self.objects.remove(&id) else {
            return false;
        };
        self.revision += 1;
        if told {
            let (resource, namespace, _) = id;
            let before = Some(object.clone());
            self.events.push(Event { revision: self.revision, resource, namespace, before, object, deleted: true });
        }
        true
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

    pub(super) fn get(&self, target: &Target, name: &str) -> Option<Object> {
        let namespace = target.namespace.clone().unwrap_or_default();
        let id = (target.resource.clone(), namespace, name.to_owned());
        self.objects.get(&id).cloned()
    }

    /// All objects that a list or a new watch is about, by namespace and name.
    pub(super) fn select(&self, target: &Target, options: &Options) -> Vec<Object> {
        let from = (target.resource.clone(), String::new(), String::new());
        self.objects
            .range(from..)
            .take_while(|((resource, ..), _)| *resource == target.resource)
            .filter(|((_, namespace, _), _)| in_namespace(target, namespace))
            .filter(|(_, object)| options.select(object))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// The changes behind `revision` that a watch is about, as it sees them.
    pub(super) fn events_after(&self, revision: u64, target: &Target, options: &Options) -> Vec<(&'static str, Object)> {
        let first = self.events.partition_point(|event| event.revision <= revision);
        self.events[first..]
            .iter()
            .filter(|event| event.resource == target.resource)
            .filter(|event| in_namespace(target, &event.namespace))
            .filter_map(|event| event.seen_with(options))
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
