//! ListObjectsV2 of the in-memory S3, written by hand: `s3s` would drop an empty prefix, and cannot write
//! keys with control characters as AWS does.

use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use s3s::route::S3Route;
use s3s::{Body, S3Request, S3Response, S3Result, s3_error};

use super::addressing;
use super::objects::{Object, Objects};
use super::serve::Shared;
use crate::lock;
use crate::s3_list::{Entry, ListQuery, Page, push_common_prefix, push_entry};

/// Takes list requests after their signature was checked.
pub(super) struct Listing(pub(super) Arc<Shared>);

#[async_trait::async_trait]
impl S3Route for Listing {
    fn is_match(&self, method: &Method, uri: &Uri, _: &HeaderMap, _: &mut Extensions) -> bool {
        method == Method::GET && uri.query().is_some_and(|query| ListQuery::parse(query).is_some())
    }

    async fn call(&self, request: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let query = request.uri.query().and_then(ListQuery::parse);
        let query = query.ok_or_else(|| s3_error!(InvalidRequest))?;
        let host = request.headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        let bucket = match addressing::bucket_in_host(host, &self.0.domain) {
            Some(bucket) => bucket.to_owned(),
            None => request.uri.path().trim_matches('/').to_owned(),
        };
        let objects = lock(&self.0.objects);
        objects.check_bucket(&bucket)?;
        let limit = self.0.page_limit();
        let page = page(&objects, &bucket, &query, limit)
            .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token is incorrect"))?;
        let mut response = S3Response::with_status(Body::from(page), StatusCode::OK);
        let xml = HeaderValue::from_static("application/xml");
        response.headers.insert(header::CONTENT_TYPE, xml);
        Ok(response)
    }
}

/// The document of one page; `None` if the token is not one of ours.
fn page(objects: &Objects, bucket: &str, query: &ListQuery, limit: usize) -> Option<Vec<u8>> {
    let after = match (&query.token, &query.start_after) {
        (Some(token), _) => Some(last_key(token)?),
        (None, start_after) => start_after.clone(),
    };
    let from = after.as_deref().unwrap_or_default().max(&query.prefix);
    let limit = limit.min(query.max_keys);
    let mut contents = Vec::new();
    let mut key_count = 0;
    // What the page ends with: a key, or a prefix that all its keys are rolled up into.
    let mut last: Option<&str> = None;
    let mut truncated = false;
    for (key, object) in objects.starting_at(bucket, from) {
        if after.as_deref() == Some(key) {
            continue;
        }
        let Some(behind) = key.strip_prefix(query.prefix.as_str()) else {
            break;
        };
        let group = query.delimiter.as_ref().and_then(|delimiter| {
            let at = behind.find(delimiter.as_str())?;
            Some(&key[..query.prefix.len() + at + delimiter.len()])
        });
        // Rolled up on this page or on the one before.
        if group.is_some() && (group == last || group == after.as_deref()) {
            continue;
        }
        if key_count == limit {
            truncated = limit > 0;
            break;
        }
        key_count += 1;
        match group {
            Some(group) => push_common_prefix(&mut contents, group.as_bytes(), query.url),
            None => push_object(&mut contents, key, object, query.url),
        }
        last = Some(group.unwrap_or(key));
    }
    let next_token = last.filter(|_| truncated).map(token);
    let page = Page { bucket, query, truncated, next_token: next_token.as_deref(), key_count, encoding_type_last: false };
    Some(page.document(&contents))
}

fn push_object(contents: &mut Vec<u8>, key: &str, object: &Object, url: bool) {
    let etag = object.etag();
    let entry = Entry {
        key: key.as_bytes(),
        size: object.size(),
        modified: object.unix_seconds(),
        etag: etag.as_bytes(),
        storage_class: &object.storage_class,
    };
    push_entry(contents, &entry, url);
}

/// A continuation token. Its `/`, `+` and `=` are there to be encoded by the client, as in the Base64
/// tokens of AWS.
fn token(last: &str) -> String {
    let hex: String = last.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("1/{hex}+A==")
}

/// The key or common prefix behind which a token goes on.
fn last_key(token: &str) -> Option<String> {
    let hex = token.strip_prefix("1/")?.strip_suffix("+A==")?;
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and common prefixes of all pages, as they stand in the XML.
    fn listed(keys: &[&str], query: &str, limit: usize) -> Vec<String> {
        let mut objects = Objects::default();
        for key in keys {
            objects.put("bucket", key, Object::sized(1));
        }
        objects.put("bucket2", "in another bucket", Object::sized(1));
        let mut query = ListQuery::parse(query).unwrap();
        let mut found = Vec::new();
        loop {
            let document = page(&objects, "bucket", &query, limit).unwrap();
            let document = String::from_utf8(document).unwrap();
            let texts = |tag| document.split(tag).skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
            found.extend(texts("<Contents><Key>").chain(texts("<CommonPrefixes><Prefix>")));
            query.token = texts("<NextContinuationToken>").next();
            assert_eq!(document.contains("<IsTruncated>true<"), query.token.is_some());
            if query.token.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn keys_stay_as_they_are() {
        let keys = ["/a", "a", "a b", "a+b", "a/", "a//b", "%", "%41", "\u{1}", "<&>\"", "🦀"];
        for limit in [1, 2, 1_000] {
            let raw = ["&#1;", "%", "%41", "/a", "&lt;&amp;&gt;&quot;", "a", "a b", "a+b", "a/", "a//b", "🦀"];
            assert_eq!(listed(&keys, "list-type=2", limit), raw);
            let encoded = ["%01", "%25", "%2541", "/a", "%3C%26%3E%22", "a", "a+b", "a%2Bb", "a/", "a//b", "%F0%9F%A6%80"];
            assert_eq!(listed(&keys, "list-type=2&encoding-type=url", limit), encoded);
            assert_eq!(listed(&keys, "list-type=2&prefix=a/", limit), ["a/", "a//b"]);
            assert_eq!(listed(&keys, "list-type=2&start-after=a%2B", limit), ["a+b", "a/", "a//b", "🦀"]);
        }
        assert_eq!(listed(&keys, "list-type=2&max-keys=0", 1_000), [""; 0]);
    }

    #[test]
    fn delimiters() {
        let keys = ["a", "b/1", "b/2", "b/c/3", "d/4", "e"];
        for limit in [1, 2, 3, 1_000] {
            let mut top = listed(&keys, "list-type=2&delimiter=/", limit);
            top.sort();
            assert_eq!(top, ["a", "b/", "d/", "e"]);
            assert_eq!(listed(&keys, "list-type=2&delimiter=/&prefix=b/", limit), ["b/1", "b/2", "b/c/"]);
        }
    }
}
