use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Float64Array, RecordBatch};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::usage::facts::{KnownPod, PodFacts, ReportFacts, Row};

fn report(collected_at: i64) -> ReportFacts {
    ReportFacts {
        timestamp: collected_at.to_string(),
        collected_at,
        node_name: "node".into(),
        ec2_instance_id: None,
        interval_seconds: None,
        cluster_id: "c".into(),
        cluster_uid: None,
        node: Arc::default(),
    }
}

fn pod(namespace: &str, name: &str, uid: &str) -> PodFacts {
    PodFacts { pod_id: uid.into(), namespace: namespace.into(), pod_name: name.into(), pod_start_time: None, known: None }
}

fn row(report: u32, pod: u32) -> Row {
    Row {
        report,
        pod,
        cpu_usage_cores: None.into(),
        cpu_usage_cum: None.into(),
        memory_usage_bytes: None.into(),
        net_tx_bytes: None.into(),
        net_rx_bytes: None.into(),
    }
}

/// Knows it, and that it has nothing.
fn known(pod: PodFacts) -> PodFacts {
    let known = KnownPod {
        node: None,
        owner: None,
        workload_kind: None,
        workload_name: None,
        requests: Default::default(),
        limits: Default::default(),
        labels: Arc::default(),
        annotations: Arc::default(),
        claims: Default::default(),
    };
    PodFacts { known: Some(known), ..pod }
}

fn bytes(batch: Batch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = write(batch, &mut bytes).unwrap();
    assert_eq!(written.bytes, bytes.len() as u64);
    bytes
}

fn read(bytes: Vec<u8>) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).unwrap().with_batch_size(1 << 20);
    reader.build().unwrap().next().unwrap().unwrap()
}

fn texts(table: &RecordBatch, column: &str) -> Vec<String> {
    let array = table.column_by_name(column).unwrap().as_string::<i32>().clone();
    array.iter().map(|text| text.unwrap_or("null").to_owned()).collect()
}

#[test]
fn a_table_has_rows() {
    let batch = Batch { reports: vec![report(1)], pods: vec![pod("n", "p", "u")], rows: vec![] };
    assert!(matches!(write(batch, Vec::new()), Err(TableError::Empty)));
}

#[test]
fn a_row_has_a_report_and_a_pod() {
    for (wrong, place) in [(row(1, 0), (1, 0)), (row(0, 1), (0, 1))] {
        let batch = Batch { reports: vec![report(1)], pods: vec![pod("n", "p", "u")], rows: vec![row(0, 0), wrong] };
        let Err(TableError::Dangling { row: 1, report, reports: 1, pod, pods: 1 }) = write(batch, Vec::new()) else { panic!() };
        assert_eq!((report, pod), place);
    }
}

#[test]
fn rows_go_by_namespace_name_time_and_uid() {
    let pods = vec![pod("b", "a", "1"), pod("a", "b", "9"), pod("a", "b", "8"), pod("a", "a", "3"), pod("a-b", "a", "4")];
    let rows = vec![row(0, 0), row(0, 1), row(1, 1), row(0, 2), row(1, 2), row(0, 4), row(0, 3), row(1, 3)];
    let table = read(bytes(Batch { reports: vec![report(-5), report(-10)], pods, rows }));
    let names: Vec<String> =
        texts(&table, "namespace").into_iter().zip(texts(&table, "pod_name")).map(|(one, two)| one + "/" + &two).collect();
    assert_eq!(names, ["a/a", "a/a", "a/b", "a/b", "a/b", "a/b", "a-b/a", "b/a"]);
    assert_eq!(texts(&table, "pod_id"), ["3", "3", "8", "9", "8", "9", "4", "1"]);
    let times = table.column_by_name("collected_at").unwrap().as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.values().as_ref(), [-10, -5, -10, -10, -5, -5, -5, -5]);
}

#[test]
fn what_is_absent_is_zero_and_what_is_unknown_is_null() {
    let pods = vec![pod("n", "a", "1"), known(pod("n", "b", "2"))];
    let table = read(bytes(Batch { reports: vec![report(0)], pods, rows: vec![row(0, 0), row(0, 1)] }));
    let longs = ["requests_cpu_millicores", "requests_memory_bytes", "requests_storage_bytes", "requests_gpu"];
    let limits = ["limits_cpu_millicores", "limits_memory_bytes", "limits_storage_bytes", "total_pvc_storage_bytes"];
    for name in longs.iter().chain(&limits) {
        let column = table.column_by_name(name).unwrap().as_primitive::<Int64Type>();
        assert_eq!(column.iter().collect::<Vec<_>>(), [None, Some(0)], "{name}");
    }
    assert_eq!(
        table.column_by_name("pvc_count").unwrap().as_primitive::<Int32Type>().iter().collect::<Vec<_>>(),
        [None, Some(0)]
    );
    for name in ["labels", "annotations", "pvc_names", "aws_volume_ids", "storage_classes"] {
        let column = table.column_by_name(name).unwrap().as_list::<i32>();
        assert!(column.is_null(0) && column.is_valid(1) && column.value_length(1) == 0, "{name}");
    }
}

