//! The shared shape of objects of which only a few fields are kept: how `kube` sees them, and what all of them have in common on the wire.

use std::borrow::Cow;
use std::fmt::{self, Debug};

use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::watch::Feed;

/// Values of labels and annotations are kept up to this many bytes. A longer one is cut, but so that it is still longer than this: an annotation
/// may have 256 KiB, and a page has 500 objects.
pub const LONGEST_VALUE: usize = 1_024;

/// What is kept of objects of a kind while they are on their way into an index. Whatever its `Deserialize` has no field for is skipped without being
/// read into memory.
pub trait Slim: Clone + Debug + DeserializeOwned + Send + 'static {
    /// Namespaced or cluster-scoped, as `kube` says it.
    type Scope;
    /// The API group; empty for the core.
    const GROUP: &'static str = "";
    /// The version in the group.
    const VERSION: &'static str = "v1";
    /// What an object says it is.
    const KIND: &'static str;
    /// The kind in paths and in rules of access.
    const PLURAL: &'static str;
    /// Whether the metadata is all that is wanted, so that the server sends no more.
    const METADATA_ONLY: bool = false;

    /// Name, namespace, UID and resource version.
    fn meta(&self) -> &ObjectMeta;

    /// The same, to be changed.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// `metadata.name`
    fn name(&self) -> &str {
        self.meta().name.as_deref().unwrap_or_default()
    }

    /// `metadata.namespace`; empty for what is cluster-scoped.
    fn namespace(&self) -> &str {
        self.meta().namespace.as_deref().unwrap_or_default()
    }

    /// `metadata.uid`, which no two objects share, also if one has the name of another that is gone.
    fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }
}

/// A slim object as `kube` lists and watches it.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent, bound = "")]
pub(super) struct Object<B: Slim>(pub(super) B);

impl<B: Slim> Resource for Object<B> {
    type DynamicType = ();
    type Scope = B::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        B::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        B::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        B::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        B::PLURAL.into()
    }

    fn metadata_api() -> bool {
        B::METADATA_ONLY
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

/// Hands what objects hold on to an index.
pub(super) struct Unwrapped<F>(pub(super) F);

impl<B: Slim, F: Feed<B>> Feed<Object<B>> for Unwrapped<F> {
    fn begin_list(&mut self) {
        self.0.begin_list();
    }

    fn listed(&mut self, object: Object<B>) {
        self.0.listed(object.0);
    }

    fn end_list(&mut self) {
        self.0.end_list();
    }

    fn apply(&mut self, object: Object<B>) {
        self.0.apply(object.0);
    }

    fn delete(&mut self, object: Object<B>) {
        self.0.delete(object.0);
    }

    fn known(&self) -> usize {
        self.0.known()
    }
}

/// `metadata` as the API writes it. `V` is [`Values`] where labels and annotations are needed, and skips them where they are not.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireMeta<V = IgnoredAny> {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    pub(super) labels: Option<V>,
    pub(super) annotations: Option<V>,
    pub(super) deletion_timestamp: Option<IgnoredAny>,
    owner_references: Option<Vec<WireOwner>>,
}

impl<V> WireMeta<V> {
    /// What every object keeps.
    pub(super) fn identity(&mut self) -> ObjectMeta {
        ObjectMeta {
            name: self.name.take(),
            namespace: self.namespace.take(),
            uid: self.uid.take(),
            resource_version: self.resource_version.take(),
            ..ObjectMeta::default()
        }
    }

    /// The one owner that manages the object.
    pub(super) fn controller(&mut self) -> Option<Controller> {
        let owner = self.owner_references.take()?.into_iter().find(|owner| owner.controller == Some(true))?;
        Some(Controller { kind: owner.kind?, name: owner.name?, uid: owner.uid.unwrap_or_default() })
    }
}

#[derive(Debug, Deserialize)]
struct WireOwner {
    kind: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    controller: Option<bool>,
}

/// What manages an object: the owner reference with `controller: true`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Controller {
    /// `ReplicaSet`, `Job` and the like.
    pub kind: String,
    /// Its name; it is in the object's namespace or cluster-scoped.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// Labels or annotations, with values longer than `LONGEST` cut, as [`LONGEST_VALUE`] says.
#[derive(Debug, Default)]
pub(super) struct Values<const LONGEST: usize = LONGEST_VALUE>(pub(super) Vec<(String, String)>);

impl<const LONGEST: usize> Values<LONGEST> {
    /// The value of the first of `keys` that has one.
    pub(super) fn first_of(&self, keys: &[&str]) -> Option<&str> {
        let value = |key: &&str| self.0.iter().find(|(known, value)| known == key && !value.is_empty());
        keys.iter().find_map(value).map(|(_, value)| value.as_str())
    }
}

impl<'de, const LONGEST: usize> Deserialize<'de> for Values<LONGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<const LONGEST: usize>;

        impl<'de, const LONGEST: usize> Visitor<'de> for Pairs<LONGEST> {
            type Value = Values<LONGEST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values<LONGEST>, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, Cut::<LONGEST>(value))) = map.next_entry()? {
                    pairs.push((key, value));
                }
                Ok(Values(pairs))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// A text, or its beginning.
struct Cut<const LONGEST: usize>(String);

impl<'de, const LONGEST: usize> Deserialize<'de> for Cut<LONGEST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const LONGEST: usize>;

        impl<const LONGEST: usize> Visitor<'_> for Text<LONGEST> {
            type Value = Cut<LONGEST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Cut<LONGEST>, E> {
                Ok(Cut(text[..text.ceil_char_boundary(LONGEST.saturating_add(1))].to_owned()))
            }
        }

        deserializer.deserialize_str(Text)
    }
}
