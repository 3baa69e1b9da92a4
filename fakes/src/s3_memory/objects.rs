//! The objects of the in-memory S3: buckets, keys as they are, conditions and unfinished uploads.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use s3s::dto::{ETag, ETagCondition};
use s3s::{S3Result, s3_error};

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// So many zeros, which need no memory.
    Zeros(u64),
}

/// An object to put, or as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its bytes, or only their number.
    pub content: Content,
    /// When it was written. S3 lists whole seconds.
    pub modified: SystemTime,
    /// `STANDARD`, `GLACIER`, ...
    pub storage_class: String,
    /// User metadata: the names in lower case and without `x-amz-meta-`, and the values.
    pub metadata: BTreeMap<String, String>,
    /// The `Content-Type`, if it came with one.
    pub content_type: Option<String>,
}

impl Object {
    /// An object with these bytes, written now.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self {
            content: Content::Bytes(bytes.into()),
            modified: SystemTime::now(),
            storage_class: "STANDARD".to_owned(),
            metadata: BTreeMap::new(),
            content_type: None,
        }
    }

    /// An object of this size, written now, that takes no memory.
    pub fn sized(size: u64) -> Self {
        Self { content: Content::Zeros(size), ..Self::bytes(Bytes::new()) }
    }

    /// The same object, written at `modified`.
    #[must_use]
    pub fn modified(mut self, modified: SystemTime) -> Self {
        self.modified = modified;
        self
    }

    /// The same object in another storage class.
    #[must_use]
    pub fn storage_class(mut self, class: &str) -> Self {
        class.clone_into(&mut self.storage_class);
        self
    }

    /// The same object with one more entry of user metadata.
    #[must_use]
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        self.metadata.insert(name.to_ascii_lowercase(), value.to_owned());
        self
    }

    /// The same object with another content type.
    #[must_use]
    pub fn content_type(mut self, content_type: &str) -> Self {
        self.content_type = Some(content_type.to_owned());
        self
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(size) => *size,
        }
    }

    /// 32 hexadecimal digits that depend on the content only. It is no MD5 sum, and S3 does not promise
    /// one.
    pub(super) fn etag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        match &self.content {
            Content::Bytes(bytes) => bytes.hash(&mut hasher),
            Content::Zeros(size) => size.hash(&mut hasher),
        }
        let first = hasher.finish();
        first.hash(&mut hasher);
        format!("{first:016x}{:016x}", hasher.finish())
    }

    pub(super) fn unix_seconds(&self) -> u64 {
        self.modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// An upload that is not complete.
pub(super) struct Upload {
    /// What the object will be, besides its content.
    pub(super) empty: Object,
    pub(super) parts: BTreeMap<i32, Bytes>,
}

/// Everything that the server holds.
#[derive(Default)]
pub(super) struct Objects {
    buckets: BTreeSet<String>,
    objects: BTreeMap<(String, String), Object>,
    uploads: HashMap<String, Upload>,
    uploads_started: u64,
}

impl Objects {
    /// Creates a bucket; whether it is new.
    pub(super) fn create_bucket(&mut self, bucket: &str) -> bool {
        self.buckets.insert(bucket.to_owned())
    }

    pub(super) fn buckets(&self) -> impl Iterator<Item = &String> {
        self.buckets.iter()
    }

    pub(super) fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.buckets.contains(bucket) { Ok(()) } else { Err(s3_error!(NoSuchBucket, "The specified bucket does not exist")) }
    }

    pub(super) fn put(&mut self, bucket: &str, key: &str, object: Object) {
        self.objects.insert((bucket.to_owned(), key.to_owned()), object);
    }

    /// Puts if the conditions hold: `If-None-Match: *` wants no object, `If-Match` wants this one.
    pub(super) fn put_if(
        &mut self,
        bucket: &str,
        key: &str,
        object: Object,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<()> {
        self.check_bucket(bucket)?;
        let existing = self.get(bucket, key).ok();
        match (if_match, &existing) {
            (Some(_), None) => return Err(no_such_key()),
            (Some(wanted), Some(existing)) if !meets(wanted, existing) => return Err(precondition()),
            _ => {}
        }
        if let (Some(unwanted), Some(existing)) = (if_none_match, &existing)
            && meets(unwanted, existing)
        {
            return Err(precondition());
        }
        self.put(bucket, key, object);
        Ok(())
    }

    pub(super) fn get(&self, bucket: &str, key: &str) -> S3Result<Object> {
        self.check_bucket(bucket)?;
        self.objects.get(&(bucket.to_owned(), key.to_owned())).cloned().ok_or_else(no_such_key)
    }

    /// Whether the object was there.
    pub(super) fn delete(&mut self, bucket: &str, key: &str) -> bool {
        self.objects.remove(&(bucket.to_owned(), key.to_owned())).is_some()
    }

    /// The objects of a bucket from the key `from` on, in byte order.
    pub(super) fn starting_at<'a>(&'a self, bucket: &'a str, from: &str) -> impl Iterator<Item = (&'a str, &'a Object)> {
        self.objects
            .range((bucket.to_owned(), from.to_owned())..)
            .take_while(move |((of, _), _)| of == bucket)
            .map(|((_, key), object)| (key.as_str(), object))
    }

    /// Starts an upload of an object like this one, with other content.
    pub(super) fn start_upload(&mut self, empty: Object) -> String {
        self.uploads_started += 1;
        let id = format!("upload-{}", self.uploads_started);
        self.uploads.insert(id.clone(), Upload { empty, parts: BTreeMap::new() });
        id
    }

    pub(super) fn put_part(&mut self, upload: &str, number: i32, bytes: Bytes) -> S3Result<()> {
        let upload = self.uploads.get_mut(upload);
        upload.ok_or_else(no_such_upload)?.parts.insert(number, bytes);
        Ok(())
    }

    pub(super) fn upload(&self, upload: &str) -> S3Result<&Upload> {
        self.uploads.get(upload).ok_or_else(no_such_upload)
    }

    /// Forgets an upload with its parts.
    pub(super) fn end_upload(&mut self, upload: &str) -> S3Result<()> {
        self.uploads.remove(upload).map(drop).ok_or_else(no_such_upload)
    }
}

/// Whether `object` is what a condition names.
pub(super) fn meets(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(etag) | ETag::Weak(etag)) => *etag == object.etag(),
    }
}

pub(super) fn precondition() -> s3s::S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

fn no_such_key() -> s3s::S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

fn no_such_upload() -> s3s::S3Error {
    s3_error!(NoSuchUpload, "The specified upload does not exist.")
}
