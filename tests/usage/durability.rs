//! What was taken stays taken: S3 that is away, full budgets, answers that are lost, reports that come again, and signals.

use std::time::Duration;

use fakes::s3_memory::{Object, S3Effect, S3Fault};
use serde_json::{Value, json};

use crate::report::{Sender, ago, post, report, report_at, some};
use crate::support::Exporter;
use crate::world::{BUCKET, World, drained, metric, until, until_at_least, until_health};

/// A report of one pod and so many bytes, three quarters of which are left when it is packed. Fields that nobody knows are passed over.
fn large(id: &str, bytes: usize) -> Value {
    let mut report = report("node-1", &[some(id)]);
    report["comment"] = (0..bytes).map(|_| fastrand::alphanumeric()).collect::<String>().into();
    report
}

/// Keys of objects that the process has tried to put, without the bucket.
fn tried(world: &World) -> Vec<String> {
    let puts = world.s3.requests().into_iter().filter(|request| request.method == "PUT");
    let keys = puts.filter_map(|request| {
        let path = request.path_and_query.split('?').next().unwrap_or_default();
        Some(path.strip_prefix(&format!("/{BUCKET}/"))?.replace("%3D", "="))
    });
    keys.collect()
}

#[tokio::test]
async fn s3_may_be_away_for_as_long_as_there_is_room() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    world.s3.stop_listening().await;
    let sender = Sender::new();
    for number in 0..20 {
        sender.post(exporter.address, &report(&format!("node-{number}"), &[some(&format!("pod-{number}"))])).await.taken();
    }
    until_at_least(&exporter, "uploads_total{outcome=\"failed\"}", 1.0).await;
    assert_eq!(exporter.get("/readyz").await.0, 200);
    assert_eq!(metric(&exporter, "journal_entries").await, 20.0);
    world.s3.resume().await;
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().len(), 20);
    until("nothing is left beside the journal", || world.sealed().is_empty()).await;
}

#[tokio::test]
async fn beyond_the_budget_senders_are_told_to_wait() {
    let world = World::start().await;
    let exporter = world.ready(&["--usage-journal-budget=256KiB", "--usage-roll-bytes=128KiB"]).await;
    world.refuse_puts();
    let (sender, mut taken) = (Sender::new(), 0);
    let refused = loop {
        let answer = sender.post(exporter.address, &large(&format!("pod-{taken}"), 20_000)).await;
        if answer.status != 200 {
            break answer;
        }
        answer.taken();
        taken += 1;
        assert!(taken < 100, "there is no end of the budget");
    };
    assert!(taken >= 8, "{taken} reports of 20 kB in 256 KiB");
    assert!(refused.retry_after().is_some_and(|seconds| (1..=300).contains(&seconds)), "{refused:?}");
    assert!(refused.refused(503)["error"].as_str().unwrap().contains("journal"));
    let health = until_health(&exporter, 503).await;
    assert_eq!(health["status"], "unhealthy", "{health}");
    assert!(health.to_string().contains("journal"), "{health}");
    // Who asks whether the port is open must not restart it for this.
    assert_eq!(exporter.get("/livez").await.0, 200);

    world.s3.clear_faults();
    until_health(&exporter, 200).await;
    post(exporter.address, &report("node-1", &[some("last")])).await.taken();
    drained(&exporter).await;
    let rows = world.rows_by_pod();
    assert_eq!(rows.len(), taken + 1);
    assert!(rows.contains_key("last") && (0..taken).all(|number| rows.contains_key(&format!("pod-{number}"))));
}

