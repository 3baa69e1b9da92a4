//! The table: its one schema, and Parquet files of it.
