//! `process_*`, read from `/proc`. The `prometheus` crate's own collector rounds CPU time to whole seconds, which hides a process as idle as
//! this one; names and meanings are the same.
//!
//! Source: <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge, Opts};

/// The kernel tells times in these units a second to every program, whatever its own clock does.
const USER_HZ: f64 = 100.0;
/// `RLIM_INFINITY` is shown as this.
const UNLIMITED: f64 = u64::MAX as f64;

/// Reads `/proc/self` at each scrape. What cannot be read keeps its last value.
pub(super) struct ProcessCollector {
    cpu: Counter,
    open_fds: IntGauge,
    max_fds: Gauge,
    virtual_memory: IntGauge,
    virtual_memory_max: Gauge,
    resident_memory: IntGauge,
    start_time: Gauge,
    threads: IntGauge,
    descriptions: Vec<Desc>,
}

impl ProcessCollector {
    pub(super) fn new() -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| Gauge::with_opts(Opts::new(name, help));
        let int_gauge = |name: &str, help: &str| IntGauge::with_opts(Opts::new(name, help));
        let mut collector = Self {
            cpu: Counter::with_opts(Opts::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."))?,
            open_fds: int_gauge("process_open_fds", "Number of open file descriptors.")?,
            max_fds: gauge("process_max_fds", "Maximum number of open file descriptors.")?,
            virtual_memory: int_gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.")?,
            virtual_memory_max: gauge(
                "process_virtual_memory_max_bytes",
                "Maximum amount of virtual memory available in bytes.",
            )?,
            resident_memory: int_gauge("process_resident_memory_bytes", "Resident memory size in bytes.")?,
            start_time: gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.")?,
            threads: int_gauge("process_threads", "Number of OS threads in the process.")?,
            descriptions: Vec::new(),
        };
        collector.descriptions = collector.metrics().iter().flat_map(|metric| metric.desc().into_iter().cloned()).collect();
        Ok(collector)
    }

    fn metrics(&self) -> [&dyn Collector; 8] {
        [
            &self.cpu,
            &self.open_fds,
            &self.max_fds,
            &self.virtual_memory,
            &self.virtual_memory_max,
            &self.resident_memory,
            &self.start_time,
            &self.threads,
        ]
    }

    fn read(&self) {
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
            // A counter can only be added to; CPU time never shrinks.
            self.cpu.inc_by((stat.cpu_seconds - self.cpu.get()).max(0.0));
            self.virtual_memory.set(stat.virtual_bytes);
            self.threads.set(stat.threads);
            if let Some(boot) = boot_time() {
                self.start_time.set(boot + stat.start_seconds);
            }
        }
        if let Some(kilobytes) =
            fs::read_to_string("/proc/self/status").ok().as_deref().and_then(|status| field(status, "VmRSS:"))
        {
            self.resident_memory.set(kilobytes * 1024);
        }
        if let Ok(fds) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder being read.
            self.open_fds.set(i64::try_from(fds.count()).unwrap_or(i64::MAX).saturating_sub(1));
        }
        if let Ok(limits) = fs::read_to_string("/proc/self/limits") {
            self.max_fds.set(soft_limit(&limits, "Max open files").unwrap_or(UNLIMITED));
            self.virtual_memory_max.set(soft_limit(&limits, "Max address space").unwrap_or(UNLIMITED));
        }
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        self.metrics().iter().flat_map(|metric| metric.collect()).collect()
    }
}

/// The fields of `/proc/self/stat` that are told.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: i64,
    start_seconds: f64,
    virtual_bytes: i64,
}

impl Stat {
    /// The second field is the program's name in parentheses, which may hold spaces and parentheses; so fields are counted from behind it.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let integer = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
        Some(Self {
            cpu_seconds: (number(14)? + number(15)?) / USER_HZ,
            threads: integer(20)?,
            start_seconds: number(22)? / USER_HZ,
            virtual_bytes: integer(23)?,
        })
    }
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// `VmRSS:    1234 kB`
fn field(status: &str, name: &str) -> Option<i64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

/// `Max open files   1024   4096   files`; `None` for `unlimited`.
fn soft_limit(limits: &str, name: &str) -> Option<f64> {
    let value = limits.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 100 0 0 0 151 49 0 0 20 0 7 0 6000 123456 200 18446744073709551615";
        let expected = Stat { cpu_seconds: 2.0, threads: 7, start_seconds: 60.0, virtual_bytes: 123_456 };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }

    #[test]
    fn limits_are_read_and_unlimited_is_none() {
        let limits = "Max open files            1024                 4096                 files\nMax address space         unlimited            unlimited            bytes\n";
        assert_eq!(soft_limit(limits, "Max open files"), Some(1024.0));
        assert_eq!(soft_limit(limits, "Max address space"), None);
    }

    #[test]
    fn this_process_has_memory_threads_and_a_start() {
        let collector = ProcessCollector::new().unwrap();
        assert_eq!(collector.collect().len(), 8);
        assert!(collector.resident_memory.get() > 100_000);
        assert!(collector.threads.get() >= 1);
        assert!(collector.open_fds.get() >= 3);
        assert!(collector.start_time.get() > 1.6e9);
    }

    #[test]
    fn cpu_seconds_have_a_fraction() {
        let collector = ProcessCollector::new().unwrap();
        let start = std::time::Instant::now();
        while collector.cpu.get().fract() == 0.0 && start.elapsed().as_secs() < 5 {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
            collector.read();
        }
        assert!(collector.cpu.get().fract() > 0.0);
    }
}