#[tokio::test]
async fn an_object_that_is_another_file_is_never_taken_for_ours() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    world.refuse_puts();
    post(exporter.address, &report("node-1", &[some("a")])).await.taken();
    until("an upload was tried", || !tried(&world).is_empty()).await;
    let key = tried(&world).remove(0);
    // Of the same length as nothing of ours, and with somebody's digest.
    let stranger = Object::bytes("somebody else's").metadata("sha256", &"0".repeat(64));
    world.s3.put(BUCKET, &key, stranger.clone());
    world.s3.clear_faults();
    until_at_least(&exporter, "uploads_total{outcome=\"conflict\"}", 1.0).await;
    let told = async |exporter: &Exporter| exporter.get("/health").await.1.contains(&key).then_some(());
    exporter.until("the health tells which object", told).await;
    assert_eq!(world.objects().get(&key).map(|object| &object.content), Some(&stranger.content));
    assert!(metric(&exporter, "journal_entries").await >= 1.0);
    assert_eq!(world.sealed().len(), 1);

    // Others get past it.
    post(exporter.address, &report("node-2", &[some("b")])).await.taken();
    let theirs = async |_: &Exporter| world.tables_without(&key).contains(&"b".to_owned()).then_some(());
    exporter.until("what came later is there", theirs).await;

    assert!(world.s3.delete(BUCKET, &key));
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().into_keys().collect::<Vec<_>>(), ["a", "b"]);
    let over = async |exporter: &Exporter| (!exporter.get("/health").await.1.contains(&key)).then_some(());
    exporter.until("the health tells nothing of it", over).await;
}

#[tokio::test]
async fn lost_answers_make_no_second_object() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    world.s3.set_faults(vec![S3Fault { method: Some("PUT"), first: Some(1), ..S3Fault::always(S3Effect::ResetAfter) }]);
    post(exporter.address, &report("node-1", &[some("a"), some("b")])).await.taken();
    drained(&exporter).await;
    assert_eq!((world.objects().len(), world.rows_by_pod().len()), (1, 2));
    assert!(tried(&world).len() >= 2);
    assert_eq!(metric(&exporter, "uploads_total{outcome=\"conflict\"}").await, 0.0);
    until_health(&exporter, 200).await;
}

#[tokio::test]
async fn reports_that_come_again_are_taken_and_dropped() {
    let world = World::start().await;
    let first = report_at("node-1", &ago(0), &[some("a")]);
    // The same node at another time, and another node at the same time, are other reports.
    let other = report_at("node-2", first["timestamp"].as_str().unwrap(), &[some("b")]);
    let later = report_at("node-1", &ago(-1), &[some("c")]);
    let exporter = world.ready(&[]).await;
    for report in [&first, &first, &other, &later, &first] {
        post(exporter.address, report).await.taken();
    }
    assert_eq!(metric(&exporter, "reports_total{outcome=\"repeated\"}").await, 2.0);
    drained(&exporter).await;
    post(exporter.address, &first).await.taken();
    assert_eq!(exporter.stop("TERM"), Some(0));

    // After an orderly end and after a kill.
    let exporter = world.ready(&[]).await;
    post(exporter.address, &first).await.taken();
    drop(exporter);
    let exporter = world.ready(&[]).await;
    for report in [&first, &other, &later] {
        post(exporter.address, report).await.taken();
    }
    assert_eq!(metric(&exporter, "reports_total{outcome=\"repeated\"}").await, 3.0);
    post(exporter.address, &report("node-1", &[some("d")])).await.taken();
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().into_keys().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn many_at_once_with_the_same_report_make_one_row() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    let report = report("node-1", &[some("a")]);
    let posts = (0..32).map(|_| async { post(exporter.address, &report).await.taken() });
    futures::future::join_all(posts).await;
    drained(&exporter).await;
    assert_eq!(world.rows().len(), 1);
    assert_eq!(metric(&exporter, "reports_total{outcome=\"repeated\"}").await, 31.0);
}

