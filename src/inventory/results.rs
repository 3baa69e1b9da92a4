//! What a complete scan found, as exposition: one table of families, rendered once per scan into pieces that scrapes only send.

use super::stats::{ClassCount, ClusterStats, Inventory};
use crate::exposition::{Family, Labels, Writer};
use crate::server::Fragment;

/// Where the samples of a family come from.
enum Source {
    /// A sample per cluster, under an original name: without a `bucket` label, for one bucket only.
    Original(fn(&ClusterStats) -> Value),
    /// A sample per cluster.
    Cluster(fn(&ClusterStats) -> Value),
    /// A sample per cluster and storage class that it has objects in.
    Class(fn(&ClassCount) -> u64),
    /// A sample for the bucket.
    Bucket(fn(&Inventory) -> u64),
}

enum Value {
    Integer(u64),
    /// Written in seconds.
    Milliseconds(i64),
}

use Source::{Bucket, Class, Cluster, Original};
use Value::{Integer, Milliseconds};

const fn row(name: &'static str, help: &'static str, source: Source) -> (Family, Source) {
    (Family::gauge(name, help), source)
}

/// Every family of results, in the order of the exposition.
const TABLE: [(Family, Source); 17] = [
    row(
        "kubermatic_s3_object_count",
        "Objects of the cluster, as of the last complete scan.",
        Original(|cluster| Integer(cluster.objects)),
    ),
    row(
        "kubermatic_s3_empty_object_count",
        "Objects of the cluster that hold no byte, as of the last complete scan.",
        Original(|cluster| Integer(cluster.empty)),
    ),
    row(
        "kubermatic_s3_object_last_modified_time_seconds",
        "When the newest object of the cluster was written, in seconds since the Unix epoch, as of the last complete scan; 0 without objects.",
        Original(|cluster| Milliseconds(cluster.newest.modified)),
    ),
    row(
        "s3exporter_inventory_objects",
        "Objects of the cluster, as of the last complete scan.",
        Cluster(|cluster| Integer(cluster.objects)),
    ),
    row(
        "s3exporter_inventory_empty_objects",
        "Objects of the cluster that hold no byte, as of the last complete scan.",
        Cluster(|cluster| Integer(cluster.empty)),
    ),
    row(
        "s3exporter_inventory_bytes",
        "Bytes in all objects of the cluster, as of the last complete scan.",
        Cluster(|cluster| Integer(cluster.bytes)),
    ),
    row(
        "s3exporter_inventory_largest_object_bytes",
        "Bytes in the largest object of the cluster, as of the last complete scan; 0 without objects.",
        Cluster(|cluster| Integer(cluster.largest)),
    ),
    row(
        "s3exporter_inventory_newest_object_timestamp_seconds",
        "When the newest object of the cluster was written, in seconds since the Unix epoch, as of the last complete scan; 0 without objects.",
        Cluster(|cluster| Milliseconds(cluster.newest.modified)),
    ),
    row(
        "s3exporter_inventory_oldest_object_timestamp_seconds",
        "When the oldest object of the cluster was written, in seconds since the Unix epoch, as of the last complete scan; 0 without objects.",
        Cluster(|cluster| Milliseconds(cluster.oldest)),
    ),
    row(
        "s3exporter_inventory_newest_object_bytes",
        "Bytes in the newest object of the cluster, as of the last complete scan; 0 without objects.",
        Cluster(|cluster| Integer(cluster.newest.bytes)),
    ),
    row(
        "s3exporter_inventory_previous_object_bytes",
        "Bytes in the object of the cluster written before the newest, as of the last complete scan; 0 with fewer than two objects.",
        Cluster(|cluster| Integer(cluster.previous.bytes)),
    ),
    row(
        "s3exporter_inventory_storage_class_objects",
        "Objects of the cluster in the storage class, as of the last complete scan.",
        Class(|class| class.objects),
    ),
    row(
        "s3exporter_inventory_storage_class_bytes",
        "Bytes in the objects of the cluster in the storage class, as of the last complete scan.",
        Class(|class| class.bytes),
    ),
    row(
        "s3exporter_inventory_orphan_objects",
        "Objects that belong to no cluster, as of the last complete scan.",
        Bucket(|inventory| inventory.orphans.objects),
    ),
    row(
        "s3exporter_inventory_orphan_bytes",
        "Bytes in objects that belong to no cluster, as of the last complete scan.",
        Bucket(|inventory| inventory.orphans.bytes),
    ),
    row(
        "s3exporter_inventory_directory_markers",
        "Objects without a byte whose key ends in a slash, as of the last complete scan; they count nowhere else.",
        Bucket(|inventory| inventory.directory_markers),
    ),
    row(
        "s3exporter_inventory_clusters",
        "Clusters that objects were looked for, as of the last complete scan.",
        Bucket(|inventory| inventory.clusters.len() as u64),
    ),
];

