use serde_json::{Value, json};

use super::*;
use crate::k8s::slim::{Claim, Job, Namespace, Node, Pod, ReplicaSet, Volume};

const RETENTION: Duration = Duration::from_secs(480);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}

fn index() -> Index {
    Index::new(RETENTION, Keep::default())
}

fn pod(uid: &str, name: &str) -> Pod {
    read(&json!({"metadata": {"uid": uid, "name": name, "namespace": "n", "labels": {"b": "2", "a": "1"}}}))
}

fn mirror(uid: &str, hash: &str) -> Pod {
    let meta = json!({"uid": uid, "name": "etcd", "namespace": "n", "annotations": {"kubernetes.io/config.hash": hash}});
    read(&json!({"metadata": meta}))
}

fn texts(texts: &[Arc<str>]) -> Vec<&str> {
    texts.iter().map(|text| &**text).collect()
}

#[test]
fn a_pod_that_is_gone_is_found_until_its_time_is_over() {
    let mut index = index();
    index.apply(pod("u1", "a"), at(0));
    assert_eq!(index.known::<Pod>(), 1);
    index.delete(pod("u1", "a"), at(100));
    index.apply(pod("u2", "a"), at(100));
    assert_eq!((index.known::<Pod>(), index.pod("u1").is_some(), index.pod("u2").is_some()), (1, true, true));
    // Any change looks for what can go.
    index.apply(pod("u3", "b"), at(579));
    assert!(index.pod("u1").is_some());
    index.apply(pod("u3", "b"), at(580));
    assert!(index.pod("u1").is_none() && index.pod("u2").is_some());
    // And so does time without any.
    index.delete(pod("u2", "a"), at(600));
    index.sweep(at(2_000));
    assert_eq!(index.pods.len(), 1);
}

#[test]
fn what_a_list_misses_is_gone_when_it_ends() {
    let mut index = index();
    index.begin_list::<Pod>();
    ["u1", "u2"].iter().for_each(|uid| index.listed(pod(uid, uid)));
    assert!(!index.synced().pods);
    index.end_list::<Pod>(at(0));
    assert!(index.synced().pods && !index.synced().all());
    index.begin_list::<Pod>();
    index.listed(pod("u2", "u2"));
    assert_eq!(index.known::<Pod>(), 2);
    index.end_list::<Pod>(at(1_000));
    assert_eq!((index.known::<Pod>(), index.pod("u1").is_some()), (1, true));
    index.sweep(at(1_479));
    assert!(index.pod("u1").is_some());
    index.sweep(at(1_480));
    assert!(index.pod("u1").is_none());
}

#[test]
fn all_kinds_stay_for_a_while_and_then_go() {
    fn come_and_go<B: Indexed>(index: &mut Index, object: &Value) {
        index.begin_list::<B>();
        index.listed(read::<B>(object));
        index.end_list::<B>(at(0));
        assert_eq!(index.known::<B>(), 1);
        index.delete(read::<B>(object), at(0));
        assert_eq!(index.known::<B>(), 0);
    }
    let mut index = index();
    let object = |name: &str| json!({"metadata": {"name": name, "namespace": "n", "uid": name}});
    let [node, claim, volume, set, job, system] = ["n1", "c", "v", "rs", "j", "kube-system"].map(object);
    come_and_go::<Pod>(&mut index, &object("u"));
    come_and_go::<Node>(&mut index, &node);
    come_and_go::<Claim>(&mut index, &claim);
    come_and_go::<Volume>(&mut index, &volume);
    come_and_go::<ReplicaSet>(&mut index, &set);
    come_and_go::<Job>(&mut index, &job);
    come_and_go::<Namespace>(&mut index, &system);
    assert!(index.synced().all());
    let found = |index: &Index| {
        let claim = index.claim(&"n".into(), &"c".into()).is_some();
        let named = [index.node("n1").is_some(), claim, index.volumes.get("v").is_some(), index.cluster_uid().is_some()];
        let known = [index.replica_sets.get(&Uid::new("rs")).is_some(), index.jobs.get(&Uid::new("j")).is_some()];
        (named, known, index.pod("u").is_some())
    };
    index.sweep(at(479));
    assert_eq!(found(&index), ([true; 4], [true; 2], true));
    index.sweep(at(480));
    assert_eq!(found(&index), ([false; 4], [false; 2], false));
}

#[test]
fn static_pods_are_found_by_the_hash_of_their_configuration() {
    let mut index = index();
    let hash = "0123456789abcdef0123456789abcdef";
    index.apply(mirror("u1", hash), at(0));
    assert!(index.pod(hash).is_some() && index.pod("u1").is_some());
    // The mirror is made again, and the end of the old one is told late.
    index.apply(mirror("u2", hash), at(10));
    index.delete(mirror("u1", hash), at(20));
    index.sweep(at(5_000));
    assert!(index.pod("u1").is_none() && index.pod(hash).is_some() && index.pod("u2").is_some());
    index.delete(mirror("u2", hash), at(6_000));
    assert!(index.pod(hash).is_some());
    index.sweep(at(6_480));
    assert!(index.pod(hash).is_none());
}

#[test]
fn annotations_are_kept_as_far_as_somebody_reads_them() {
    let object = json!({"metadata": {"uid": "u", "name": "a", "namespace": "n", "annotations": {
        "z": "1", "b": "x".repeat(1_024), "long": "x".repeat(1_025),
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
    }}});
    let kept = |keep: Keep| {
        let mut index = Index::new(RETENTION, keep);
        if keep.long_values {
            index.apply(read::<Pod<{ usize::MAX }>>(&object), at(0));
        } else {
            index.apply(read::<Pod>(&object), at(0));
        }
        let pod = index.pod("u").unwrap();
        pod.annotations.iter().map(|pair| pair.split('=').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kept(Keep::default()), ["b", "z"]);
    let all = Keep { last_applied: true, long_values: true };
    assert_eq!(kept(all), ["b", "kubectl.kubernetes.io/last-applied-configuration", "long", "z"]);
}

#[test]
fn texts_are_shared_and_those_that_nobody_uses_go() {
    let mut index = index();
    index.apply(pod("u1", "a"), at(0));
    index.apply(pod("u2", "b"), at(0));
    let (a, b) = (index.pod("u1").unwrap(), index.pod("u2").unwrap());
    assert_eq!(texts(&a.labels), ["a=1", "b=2"]);
    assert!(Arc::ptr_eq(&a.labels, &b.labels) && Arc::ptr_eq(&a.namespace, &b.namespace));
    let label = Arc::downgrade(&a.labels[0]);
    index.delete(pod("u1", "a"), at(0));
    index.begin_list::<Pod>();
    index.end_list::<Pod>(at(10));
    assert!(label.upgrade().is_some());
    index.begin_list::<Pod>();
    index.end_list::<Pod>(at(10_000));
    index.begin_list::<Pod>();
    index.end_list::<Pod>(at(10_000));
    assert!(label.upgrade().is_none());
}
