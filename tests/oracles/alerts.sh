#!/bin/sh
# The alert rules, against their cases.
set -eu
cd "$(dirname "$0")/../.."
if ! command -v promtool > /dev/null; then
    echo "alert rules: promtool is missing" >> "$1/skipped"
    exit 0
fi
promtool check rules deploy/alerts/backups.yaml deploy/alerts/export.yaml deploy/alerts/podmetrics.yaml deploy/alerts/usage.yaml
promtool test rules deploy/alerts/*_test.yaml
