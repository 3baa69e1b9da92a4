//! The order of the rows.

use crate::usage::facts::Batch;

/// Sorts the rows by namespace, name of the pod, time and UID.
///
/// Texts are compared once for each pod, not for each row: what rows are compared by are ranks.
pub(super) fn sort(batch: &mut Batch) {
    let Batch { reports, pods, rows } = batch;
    let mut order: Vec<u32> = (0..).take(pods.len()).collect();
    let key = |pod: u32| {
        let pod = &pods[pod as usize];
        (&*pod.namespace, &*pod.pod_name, &*pod.pod_id)
    };
    order.sort_unstable_by(|one, other| key(*one).cmp(&key(*other)));
    // Two pods that had one name in turn differ in the second rank only, so that time goes before it.
    let mut ranks = vec![(0_u32, 0_u32); pods.len()];
    let (mut rank, mut before) = (0, None);
    for (second, pod) in (0..).zip(order) {
        let (namespace, name, _) = key(pod);
        if before.replace((namespace, name)).is_some_and(|before| before != (namespace, name)) {
            rank += 1;
        }
        ranks[pod as usize] = (rank, second);
    }
    let times: Vec<i64> = reports.iter().map(|report| report.collected_at).collect();
    rows.sort_unstable_by_key(|row| {
        let (rank, second) = ranks[row.pod as usize];
        (rank, times[row.report as usize], second, row.report)
    });
}