#[test]
fn the_same_batch_gives_the_same_bytes() {
    let batch = || {
        let pods = (0..50).map(|at| known(pod(&format!("n{}", at % 7), &format!("p{}", at % 11), &at.to_string()))).collect();
        // Rows that nothing but their values tells apart are among them.
        let rows = (0..3_000_u32)
            .map(|at| Row { memory_usage_bytes: Some(i64::from(at)).into(), ..row(at % 3, at * 31 % 50) })
            .collect();
        Batch { reports: vec![report(1), report(1), report(2)], pods, rows }
    };
    assert!(bytes(batch()) == bytes(batch()));
}

#[test]
fn lists_are_cut_by_rows_and_by_bytes() {
    let wide: Arc<[Arc<str>]> = (0..5).map(|at| Arc::from(format!("k{at}={}", "x".repeat(1 << 20)))).collect();
    let mut pods = vec![known(pod("n", "a", "1")), known(pod("n", "b", "2"))];
    pods[0].known.as_mut().unwrap().labels = wide;
    pods[1].known.as_mut().unwrap().labels = Arc::from([Arc::from("a=b")]);
    let wide = pods[0].clone();
    pods.extend(std::iter::repeat_n(wide, 6));
    // Seven wide pods in turn, and then more rows of one pod than a piece has.
    let rows = (0..8).map(|at| row(0, at)).chain((0..10_000).map(|_| row(0, 1))).collect();
    let table = read(bytes(Batch { reports: vec![report(0)], pods, rows }));
    let lists = table.column_by_name("labels").unwrap().as_list::<i32>();
    let lengths: Vec<i32> = (0..lists.len()).map(|at| lists.value_length(at)).collect();
    assert_eq!((lengths.len(), lengths[..7].to_vec()), (10_008, vec![5; 7]));
    assert!(lengths[7..].iter().all(|length| *length == 1));
    let first = lists.value(6);
    assert!(first.as_string::<i32>().value(4).starts_with("k4=xxx") && first.as_string::<i32>().value(4).len() == 3 + (1 << 20));
}

#[test]
fn more_rows_than_a_row_group_are_one_table() {
    let count = u32::try_from(GROUP_ROWS).unwrap() + 10;
    let value = |at: u32| f64::from(at) / 8.0;
    let rows = (0..count).rev().map(|at| Row { cpu_usage_cores: Some(value(at)).into(), ..row(at, 0) }).collect();
    let reports = (0..count).map(|at| report(i64::from(at))).collect();
    let mut bytes = Vec::new();
    let written = write(Batch { reports, pods: vec![pod("n", "p", "u")], rows }, &mut bytes).unwrap();
    assert_eq!((written.rows, written.row_groups), (u64::from(count), 2));
    let table = read(bytes);
    let cores: Float64Array = table.column_by_name("cpu_usage_cores").unwrap().as_primitive().clone();
    assert!(cores.values().iter().copied().eq((0..count).map(value)));
}

/// People and Athena are told what the files have.
#[test]
fn every_column_is_in_the_readme_and_declared_for_athena() {
    let (readme, athena) = (include_str!("../../../README.md"), include_str!("../../../deploy/examples/athena.sql"));
    let declared = |field: &Field| {
        let kind = match field.data_type() {
            DataType::Utf8 => "string",
            DataType::Float64 => "double",
            DataType::Int64 => "bigint",
            DataType::Int32 => "int",
            DataType::Timestamp(..) => "timestamp",
            _ => "array<string>",
        };
        format!("  `{}` {kind}", field.name())
    };
    let declared: Vec<String> = schema().fields().iter().map(|field| declared(field)).collect();
    assert!(athena.contains(&format!("(\n{}\n)\n", declared.join(",\n"))), "{declared:#?}");
    let table = readme.split("### The table").nth(1).and_then(|rest| rest.split("###").next()).unwrap();
    for field in schema().fields() {
        assert!(table.contains(&format!("`{}`", field.name())), "{} is not in the README", field.name());
    }
}
