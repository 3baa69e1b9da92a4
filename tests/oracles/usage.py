"""What DuckDB and pyarrow find in a folder of usage: `usage.py rows FOLDER` or `usage.py sums FOLDER`. JSON to standard output."""

import json
import pathlib
import sys

import duckdb
import pyarrow.dataset
import pyarrow.parquet

question, folder = sys.argv[1], pathlib.Path(sys.argv[2])
files = sorted(str(path) for path in folder.rglob("*.parquet"))
tables = f"read_parquet({files!r}, hive_partitioning = true)"


def ask(sql):
    return duckdb.sql(sql.format(tables=tables)).fetchall()


def rows():
    [(count, different)] = ask("SELECT count(*), count(DISTINCT (pod_id, node_name, timestamp)) FROM {tables}")
    # Metadata of the writer may differ; columns, their order and their types may not.
    schemas = {pyarrow.parquet.read_schema(file).remove_metadata().to_string() for file in files}
    whole = pyarrow.dataset.dataset(files, format="parquet").to_table()
    # Partitions say what is in the rows.
    [(strangers,)] = ask(
        """SELECT count(*) FROM {tables}
        WHERE "cluster-name" != cluster_id OR make_date("year"::INT, "month"::INT, "day"::INT) != (collected_at AT TIME ZONE 'UTC')::DATE"""
    )
    assert strangers == 0, f"{strangers} rows are in a partition of others"
    return {"duckdb": {"rows": count, "different": different}, "pyarrow": {"rows": whole.num_rows, "schemas": len(schemas)}}


def sums():
    found = ask(
        """SELECT namespace, workload_kind, workload_name, count(*), sum(cpu_usage_cores), sum(memory_usage_bytes)::BIGINT,
        sum(requests_cpu_millicores)::BIGINT, sum(total_pvc_storage_bytes)::BIGINT FROM {tables} GROUP BY ALL ORDER BY ALL"""
    )
    names = ["namespace", "kind", "name", "rows", "cpu", "memory", "requested", "storage"]
    return [dict(zip(names, row)) for row in found]


json.dump({"rows": rows, "sums": sums}[question](), sys.stdout)