#[tokio::test]
async fn disk_space_comes_back_when_the_objects_are_there() {
    const REPORTS: usize = 16;
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    world.refuse_puts();
    for number in 0..REPORTS {
        post(exporter.address, &large(&format!("pod-{number}"), 1 << 20)).await.taken();
    }
    let size = || std::fs::metadata(world.store()).unwrap().len();
    assert!(size() > (REPORTS as u64) << 19, "{}", size());
    world.s3.clear_faults();
    drained(&exporter).await;
    until("the store is small again", || size() < 6 << 20).await;
    until("no file is left", || world.sealed().is_empty()).await;
    assert_eq!(world.rows_by_pod().len(), REPORTS);
    // And it is still a journal.
    post(exporter.address, &report("node-2", &[some("last")])).await.taken();
    drained(&exporter).await;
    assert_eq!(world.rows_by_pod().len(), REPORTS + 1);
}

#[tokio::test]
async fn a_signal_ends_it_in_order_and_costs_nothing() {
    let world = World::start().await;
    let exporter = world.ready(&[]).await;
    world.refuse_puts();
    let address = exporter.address;
    let sending = tokio::spawn(async move {
        let (sender, mut taken) = (Sender::new(), Vec::new());
        for number in 0.. {
            let id = format!("pod-{number}");
            match sender.try_post(address, report("node-1", &[some(&id)]).to_string()).await {
                Ok(answer) if answer.status == 200 => taken.push(id),
                // What was not acknowledged may be there or not.
                Ok(_) | Err(_) => break,
            }
        }
        taken
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let code = tokio::task::spawn_blocking(move || exporter.stop("TERM")).await.unwrap();
    assert_eq!(code, Some(0));
    let taken = sending.await.unwrap();
    assert!(!taken.is_empty() && world.tables().is_empty());

    world.s3.clear_faults();
    let exporter = world.ready(&[]).await;
    drained(&exporter).await;
    let rows = world.rows_by_pod();
    assert!(taken.iter().all(|id| rows.contains_key(id)), "{} of {}", rows.len(), taken.len());
    assert!(rows.len() <= taken.len() + 1);
}

#[tokio::test]
async fn files_are_rolled_by_size_and_by_age_and_not_by_report() {
    let world = World::start().await;
    let exporter = world.ready(&["--usage-roll-age=1h", "--usage-roll-bytes=100KiB"]).await;
    for number in 0..3 {
        post(exporter.address, &large(&format!("pod-{number}"), 10_000)).await.taken();
    }
    assert_eq!(metric(&exporter, "files_sealed_total").await, 0.0);
    for number in 3..24 {
        post(exporter.address, &large(&format!("pod-{number}"), 10_000)).await.taken();
    }
    until_at_least(&exporter, "rows_sealed_total", 10.0).await;
    until("a file is there", || !world.tables().is_empty()).await;
    assert!(world.tables().len() <= 2, "{:?}", world.tables().keys());
}

/// By day of the report's own time, whenever it comes.
#[tokio::test]
async fn days_have_files_of_their_own() {
    let world = World::start().await;
    let exporter = world.ready(&["--cluster-name=prod"]).await;
    let times = ["2026-02-28T23:59:59.999999Z", "2026-03-01T00:00:00Z", "2026-03-01T00:30:00+01:00", "2026-02-28 12:00:00"];
    for (number, time) in times.iter().enumerate() {
        post(exporter.address, &report_at("node-1", time, &[some(&number.to_string())])).await.taken();
    }
    drained(&exporter).await;
    let days: Vec<(String, usize)> = world
        .tables()
        .iter()
        .map(|(key, file)| (key.rsplit_once('/').unwrap().0.to_owned(), crate::table::rows(file).len()))
        .collect();
    let folder = |day| format!("k8s-metrics/cluster-name=prod/year=2026/{day}");
    let mut rows = std::collections::BTreeMap::<String, usize>::new();
    days.into_iter().for_each(|(day, count)| *rows.entry(day).or_default() += count);
    assert_eq!(json!(rows), json!({ folder("month=02/day=28"): 3, folder("month=03/day=01"): 1 }));
    assert!(world.tables().keys().all(|key| {
        let name = key.rsplit('/').next().unwrap();
        name.starts_with("metrics_") && name.split('_').count() == 3 && name.contains('-')
    }));
}
