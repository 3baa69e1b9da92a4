//! A watch: one JSON line per change, until the timeout, the client or the test ends it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, TryStreamExt};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::json;
use tokio::time::Instant;

use super::answer::{HALF_A_LINE, View, status, status_object};
use super::path::{Options, Target};
use super::serve::Shared;
use super::state::State;
use crate::http_server::Body;
use crate::lock;

/// How often the API server sends bookmarks
/// (`bookmarkFrequency` in k8s.io/apiserver, storage/cacher/cacher.go).
const BOOKMARKS: Duration = Duration::from_secs(60);

/// Begins a watch: a stream, or an error if it cannot begin where it was asked to.
pub(super) fn start(shared: &Arc<Shared>, target: Target, options: Options, view: View) -> Response<Body> {
    let state = lock(&shared.state);
    if options.send_initial_events && !(options.bookmarks && options.resource_version_match == "NotOlderThan") {
        return status(422, "sendInitialEvents: Forbidden: needs resourceVersionMatch=NotOlderThan and allowWatchBookmarks");
    }
    let version = options.resource_version.as_str();
    let from = match version {
        "" | "0" => None,
        _ if options.send_initial_events => None,
        version => match version.parse() {
            Err(_) => return status(400, &format!("invalid resource version: {version}")),
            Ok(version) if state.too_old(version) => {
                let newest = state.revision();
                let message = format!("too old resource version: {version} ({newest})");
                return status(410, &message);
            }
            Ok(version) => Some(version),
        },
    };
    let kind = state.kind(&target);
    let mut watcher = Watcher {
        changes: shared.changes.subscribe(),
        running: Running::new(shared),
        pending: VecDeque::new(),
        cursor: from.unwrap_or(state.revision()),
        deadline: options.timeout_seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        next_bookmark: Instant::now(),
        expired: state.switches.expired,
        broken: state.switches.broken,
        bookmarks: state.switches.bookmarks,
        last_words: None,
        kind,
        target,
        options,
        view,
    };
    watcher.plan_bookmark(&state);
    if from.is_none() {
        for object in state.select(&watcher.target, &watcher.options) {
            watcher.push("ADDED", &watcher.view.show(&object));
        }
        if watcher.options.send_initial_events {
            watcher.push_bookmark(true);
        }
    }
    drop(state);
    let lines = stream::unfold(watcher, Watcher::next).map_ok(Frame::data);
    let mut response = Response::new(StreamBody::new(lines).boxed_unsync());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Counts a watch for as long as it runs.
struct Running(Arc<Shared>);

impl Running {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.watches.send_modify(|watches| *watches += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.watches.send_modify(|watches| *watches -= 1);
    }
}

struct Watcher {
    running: Running,
    changes: tokio::sync::watch::Receiver<()>,
    target: Target,
    options: Options,
    view: View,
    kind: String,
    pending: VecDeque<Bytes>,
    /// The last revision that was looked at.
    cursor: u64,
    deadline: Option<Instant>,
    next_bookmark: Instant,
    // The counters of the switches when they were last looked at.
    expired: u64,
    broken: u64,
    bookmarks: u64,
    /// After `pending`: the end of the stream, in order or not.
    last_words: Option<io::Result<()>>,
}

impl Watcher {
    /// The next line, for `stream::unfold`.
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            let hangs = self.look();
            if !hangs {
                if let Some(line) = self.pending.pop_front() {
                    return Some((Ok(line), self));
                }
                match self.last_words.take() {
                    None => {}
                    Some(Ok(())) => return None,
                    Some(Err(error)) => {
                        // hyper writes out what it has when the body has nothing for the moment.
                        tokio::task::yield_now().await;
                        self.last_words = Some(Ok(()));
                        return Some((Err(error), self));
                    }
                }
            }
            let wake = match self.deadline {
                _ if hangs => None,
                Some(deadline) if !self.options.bookmarks => Some(deadline),
                Some(deadline) => Some(deadline.min(self.next_bookmark)),
                None => self.options.bookmarks.then_some(self.next_bookmark),
            };
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Takes over what has changed since the last look; whether the server hangs.
    fn look(&mut self) -> bool {
        let shared = Arc::clone(&self.running.0);
        let state = lock(&shared.state);
        let switches = &state.switches;
        if switches.hang {
            return true;
        }
        if self.last_words.is_some() {
            return false;
        }
        if switches.broken != self.broken {
            self.pending.push_back(Bytes::from_static(HALF_A_LINE.as_bytes()));
            self.last_words = Some(Err(io::ErrorKind::ConnectionAborted.into()));
        } else if switches.garbage {
            let line = format!("{HALF_A_LINE}\n");
            self.pending.push_back(line.into());
            self.last_words = Some(Ok(()));
        } else if switches.expired != self.expired {
            let message = "The resourceVersion for the provided watch is too old.";
            self.push("ERROR", &status_object(410, "Expired", message).to_string());
            self.last_words = Some(Ok(()));
        } else if switches.absent.contains(&self.target.resource) || switches.forbidden.contains(&self.target.resource) {
            self.last_words = Some(Ok(()));
        } else {
            self.take_events(&state);
            let now = Instant::now();
            if self.options.bookmarks && (now >= self.next_bookmark || switches.bookmarks != self.bookmarks) {
                self.bookmarks = switches.bookmarks;
                self.plan_bookmark(&state);
                self.push_bookmark(false);
            }
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                self.last_words = Some(Ok(()));
            }
        }
        false
    }

    fn take_events(&mut self, state: &State) {
        for (change, object) in state.events_after(self.cursor, &self.target, &self.options) {
            self.push(change, &self.view.show(&object));
        }
        self.cursor = state.revision();
    }

    fn plan_bookmark(&mut self, state: &State) {
        let interval = state.switches.bookmark_interval.unwrap_or(BOOKMARKS);
        self.next_bookmark = Instant::now() + interval;
    }

    /// A bookmark: only the kind and the resource version. The one after the initial events says so.
    fn push_bookmark(&mut self, initial_events_end: bool) {
        let mut metadata = json!({
            "resourceVersion": self.cursor.to_string(),
            "creationTimestamp": null,
        });
        if initial_events_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let (kind, api_version) = match self.view {
            View::Whole => (self.kind.as_str(), self.target.api_version()),
            View::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1"),
        };
        let object = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata });
        self.push("BOOKMARK", &object.to_string());
    }

    fn push(&mut self, event: &str, object: &str) {
        let line = format!("{{\"type\":\"{event}\",\"object\":{object}}}\n");
        self.pending.push_back(line.into());
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
