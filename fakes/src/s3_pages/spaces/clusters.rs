//! Buckets full of backups, named by cluster and time.

use super::super::key_space::{FIRST_BACKUP, KeySpace};
use crate::mix::mix;
use crate::text::{push_date_time, push_decimal};

/// What follows the time in the keys of etcd backups.
const SUFFIX: &[u8] = b".db.gz";

/// Appends `2026-11-21T05-20-00.db.gz`.
fn push_backup_time(out: &mut Vec<u8>, unix_seconds: u64) {
    push_date_time(out, unix_seconds, b'-');
    out.extend_from_slice(SUFFIX);
}

/// Flat keys of cluster and time: `cluster-00042-2026-11-21T05-20-00.db.gz`.
#[derive(Debug, Clone)]
pub struct ClusterTimestamp {
    /// Number of clusters, numbered from 0 with at least five digits.
    pub clusters: u64,
    /// Backups of each cluster.
    pub per_cluster: u64,
    /// Unix time of the first backup.
    pub first: u64,
    /// Seconds between two backups.
    pub interval: u64,
}

impl ClusterTimestamp {
    /// `per_cluster` backups of each of `clusters`, 20 minutes apart, from [`FIRST_BACKUP`] on.
    pub fn new(clusters: u64, per_cluster: u64) -> Self {
        Self { clusters, per_cluster, first: FIRST_BACKUP, interval: 1_200 }
    }

    /// Moves the backups in time so that the newest one of each cluster is from `newest`.
    #[must_use]
    pub fn ending_at(mut self, newest: u64) -> Self {
        self.first = newest.saturating_sub(self.interval * self.per_cluster.saturating_sub(1));
        self
    }

    /// The name of cluster `number`, the first part of its keys.
    pub fn cluster(&self, number: u64) -> String {
        let mut name = Vec::new();
        self.push_cluster(number, &mut name);
        String::from_utf8(name).expect("ASCII only")
    }

    fn push_cluster(&self, number: u64, out: &mut Vec<u8>) {
        let width = if self.clusters > 100_000 { 9 } else { 5 };
        out.extend_from_slice(b"cluster-");
        push_decimal(out, number, width);
    }
}

impl KeySpace for ClusterTimestamp {
    fn len(&self) -> u64 {
        self.clusters * self.per_cluster
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        self.push_cluster(i / self.per_cluster, out);
        out.push(b'-');
        push_backup_time(out, self.first + i % self.per_cluster * self.interval);
    }

    fn modified(&self, i: u64) -> u64 {
        self.first + i % self.per_cluster * self.interval + mix(i) % 60
    }
}

/// One cluster with very many backups in the middle of many small ones.
#[derive(Debug, Clone)]
pub struct OneHuge {
    small: ClusterTimestamp,
    huge: u64,
}

impl OneHuge {
    /// `small` clusters with `per_small` backups each, and one with `huge` backups among them.
    pub fn new(small: u64, per_small: u64, huge: u64) -> Self {
        let mut clusters = ClusterTimestamp::new(small, per_small);
        clusters.interval = 60;
        Self { small: clusters, huge }
    }

    /// Number of the huge cluster: `cluster-00500` among 1,000 small ones.
    pub fn huge_cluster(&self) -> u64 {
        self.small.clusters / 2
    }

    /// Cluster number and number of the backup within it.
    fn place(&self, i: u64) -> (u64, u64) {
        let per_small = self.small.per_cluster;
        let huge_from = self.huge_cluster() * per_small;
        if i < huge_from {
            (i / per_small, i % per_small)
        } else if i < huge_from + self.huge {
            (self.huge_cluster(), i - huge_from)
        } else {
            let behind = i - self.huge;
            (behind / per_small + 1, behind % per_small)
        }
    }
}

impl KeySpace for OneHuge {
    fn len(&self) -> u64 {
        self.small.len() + self.huge
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        let (cluster, backup) = self.place(i);
        self.small.push_cluster(cluster, out);
        out.push(b'-');
        push_backup_time(out, self.small.first + backup * self.small.interval);
    }

    fn modified(&self, i: u64) -> u64 {
        self.small.first + self.place(i).1 * self.small.interval
    }
}

/// Backups of clusters whose names are Greek, Japanese, accented or emoji.
#[derive(Debug, Clone)]
pub struct NonAscii {
    /// Backups of each of the [`NAMES`](Self::NAMES).
    pub per_name: u64,
}

impl NonAscii {
    /// The names, in byte order of UTF-8.
    pub const NAMES: [&'static str; 10] =
        ["Zürich", "Ångström", "Ørsted", "Αθήνα", "Θεσσαλονίκη", "Киев", "大阪", "東京", "🚀-prod", "🦀 staging"];
}

impl KeySpace for NonAscii {
    fn len(&self) -> u64 {
        self.per_name * Self::NAMES.len() as u64
    }

    fn key(&self, i: u64, out: &mut Vec<u8>) {
        let name = usize::try_from(i / self.per_name).expect("an index below len");
        out.extend_from_slice(Self::NAMES[name].as_bytes());
        out.push(b'/');
        push_backup_time(out, FIRST_BACKUP + i % self.per_name * 1_200);
    }
}
