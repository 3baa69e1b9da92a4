//! `usage`: takes usage reports from the nodes, joins them with what Kubernetes knows, and writes Parquet to S3. Nothing that was acknowledged is
//! lost, and nothing is written twice.

pub mod collect;
pub mod facts;
pub mod index;
pub mod join;
pub mod payload;
pub mod report;
pub mod resources;
pub mod table;
