//! Many reports as rows, by the file that they belong to. What many rows share is kept once for each file: 48 bytes are a row's own.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::Join;
use crate::k8s::Shared;
use crate::usage::facts::{Batch, ReportFacts, Row};
use crate::usage::report::{PodUsage, Report};

/// What the rows of one file have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// `cluster_id` of all of them.
    pub cluster_id: Arc<str>,
    /// The day on which they were measured, in UTC.
    pub day: Date,
}

/// How many rows were joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// With a pod that Kubernetes knows.
    pub matched: u64,
    /// With none.
    pub unmatched: u64,
}

/// Rows in the making.
#[derive(Debug, Default)]
pub struct Batches(BTreeMap<Group, Open>);

/// The rows of one file in the making.
#[derive(Debug, Default)]
struct Open {
    batch: Batch,
    /// Which of the batch's pods was sent as this.
    pods: HashMap<Digest, Place, foldhash::fast::RandomState>,
    /// Hashes with keys that nobody knows, so that nobody can find two pods with one digest.
    keys: [RandomState; 2],
    nodes: Shared<str>,
}

/// 128 bits of what a collector says of a pod beside its usage. To compare the texts themselves would cost more than all the rest, for they lie all over
/// the memory.
type Digest = [u64; 2];

/// Where a pod is in a batch, and whether it is known, which is so not looked up for every row.
#[derive(Debug, Clone, Copy)]
struct Place {
    pod: u32,
    known: bool,
}

impl Batches {
    /// Joins the rows of a report. A pod is joined once for each file, however many reports it is in.
    pub fn add(&mut self, join: &Join<'_>, report: Report) {
        let node = join.node(&report.node_name);
        let group = Group { cluster_id: node.cluster_id, day: day(report.collected_at) };
        // As in the reports before, so that it is kept once.
        let known = self.0.get_key_value(&group).map(|(known, _)| Arc::clone(&known.cluster_id));
        let cluster_id = known.unwrap_or_else(|| Arc::clone(&group.cluster_id));
        let open = self.0.entry(group).or_default();
        let number = index(open.batch.reports.len());
        open.batch.reports.push(ReportFacts {
            timestamp: report.timestamp,
            collected_at: report.collected_at,
            node_name: open.nodes.intern(report.node_name),
            ec2_instance_id: report.ec2_instance_id.map(Into::into).or(node.instance_id),
            interval_seconds: report.interval_seconds,
            cluster_id,
            cluster_uid: join.cluster_uid(),
            node: node.facts,
        });
        for usage in &report.pods {
            let row = Row {
                report: number,
                pod: open.pod(join, usage),
                cpu_usage_cores: usage.cpu_usage_cores.into(),
                cpu_usage_cum: usage.cpu_usage_cum.into(),
                memory_usage_bytes: usage.memory_usage_bytes.into(),
                net_tx_bytes: usage.net_tx_bytes.into(),
                net_rx_bytes: usage.net_rx_bytes.into(),
            };
            open.batch.rows.push(row);
        }
    }

    /// How many rows there are by now.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for Batch { pods, rows, .. } in self.0.values().map(|open| &open.batch) {
            for row in rows {
                let known = pods.get(row.pod as usize).is_some_and(|pod| pod.known.is_some());
                *(if known { &mut counts.matched } else { &mut counts.unmatched }) += 1;
            }
        }
        counts
    }

    /// A batch for each file, by cluster and day; none without rows.
    pub fn finish(self) -> Vec<(Group, Batch)> {
        let batches = self.0.into_iter().map(|(group, open)| (group, open.batch));
        batches.filter(|(_, batch)| !batch.rows.is_empty()).collect()
    }
}

impl Open {
    /// Which of the batch's pods a usage is of.
    fn pod(&mut self, join: &Join<'_>, usage: &PodUsage) -> u32 {
        let sent = (&usage.pod_id, &usage.namespace, &usage.name, &usage.pod_start_time);
        let digest = self.keys.each_ref().map(|key| key.hash_one(sent));
        let next = Place { pod: index(self.batch.pods.len()), known: false };
        let place = self.pods.entry(digest).or_insert(next);
        // One that is not known may have become so since the report before.
        if !place.known {
            place.known = join.knows(&usage.pod_id);
            match self.batch.pods.get_mut(place.pod as usize) {
                None => self.batch.pods.push(join.pod(usage)),
                Some(pod) if place.known => *pod = join.pod(usage),
                Some(_) => {}
            }
        }
        place.pod
    }
}

/// The place of the next of so many. Nobody has memory for 2^32 of them.
fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The day of a time in microseconds since the Unix epoch, in UTC.
pub fn day(microseconds: i64) -> Date {
    Timestamp::from_microsecond(microseconds).unwrap_or_default().to_zoned(TimeZone::UTC).date()
}
