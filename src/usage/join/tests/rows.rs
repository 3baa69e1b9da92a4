//! Reports as rows.

use super::*;

fn report(node: &str, second: i64, pods: Vec<PodUsage>) -> Report {
    Report {
        timestamp: second.to_string(),
        collected_at: second * 1_000_000,
        node_name: node.into(),
        hostname: node.into(),
        pods,
        ..Report::default()
    }
}

fn joined(index: &Index, reports: Vec<Report>) -> (Vec<(Group, Batch)>, Counts) {
    let mut batches = Batches::default();
    reports.into_iter().for_each(|report| batches.add(&Join::new(index, Some("given")), report));
    let counts = batches.counts();
    (batches.finish(), counts)
}

#[test]
fn rows_are_sorted_by_cluster_and_day_of_their_own_time() {
    let index = world();
    let midnight = 20_000 * 86_400;
    let reports = vec![
        report("node-9", midnight, vec![usage("u1")]),
        report("node-1", midnight, vec![usage("u1"), usage("u9")]),
        report("node-1", midnight - 1, vec![usage("u1")]),
        report("node-1", midnight + 5 * 86_400, Vec::new()),
    ];
    let (batches, counts) = joined(&index, reports);
    let groups: Vec<String> = batches.iter().map(|(group, _)| format!("{} {}", group.cluster_id, group.day)).collect();
    assert_eq!(groups, ["given 2024-10-04", "prod 2024-10-03", "prod 2024-10-04"]);
    assert_eq!(counts, Counts { matched: 3, unmatched: 1 });
    let batch = &batches[2].1;
    assert_eq!((batch.reports.len(), batch.pods.len(), batch.rows.len()), (1, 2, 2));
    let report = &batch.reports[0];
    assert_eq!((&*report.cluster_id, report.cluster_uid.as_deref()), ("prod", Some("cluster-1")));
    assert_eq!(report.ec2_instance_id.as_deref(), Some("i-0123456789abcdef0"));
    assert_eq!(report.node.instance_type.as_deref(), Some("m5.large"));
}

#[test]
fn a_row_has_what_was_sent_and_the_collectors_instance_counts_first() {
    let index = world();
    let sent = PodUsage {
        cpu_usage_cores: Some(0.25),
        cpu_usage_cum: Some(7.0),
        memory_usage_bytes: Some(1),
        net_tx_bytes: Some(2),
        net_rx_bytes: Some(3),
        ..usage("u1")
    };
    let mut report = report("node-1", 7, vec![sent]);
    (report.ec2_instance_id, report.interval_seconds) = (Some("i-sent".into()), Some(30.0));
    let (batches, _) = joined(&index, vec![report]);
    let batch = &batches[0].1;
    let row = batch.rows[0];
    assert_eq!((row.report, row.pod, row.cpu_usage_cores.get(), row.cpu_usage_cum.get()), (0, 0, Some(0.25), Some(7.0)));
    assert_eq!((row.memory_usage_bytes.get(), row.net_tx_bytes.get(), row.net_rx_bytes.get()), (Some(1), Some(2), Some(3)));
    let report = &batch.reports[0];
    assert_eq!((report.timestamp.as_str(), report.collected_at, &*report.node_name), ("7", 7_000_000, "node-1"));
    assert_eq!((report.ec2_instance_id.as_deref(), report.interval_seconds), (Some("i-sent"), Some(30.0)));
}

#[test]
fn a_pod_has_its_facts_once_unless_it_was_sent_as_another() {
    let index = world();
    let other = |pod_id: &str| PodUsage { name: "other".into(), ..usage(pod_id) };
    let started = |pod_id: &str| PodUsage { pod_start_time: Some("then".into()), ..usage(pod_id) };
    let mut reports: Vec<Report> = (0..10).map(|second| report("node-1", second, vec![usage("u1"), usage("u9")])).collect();
    reports.push(report("node-1", 11, vec![other("u9"), started("u1"), started("u9"), usage("u1"), started("u1")]));
    let (batches, counts) = joined(&index, reports);
    let batch = &batches[0].1;
    let pods: Vec<u32> = batch.rows.iter().map(|row| row.pod).collect();
    assert_eq!(pods[..4], [0, 1, 0, 1]);
    assert_eq!(pods[20..], [2, 3, 4, 0, 3]);
    let told = |pod: usize| (&*batch.pods[pod].pod_name, batch.pods[pod].pod_start_time.as_deref());
    assert_eq!((told(0), told(3)), (("web-1", Some("2026-01-01T00:00:00Z")), ("web-1", Some("then"))));
    assert_eq!((told(1), told(2), told(4)), (("sent", None), ("other", None), ("sent", Some("then"))));
    assert_eq!(counts, Counts { matched: 13, unmatched: 12 });
    assert!(Arc::ptr_eq(&batch.reports[0].node_name, &batch.reports[10].node_name));
}

