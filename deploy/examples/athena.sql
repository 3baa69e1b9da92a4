-- The table of usage in Athena, with partitions that are computed: no crawler, no MSCK REPAIR. Put your bucket and prefix in both places. Queries must say
-- for which cluster: SELECT ... FROM usage WHERE cluster_name = 'prod' AND year = 2026 AND month = 11. New columns come last, so that a later version's are added by ALTER TABLE.
CREATE EXTERNAL TABLE usage (
  `timestamp` string,
  `cluster_id` string,
  `node_name` string,
  `ec2_instance_id` string,
  `pod_id` string,
  `namespace` string,
  `owner` string,
  `cpu_usage_cores` double,
  `memory_usage_bytes` bigint,
  `net_tx_bytes` bigint,
  `net_rx_bytes` bigint,
  `requests_cpu_millicores` bigint,
  `requests_memory_bytes` bigint,
  `limits_cpu_millicores` bigint,
  `limits_memory_bytes` bigint,
  `labels` array<string>,
  `annotations` array<string>,
  `pvc_count` int,
  `total_pvc_storage_bytes` bigint,
  `pvc_names` array<string>,
  `aws_volume_ids` array<string>,
  `cluster_uid` string,
  `node_cpu_capacity_cores` double,
  `node_memory_capacity_bytes` bigint,
  `pod_name` string,
  `node` string,
  `cpu_usage_cum_sec` double,
  `pod_start_time` string,
  `requests_storage_bytes` bigint,
  `limits_storage_bytes` bigint,
  `collected_at` timestamp,
  `workload_kind` string,
  `workload_name` string,
  `storage_classes` array<string>,
  `node_instance_type` string,
  `node_zone` string,
  `node_capacity_type` string,
  `interval_seconds` double,
  `requests_gpu` bigint
)
PARTITIONED BY (cluster_name string, year int, month int, day int)
STORED AS PARQUET
LOCATION 's3://k8s-usage-data/k8s-metrics/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.cluster_name.type' = 'injected',
  'projection.year.type' = 'integer', 'projection.year.range' = '2024,2040',
  'projection.month.type' = 'integer', 'projection.month.range' = '1,12', 'projection.month.digits' = '2',
  'projection.day.type' = 'integer', 'projection.day.range' = '1,31', 'projection.day.digits' = '2',
  'storage.location.template' = 's3://k8s-usage-data/k8s-metrics/cluster-name=${cluster_name}/year=${year}/month=${month}/day=${day}/'
);
