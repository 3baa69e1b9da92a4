"""Reads tables of usage with pyarrow and with DuckDB, and compares them with the JSON beside them.

Argument: a folder with NAME.parquet and, for those whose values are compared, NAME.json: what reports and pods give to their rows, by column.
"""
import json
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

STRINGS, LISTS, LONGS, DOUBLES = "string", "list", "long", "double"
# As it is documented: those that were promised, those that were there too, and new ones.
COLUMNS = [
    ("timestamp", STRINGS), ("cluster_id", STRINGS), ("node_name", STRINGS), ("ec2_instance_id", STRINGS), ("pod_id", STRINGS),
    ("namespace", STRINGS), ("owner", STRINGS), ("cpu_usage_cores", DOUBLES), ("memory_usage_bytes", LONGS), ("net_tx_bytes", LONGS),
    ("net_rx_bytes", LONGS), ("requests_cpu_millicores", LONGS), ("requests_memory_bytes", LONGS), ("limits_cpu_millicores", LONGS),
    ("limits_memory_bytes", LONGS), ("labels", LISTS), ("annotations", LISTS), ("pvc_count", "int"), ("total_pvc_storage_bytes", LONGS),
    ("pvc_names", LISTS), ("aws_volume_ids", LISTS),
    ("cluster_uid", STRINGS), ("node_cpu_capacity_cores", DOUBLES), ("node_memory_capacity_bytes", LONGS), ("pod_name", STRINGS),
    ("node", STRINGS), ("cpu_usage_cum_sec", DOUBLES), ("pod_start_time", STRINGS), ("requests_storage_bytes", LONGS),
    ("limits_storage_bytes", LONGS),
    ("collected_at", "time"), ("workload_kind", STRINGS), ("workload_name", STRINGS), ("storage_classes", LISTS),
    ("node_instance_type", STRINGS), ("node_zone", STRINGS), ("node_capacity_type", STRINGS), ("interval_seconds", DOUBLES),
    ("requests_gpu", LONGS),
]
NAMES = [name for name, _ in COLUMNS]
ARROW = {
    STRINGS: pa.string(), DOUBLES: pa.float64(), LONGS: pa.int64(), "int": pa.int32(), "time": pa.timestamp("us", tz="UTC"),
    LISTS: pa.list_(pa.field("element", pa.string())),
}
DUCKDB = {
    STRINGS: "VARCHAR", DOUBLES: "DOUBLE", LONGS: "BIGINT", "int": "INTEGER", "time": "TIMESTAMP WITH TIME ZONE", LISTS: "VARCHAR[]",
}
PARQUET = {STRINGS: "BYTE_ARRAY", DOUBLES: "DOUBLE", LONGS: "INT64", "int": "INT32", "time": "INT64", LISTS: "BYTE_ARRAY"}
# Of the first version of the format: what every reader takes.
ENCODINGS = {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY"}


def same(what, one, two):
    assert one == two, f"{what}: {str(one)[:500]} != {str(two)[:500]}"


def expected(path):
    """The rows in their order, with texts as bytes sort, each a list of values."""
    facts = json.loads(path.read_text())
    rows = []
    for report, pod, (cores, cum, memory, sent, received) in facts["rows"]:
        report, pod = facts["reports"][report], facts["pods"][pod]
        own = {"cpu_usage_cores": cores, "cpu_usage_cum_sec": cum, "memory_usage_bytes": memory, "net_tx_bytes": sent,
               "net_rx_bytes": received}
        assert not set(report) & set(pod) and set(report) | set(pod) | set(own) <= set(NAMES)
        rows.append(((pod["namespace"].encode(), pod["pod_name"].encode(), report["collected_at"], pod["pod_id"].encode()),
                     report | pod | own))
    rows.sort(key=lambda row: row[0])
    return [[row.get(name) for name in NAMES] for _, row in rows], [key for key, _ in rows]


def ties(rows, keys):
    """Rows with one key may come in any order: they are sorted by what they are."""
    if len(set(keys)) == len(keys):
        return rows
    return [row for _, row in sorted(zip(keys, rows), key=lambda pair: (pair[0], repr(pair[1])))]


def by_pyarrow(path):
    table = pq.read_table(path, partitioning=None)
    at = NAMES.index("collected_at")
    table = table.set_column(at, "collected_at", table.column(at).cast(pa.int64()))
    return list(map(list, zip(*(column.to_pylist() for column in table.columns))))


def by_duckdb(path):
    columns = ", ".join("epoch_us(collected_at)" if name == "collected_at" else f'"{name}"' for name in NAMES)
    return [list(row) for row in duckdb.execute(f"SELECT {columns} FROM read_parquet(?)", [str(path)]).fetchall()]


def check_schema(path):
    schema = pq.read_schema(path)
    same(f"{path}: schema", [(f.name, f.type, f.nullable) for f in schema], [(n, ARROW[kind], True) for n, kind in COLUMNS])
    described = duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    same(f"{path}: DuckDB's schema", [(row[0], row[1]) for row in described], [(n, DUCKDB[kind]) for n, kind in COLUMNS])
    leaves = pq.ParquetFile(path).schema
    for at, (name, kind) in enumerate(COLUMNS):
        leaf = leaves.column(at)
        same(f"{path}: path", leaf.path, f"{name}.list.element" if kind == LISTS else name)
        same(f"{path}: {name}", leaf.physical_type, PARQUET[kind])
        same(f"{path}: {name} levels", (leaf.max_definition_level, leaf.max_repetition_level), (3, 1) if kind == LISTS else (1, 0))
        if kind in (STRINGS, LISTS):
            same(f"{path}: {name}", leaf.logical_type.type, "STRING")
        if kind == "time":
            time = json.loads(leaf.logical_type.to_json())
            same(f"{path}: {name}", (time["Type"], time["isAdjustedToUTC"], time["timeUnit"]), ("Timestamp", True, "microseconds"))


def check_metadata(path):
    """What lets a reader skip, and what tells it where it is."""
    metadata = pq.ParquetFile(path).metadata
    assert metadata.created_by.startswith("kube-s3-exporter version "), metadata.created_by
    same(f"{path}: metadata", metadata.metadata, {b"kube-s3-exporter.usage.schema": b"1"})
    assert metadata.num_rows > 0
    table = pq.read_table(path, partitioning=None)
    begin = 0
    for at in range(metadata.num_row_groups):
        group = metadata.row_group(at)
        assert group.num_rows <= 1 << 18
        places = [(column.column_index, column.descending, column.nulls_first) for column in group.sorting_columns]
        by = ["namespace", "pod_name", "collected_at", "pod_id"]
        same(f"{path}: sorted by", places, [(NAMES.index(name), False, False) for name in by])
        rows = table.slice(begin, group.num_rows)
        begin += group.num_rows
        for place, (name, kind) in enumerate(COLUMNS):
            chunk = group.column(place)
            same(f"{path}: {name} compression", chunk.compression, "ZSTD")
            assert set(chunk.encodings) <= ENCODINGS, (name, chunk.encodings)
            if kind == LISTS:
                continue
            values = rows.column(name)
            same(f"{path}: {name} nulls", chunk.statistics.null_count, values.null_count)
            if kind == "time":
                values = values.cast(pa.int64())
            present = [value for value in values.to_pylist() if value is not None]
            if kind == STRINGS:
                present = [value.encode() for value in present]
            same(f"{path}: {name} has statistics", chunk.statistics.has_min_max, bool(present))
            if present and kind == "time":
                # As the file has them: pyarrow gives those that Python has words for.
                low, high = duckdb.execute(
                    "SELECT stats_min_value, stats_max_value FROM parquet_metadata(?) WHERE row_group_id = ? AND path_in_schema = ?",
                    [str(path), at, name]).fetchone()
                assert low and high
            elif present and kind == STRINGS:
                # Long ones are cut: a bound, and not always a value.
                low, high = chunk.statistics.min_raw, chunk.statistics.max_raw
                low, high = (x.encode() if isinstance(x, str) else x for x in (low, high))
                assert low <= min(present) and max(present) <= high, (name, low, high)
                if max(map(len, present)) <= 64:
                    same(f"{path}: {name} bounds", (low, high), (min(present), max(present)))
            elif present:
                same(f"{path}: {name} bounds", (chunk.statistics.min, chunk.statistics.max), (min(present), max(present)))
    same(f"{path}: rows", begin, table.num_rows)
    keys = zip(*(table.column(name).to_pylist() for name in ("namespace", "pod_name")), table.column("collected_at").cast(pa.int64()).to_pylist(),
               table.column("pod_id").to_pylist())
    keys = [(one.encode(), two.encode(), time, uid.encode()) for one, two, time, uid in keys]
    assert keys == sorted(keys), f"{path} is not sorted"
    return metadata.num_rows, metadata.num_row_groups


def check_bloom(path):
    file = str(path)
    chunks = duckdb.execute("SELECT path_in_schema, bloom_filter_offset IS NOT NULL FROM parquet_metadata(?)", [file]).fetchall()
    same(f"{path}: bloom filters", {name for name, has in chunks if has}, {"pod_id"})
    probe = "SELECT row_group_id FROM parquet_bloom_probe(?, 'pod_id', ?) WHERE NOT bloom_filter_excludes"
    groups = pq.ParquetFile(path)
    for at in range(groups.num_row_groups):
        for uid in groups.read_row_group(at, columns=["pod_id"]).column(0).unique().to_pylist()[:50]:
            assert (at,) in duckdb.execute(probe, [file, uid]).fetchall(), f"{path}: {uid} is there and the bloom filter excludes it"
    passed = sum(len(duckdb.execute(probe, [file, f"other-{at}"]).fetchall()) for at in range(200))
    assert passed <= 20 * groups.num_row_groups, f"{path}: the bloom filter lets {passed} of 200 others through"


def main(folder):
    paths = sorted(folder.glob("*.parquet"))
    total = 0
    for path in paths:
        check_schema(path)
        rows, groups = check_metadata(path)
        check_bloom(path)
        total += rows
        same(f"{path}: row groups", groups, -(-rows // (1 << 18)))
        beside = path.with_suffix(".json")
        if beside.exists():
            wanted, keys = expected(beside)
            wanted = ties(wanted, keys)
            same(f"{path}: rows", len(wanted), rows)
            for reader in (by_pyarrow, by_duckdb):
                for at, (want, got) in enumerate(zip(wanted, ties(reader(path), keys), strict=True)):
                    if want != got:
                        column = next(at for at in range(len(NAMES)) if want[at] != got[at])
                        same(f"{path}: {reader.__name__}: row {at}: {NAMES[column]}", got[column], want[column])
    # All files as one table, with one schema and no need to unite any.
    dataset = pa.dataset.dataset([str(path) for path in paths], format="parquet")
    same("schema of the dataset", dataset.schema.names, NAMES)
    same("rows of the dataset", dataset.count_rows(), total)
    count = duckdb.execute("SELECT count(*), count(collected_at) FROM read_parquet(?)", [str(folder / "*.parquet")]).fetchone()
    same("rows that DuckDB finds", count, (total, total))
    print(f"{len(paths)} files, {total} rows")


main(Path(sys.argv[1]))