#[test]
fn a_pod_that_becomes_known_meanwhile_is_known_in_all_rows() {
    let mut index = world();
    let mut batches = Batches::default();
    batches.add(&Join::new(&index, None), report("node-1", 1, vec![usage("u2")]));
    assert_eq!(batches.counts(), Counts { matched: 0, unmatched: 1 });
    index.apply(read::<Pod>(&pod("u2", "late", &json!([]))), NOW);
    batches.add(&Join::new(&index, None), report("node-1", 2, vec![usage("u2")]));
    assert_eq!(batches.counts(), Counts { matched: 2, unmatched: 0 });
    let (_, batch) = &batches.finish()[0];
    assert_eq!((batch.pods.len(), &*batch.pods[0].pod_name), (1, "late"));
}

/// Each second a pod comes, lives for a minute and goes, with its owner and its claim; it is reported to its end, and the report is joined as late as the
/// retention allows. Now and then the watch expires, and a list says what is left.
#[test]
fn pods_that_come_and_go_are_never_unknown() {
    const LIFE: i64 = 60;
    let retention = i64::try_from(RETENTION.as_secs()).unwrap();
    let at = |second: i64| Timestamp::from_second(second).unwrap();
    let names = |number: i64| (format!("u{number}"), format!("web-{number}"), format!("rs-{number}"));
    let object = |number: i64| {
        let (uid, name, set) = names(number);
        let mut object = pod(&uid, &name, &controlled("ReplicaSet", &set));
        object["spec"]["volumes"] = json!([{"name": "scratch", "ephemeral": {}}]);
        read::<Pod>(&object)
    };
    let set = |number: i64| read::<ReplicaSet>(&owned("ReplicaSet", &names(number).2, &controlled("Deployment", "web")));
    let scratch = |number: i64| claim(&format!("{}-scratch", names(number).1), "", "gp3", "1Gi");
    let (mut index, mut batches) = (world(), Batches::default());
    for second in 0..2_000 {
        let (young, old) = (second, second - LIFE);
        if second % 97 == 0 {
            let living = (old + 1).max(0)..=young;
            index.begin_list::<Pod>();
            living.clone().for_each(|number| index.listed(object(number)));
            index.end_list::<Pod>(at(second));
            index.begin_list::<Claim>();
            living.clone().for_each(|number| index.listed(scratch(number)));
            index.end_list::<Claim>(at(second));
            index.begin_list::<ReplicaSet>();
            living.for_each(|number| index.listed(set(number)));
            index.end_list::<ReplicaSet>(at(second));
        } else {
            index.apply(set(young), at(second));
            index.apply(object(young), at(second));
            index.apply(scratch(young), at(second));
            if old >= 0 {
                index.delete(object(old), at(second));
                index.delete(scratch(old), at(second));
                index.delete(set(old), at(second));
            }
        }
        // What was measured in the last second of a life, joined in the last second of the retention.
        let sent = second - retention + 1;
        let reported: Vec<PodUsage> = ((sent - LIFE + 1).max(0)..=sent).map(|number| usage(&names(number).0)).collect();
        batches.add(&Join::new(&index, None), report("node-1", sent.max(0), reported));
    }
    assert_eq!(index.known::<Pod>(), usize::try_from(LIFE).unwrap());
    let counts = batches.counts();
    assert!(counts.matched > 80_000 && counts.unmatched == 0, "{counts:?}");
    for pod in batches.finish().iter().flat_map(|(_, batch)| &batch.pods) {
        let known = pod.known.as_ref().unwrap();
        assert_eq!((known.workload_name.as_deref(), known.claims.names.len()), (Some("web"), 1), "{}", pod.pod_name);
    }
    // It is the retention that does it.
    index.sweep(at(2_000 + retention));
    assert_eq!(index.known::<Pod>(), 60);
    assert!(index.pod(&names(1_900).0).is_none() && index.pod(&names(1_999).0).is_some());
}
