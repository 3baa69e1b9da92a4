//! How much memory 100,000 pods take, with a list of them in progress. In a process of its own, since it is the process that is measured.
#![expect(clippy::print_stdout, reason = "the figures are of interest even where they are good enough")]

#[path = "../benches/pods/mod.rs"]
mod pods;

const PODS: usize = 100_000;
const MOST: usize = 150 << 20;

#[test]
fn a_hundred_thousand_pods_fit_while_they_are_listed_again() {
    let (index, memory) = pods::measure(PODS);
    let (each, peak) = (memory.settled / PODS, memory.peak >> 20);
    println!("{PODS} pods: {each} bytes for each; {peak} MiB at most while they are listed again");
    assert_eq!((index.counts().scrapable, index.jobs().len()), (PODS, PODS / 50));
    assert!(memory.peak < MOST && each < 1_024, "{memory:?}");
}
