"""Counts a bucket with boto3, by the written rules and not by the exporter's code. Prints JSON.

Arguments: a JSON object with endpoint, access_key_id, secret_access_key, bucket, prefix, clusters.
"""
import json
import sys

import boto3
from botocore.config import Config

wanted = json.loads(sys.argv[1])
s3 = boto3.client(
    "s3",
    endpoint_url=wanted["endpoint"],
    aws_access_key_id=wanted["access_key_id"],
    aws_secret_access_key=wanted["secret_access_key"],
    region_name="us-east-1",
    config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
)
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=wanted["bucket"], Prefix=wanted["prefix"])
objects = [item for page in pages for item in page.get("Contents", [])]

of_cluster = {name: [] for name in wanted["clusters"]}
orphans, markers = [], 0
for item in objects:
    key = item["Key"][len(wanted["prefix"]):]
    if item["Size"] == 0 and item["Key"].endswith("/"):
        markers += 1
        continue
    owners = [name for name in wanted["clusters"] if key.startswith(name + "-")]
    if owners:
        of_cluster[max(owners, key=len)].append(item)
    else:
        orphans.append(item)


def stamp(item):
    return int(item["LastModified"].timestamp())


def describe(items):
    by_age = sorted(items, key=lambda item: (item["LastModified"], item["Key"].encode()))
    classes = {}
    for item in items:
        count = classes.setdefault(item["StorageClass"], {"objects": 0, "bytes": 0})
        count["objects"] += 1
        count["bytes"] += item["Size"]
    return {
        "objects": len(items),
        "empty_objects": sum(item["Size"] == 0 for item in items),
        "bytes": sum(item["Size"] for item in items),
        "largest_object_bytes": max((item["Size"] for item in items), default=0),
        "newest_object_timestamp_seconds": stamp(by_age[-1]) if items else 0,
        "oldest_object_timestamp_seconds": stamp(by_age[0]) if items else 0,
        "newest_object_bytes": by_age[-1]["Size"] if items else 0,
        "previous_object_bytes": by_age[-2]["Size"] if len(items) > 1 else 0,
        "classes": classes,
    }


print(
    json.dumps(
        {
            "clusters": {name: describe(items) for name, items in of_cluster.items()},
            "orphan_objects": len(orphans),
            "orphan_bytes": sum(item["Size"] for item in orphans),
            "directory_markers": markers,
        }
    )
)
