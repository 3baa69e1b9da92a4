//! Pods that come, change, go, and come again under the same name.

use serde_json::{Value, json};

use super::super::target::{DEFAULT_PREFIX, IpFamily, MalformedReason};
use super::*;

struct World {
    index: Index,
    source: Source,
}

impl World {
    fn new() -> Self {
        let mut index = Index::new(Rules::new(DEFAULT_PREFIX, IpFamily::Any).unwrap());
        let source = index.add_source();
        Self { index, source }
    }

    fn apply(&mut self, object: &PodObject) {
        self.index.apply(self.source, object);
    }

    fn list(&mut self, objects: &[PodObject]) {
        self.index.begin_list(self.source);
        objects.iter().for_each(|object| self.index.listed(self.source, object));
        self.index.end_list(self.source);
    }

    /// `NAMESPACE/NAME ADDRESS` of what is scraped.
    fn job(&self, name: &str) -> Option<Vec<String>> {
        let pods = self.index.job(name)?.pods;
        Some(pods.iter().map(|pod| format!("{}/{} {}", pod.namespace, pod.name, pod.address)).collect())
    }

    fn jobs(&self) -> Vec<String> {
        self.index.jobs().iter().map(|(name, _)| name.to_string()).collect()
    }
}

/// A running pod: `NAMESPACE/NAME`, the last byte of its address, and its job.
fn pod(name: &str, number: u8, job: &str) -> PodObject {
    with(name, number, job, &json!({}))
}

fn with(name: &str, number: u8, job: &str, annotations: &Value) -> PodObject {
    let (namespace, name) = name.split_once('/').unwrap();
    let annotations = annotations.as_object().unwrap().iter();
    let annotations: Value = annotations
        .map(|(key, value)| (format!("{DEFAULT_PREFIX}{key}"), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("0c1d2e3f-0000-4000-8000-{number:012x}"),
            "labels": {format!("{DEFAULT_PREFIX}job-name"): job, "app": "x"}, "annotations": annotations,
        },
        "spec": {"nodeName": "node"},
        "status": {"phase": "Running", "podIPs": [{"ip": format!("10.0.0.{number}")}]},
    }))
    .unwrap()
}

fn pending(pod: PodObject) -> PodObject {
    PodObject { running: false, addresses: Vec::new(), ..pod }
}

#[test]
fn pods_are_sorted_by_namespace_and_name() {
    let mut world = World::new();
    for (name, number) in [("b/a", 3), ("a/b", 2), ("a/a", 1), ("a-b/a", 4)] {
        world.apply(&pod(name, number, "web"));
    }
    assert_eq!(world.job("web").unwrap(), ["a/a 10.0.0.1", "a/b 10.0.0.2", "a-b/a 10.0.0.4", "b/a 10.0.0.3"]);
    assert!(world.job("other").is_none());
}

#[test]
fn a_job_is_known_while_any_pod_has_its_label() {
    let mut world = World::new();
    world.apply(&pending(pod("a/a", 1, "web")));
    assert_eq!(world.job("web").unwrap(), [""; 0]);
    let counts = world.index.job("web").unwrap().counts;
    assert_eq!((counts.waiting, counts.total()), (1, 1));
    world.apply(&pod("a/a", 1, "web"));
    assert_eq!(world.job("web").unwrap(), ["a/a 10.0.0.1"]);
    world.apply(&PodObject { deleting: true, ..pod("a/a", 1, "web") });
    assert_eq!((world.job("web").unwrap().len(), world.index.counts().waiting), (0, 1));
    world.index.delete(world.source, &pod("a/a", 1, "web"));
    assert!(world.job("web").is_none() && world.index.counts().total() == 0 && world.index.known(world.source) == 0);
}

#[test]
fn an_event_about_a_pod_that_is_gone_does_not_touch_its_successor() {
    let mut world = World::new();
    world.apply(&pod("a/a", 1, "web"));
    world.apply(&pod("a/a", 2, "web"));
    assert_eq!(world.job("web").unwrap(), ["a/a 10.0.0.2"]);
    world.index.delete(world.source, &pod("a/a", 1, "web"));
    assert_eq!(world.job("web").unwrap(), ["a/a 10.0.0.2"]);
    // The successor has another job, and waits.
    world.apply(&pending(pod("a/a", 3, "other")));
    assert!(world.job("web").is_none());
    world.index.delete(world.source, &pod("a/a", 2, "web"));
    assert_eq!((world.jobs(), world.index.counts().total()), (vec!["other".to_owned()], 1));
}

