#!/bin/sh
# Installs what the tests compare with: Prometheus and promtool from the distribution, boto3, prometheus_client, jsonschema,
# DuckDB and pyarrow from PyPI, cargo-deny from crates.io.
# A tool that cannot be had is noted; its tests then say that they were skipped, and so does the end of `make test`.
set -u
dir=$1
mkdir -p "$dir"
missing="$dir/missing"
: > "$missing"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo > /dev/null; then sudo -n "$@"; else return 1; fi
}

apt() {
    command -v apt-get > /dev/null || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > "$dir/apt.log" 2>&1 && return 0
    as_root apt-get update -qq > "$dir/apt.log" 2>&1 || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >> "$dir/apt.log" 2>&1
}

if ! command -v promtool > /dev/null || ! command -v prometheus > /dev/null; then
    echo "installing Prometheus and promtool"
    apt prometheus || echo "prometheus, promtool: not installed, and the package cannot be had" >> "$missing"
fi

python="$dir/python/bin/python"
if ! "$python" -c 'import boto3, yaml, prometheus_client' 2> /dev/null; then
    echo "installing boto3 and prometheus_client"
    rm -rf "$dir/python"
    { python3 -m venv "$dir/python" || { apt python3-venv && python3 -m venv "$dir/python"; }; } > "$dir/pip.log" 2>&1 &&
        "$python" -m pip install --quiet 'boto3>=1.40,<2' 'PyYAML>=6,<7' 'prometheus-client>=0.22,<1' >> "$dir/pip.log" 2>&1 ||
        { rm -rf "$dir/python"; echo "boto3, prometheus_client: no python3 with venv, or the packages cannot be had" >> "$missing"; }
fi

if [ -x "$python" ] && ! "$python" -c 'import jsonschema' 2> /dev/null; then
    "$python" -m pip install --quiet 'jsonschema>=4.18,<5' >> "$dir/pip.log" 2>&1 || echo "jsonschema: the package cannot be had" >> "$missing"
fi

# Beside the others, so that those are had where these are not: wheels exist for fewer machines.
if [ -x "$python" ] && ! "$python" -c 'import duckdb, pyarrow' 2> /dev/null; then
    echo "installing DuckDB and pyarrow"
    "$python" -m pip install --quiet --only-binary :all: 'duckdb>=1.3' 'pyarrow>=20' >> "$dir/pip.log" 2>&1 ||
        echo "duckdb, pyarrow: the packages cannot be had" >> "$missing"
fi

if ! command -v cargo-deny > /dev/null && ! [ -x "$dir/bin/cargo-deny" ]; then
    echo "installing cargo-deny (a few minutes, once)"
    ${CARGO:-cargo} install --quiet --locked --version '^0.20' --root "$dir" cargo-deny > "$dir/deny.log" 2>&1 ||
        echo "cargo-deny: cannot be built" >> "$missing"
fi
exit 0
