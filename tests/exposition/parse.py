"""Reads an exposition from standard input with prometheus_client; prints a line of JSON for each sample.

Argument: text or openmetrics.
"""
import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text

families = {"text": text, "openmetrics": openmetrics}[sys.argv[1]](sys.stdin.buffer.read().decode())
for family in families:
    for sample in family.samples:
        labels = sorted([name, value] for name, value in sample.labels.items() if value)
        time = None if sample.timestamp is None else float(sample.timestamp)
        exemplar = None
        if sample.exemplar is not None:
            exemplar = [sorted(sample.exemplar.labels.items()), repr(float(sample.exemplar.value))]
        print(json.dumps([sample.name, labels, repr(float(sample.value)), time, exemplar]))