#[test]
fn a_pod_moves_with_its_job_name_and_goes_with_its_label() {
    let mut world = World::new();
    world.apply(&pod("a/a", 1, "web"));
    world.apply(&with("a/a", 1, "web", &json!({"job-name": "shop/web"})));
    assert_eq!(world.jobs(), ["shop/web"]);
    world.apply(&pod("a/a", 1, "web"));
    assert_eq!(world.jobs(), ["web"]);
    world.apply(&PodObject { labels: Vec::new(), ..pod("a/a", 1, "web") });
    assert!(world.jobs().is_empty() && world.index.counts().total() == 0);
}

#[test]
fn a_malformed_pod_is_counted_and_stays_in_its_job() {
    let mut world = World::new();
    world.apply(&pod("a/a", 1, "web"));
    world.apply(&with("a/b", 2, "web", &json!({"port": "x"})));
    world.apply(&pending(with("a/c", 3, "web", &json!({"port": "x"}))));
    world.apply(&pod("a/d", 4, ""));
    let web = world.index.job("web").unwrap();
    assert_eq!((web.counts.scrapable, web.counts.waiting, web.counts.all_malformed()), (1, 1, 1));
    assert_eq!(web.pods[1].settings.as_ref().unwrap_err().reason, MalformedReason::Port);
    let counts = world.index.counts();
    assert_eq!((counts.malformed(MalformedReason::Port), counts.malformed(MalformedReason::JobName), counts.total()), (1, 1, 4));
    assert_eq!((world.jobs(), world.job("")), (vec!["web".to_owned()], None));
    world.apply(&pod("a/b", 2, "web"));
    assert_eq!((world.index.counts().scrapable, world.index.counts().malformed(MalformedReason::Port)), (2, 0));
}

#[test]
fn a_list_drops_what_it_does_not_have_and_only_at_its_end() {
    let mut world = World::new();
    assert!(!world.index.synced());
    world.list(&[pod("a/a", 1, "web"), pod("a/b", 2, "web"), pod("a/c", 3, "db")]);
    assert!(world.index.synced());
    // A list that fails halfway, and then another.
    world.index.begin_list(world.source);
    world.index.listed(world.source, &pod("a/b", 9, "web"));
    world.index.listed(world.source, &pod("a/new", 5, "web"));
    world.index.begin_list(world.source);
    assert_eq!(world.job("web").unwrap(), ["a/a 10.0.0.1", "a/b 10.0.0.9", "a/new 10.0.0.5"]);
    world.index.listed(world.source, &pod("a/a", 1, "web"));
    assert_eq!((world.jobs().len(), world.index.known(world.source)), (2, 4));
    world.index.end_list(world.source);
    assert_eq!(world.job("web").unwrap(), ["a/a 10.0.0.1"]);
    assert_eq!((world.jobs(), world.index.known(world.source)), (vec!["web".to_owned()], 1));
    // What came by the watch since is not of the next list.
    world.apply(&pod("a/z", 7, "web"));
    world.list(&[]);
    assert!(world.jobs().is_empty());
}

#[test]
fn a_list_touches_the_pods_of_its_source_only() {
    let mut world = World::new();
    let second = world.index.add_source();
    world.list(&[pod("a/a", 1, "web")]);
    assert!(!world.index.synced());
    world.index.begin_list(second);
    world.index.listed(second, &pod("b/a", 2, "web"));
    world.index.end_list(second);
    assert!(world.index.synced());
    world.list(&[]);
    assert_eq!(world.job("web").unwrap(), ["b/a 10.0.0.2"]);
    world.index.delete(world.source, &pod("b/a", 2, "web"));
    assert_eq!((world.index.known(world.source), world.index.known(second)), (0, 1));
}

#[test]
fn what_pods_have_in_common_is_kept_once_and_forgotten_with_them() {
    let mut world = World::new();
    let pods: Vec<PodObject> = (1..=200).map(|number| pod(&format!("a/p{number}"), number, "web")).collect();
    world.list(&pods);
    let before = world.index.job("web").unwrap().pods;
    assert!(Arc::ptr_eq(before[0].settings.as_ref().unwrap(), before[199].settings.as_ref().unwrap()));
    assert!(Arc::ptr_eq(&before[0].namespace, &before[199].namespace));
    world.list(&pods);
    let after = world.index.job("web").unwrap().pods;
    assert!(before.iter().zip(&after).all(|(before, after)| Arc::ptr_eq(before, after)), "what has not changed stays as it is");
    drop((before, after));
    assert_eq!((world.index.names.len(), world.index.settings.len()), (2, 1));
    world.list(&[]);
    assert_eq!((world.index.names.len(), world.index.settings.len()), (0, 0));
}
