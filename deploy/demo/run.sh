#!/bin/sh
# `make demo`: the exporter on a sample bucket in a local folder, and a real Prometheus with the alert rules beside it. Ctrl-C ends both.
set -eu
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
exporter=127.0.0.1:9340
prometheus=127.0.0.1:9341
work=$(mktemp -d)
pids=

finish() {
    trap - EXIT INT TERM
    for pid in $pids; do kill "$pid" 2> /dev/null || true; done
    for pid in $pids; do wait "$pid" 2> /dev/null || true; done
    rm -rf "$work"
    echo "The demo has ended."
}
trap finish EXIT
trap 'exit 0' INT TERM

install_prometheus() {
    command -v apt-get > /dev/null || return 1
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo > /dev/null || return 1
        as_root=sudo
    fi
    echo "Installing Debian's prometheus package."
    install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus"
    $install > "$work/apt.log" 2>&1 || { $as_root apt-get update -qq > "$work/apt.log" 2>&1 && $install > "$work/apt.log" 2>&1; }
}

echo "Building; the first time takes a few minutes."
"${CARGO:-cargo}" build --quiet --locked

# `exec` keeps the process this script's own child, so that it can be stopped and waited for.
"$target/debug/kube-s3-exporter" demo --address "$exporter" --folder "$work/bucket" &
pids=$!
sleep 1
kill -0 "$pids" 2> /dev/null || { echo "The exporter did not start; is something else listening on $exporter?"; exit 1; }

echo
echo "  status page   http://$exporter/"
echo "  metrics       http://$exporter/metrics"
if command -v prometheus > /dev/null || install_prometheus; then
    prometheus --config.file=deploy/demo/prometheus.yml --storage.tsdb.path="$work/prometheus" \
        --web.listen-address="$prometheus" --log.level=warn > "$work/prometheus.log" 2>&1 &
    pid=$!
    sleep 1
    kill -0 "$pid" 2> /dev/null || { tail -n 3 "$work/prometheus.log"; echo "Prometheus did not start; is something else listening on $prometheus?"; exit 1; }
    pids="$pids $pid"
    echo "  Prometheus    http://$prometheus/graph?g0.expr=kubermatic_s3_object_count"
    echo "  alerts        http://$prometheus/alerts   (they wait as long as they would in earnest)"
else
    echo "  Prometheus    SKIPPED: it is not installed, and Debian's package cannot be had here"
fi
echo
echo "Healthy: berlin, berlin-edge. Stale: london. Newest empty: paris. Newest shrank: tokyo. Never backed up: oslo."
echo "Ctrl-C ends the demo."
echo
for pid in $pids; do wait "$pid"; done