const QUERY_SUCCESS: Family =
    Family::gauge("kubermatic_s3_query_success", "1 if the last finished scan of the bucket was complete, 0 if it failed.");

/// The rendered results of one bucket, in step with the table; `None` for a family without samples.
pub(super) type Rendered = Vec<Option<Fragment>>;

/// Renders the results of the bucket labelled `bucket`, under the original names too if it has them.
pub(super) fn render(inventory: &Inventory, bucket: &str, originals: bool) -> Rendered {
    let names = || inventory.clusters.iter().map(|(name, _)| &**name);
    let labels: Vec<Labels> = names().map(|name| Labels::new(&[("bucket", bucket), ("cluster", name)])).collect();
    let original_labels: Vec<Labels> = names().filter(|_| originals).map(|name| Labels::new(&[("cluster", name)])).collect();
    let render = |(family, source): &(Family, Source)| {
        let mut writer = Writer::default();
        match source {
            Original(value) => per_cluster(&mut writer, family, &original_labels, inventory, *value),
            Cluster(value) => per_cluster(&mut writer, family, &labels, inventory, *value),
            Class(value) => per_class(&mut writer, family, bucket, inventory, *value),
            Bucket(value) => writer.integer(family, &Labels::new(&[("bucket", bucket)]), value(inventory)),
        }
        let bytes = writer.into_bytes();
        (!bytes.is_empty()).then(|| Fragment::new(bytes))
    };
    TABLE.iter().map(render).collect()
}

/// All families of all buckets, each with its header, without copying a sample.
pub(super) fn compose<'a>(buckets: impl Iterator<Item = &'a Rendered> + Clone) -> Vec<Fragment> {
    let mut fragments = Vec::new();
    for (at, (family, _)) in TABLE.iter().enumerate() {
        let before = fragments.len();
        fragments.extend(buckets.clone().filter_map(|rendered| rendered[at].clone()));
        if fragments.len() > before {
            fragments.insert(before, header(family));
        }
    }
    fragments
}

/// `kubermatic_s3_query_success`, which also appears without a result.
pub(super) fn query_success(success: bool) -> Fragment {
    let mut writer = Writer::default();
    writer.family(&QUERY_SUCCESS);
    writer.integer(&QUERY_SUCCESS, &Labels::default(), u64::from(success));
    Fragment::new(writer.into_bytes())
}

fn header(family: &Family) -> Fragment {
    let mut writer = Writer::default();
    writer.family(family);
    Fragment::new(writer.into_bytes())
}

fn per_cluster(
    writer: &mut Writer,
    family: &Family,
    labels: &[Labels],
    inventory: &Inventory,
    value: fn(&ClusterStats) -> Value,
) {
    for (labels, (_, cluster)) in labels.iter().zip(&inventory.clusters) {
        match value(cluster) {
            Integer(value) => writer.integer(family, labels, value),
            Milliseconds(value) => writer.milliseconds(family, labels, value),
        }
    }
}

fn per_class(writer: &mut Writer, family: &Family, bucket: &str, inventory: &Inventory, value: fn(&ClassCount) -> u64) {
    for (name, cluster) in &inventory.clusters {
        let present = inventory.classes.iter().zip(&cluster.classes).filter(|(_, count)| count.objects > 0);
        for (class, count) in present {
            let labels = Labels::new(&[("bucket", bucket), ("cluster", name), ("storage_class", class)]);
            writer.integer(family, &labels, value(count));
        }
    }
}
