#!/bin/sh
# Licences, banned crates and sources of every dependency.
set -eu
PATH="$1/bin:$PATH"
if ! command -v cargo-deny > /dev/null; then
    echo "licences and bans: cargo-deny is missing" >> "$1/skipped"
    exit 0
fi
cargo-deny --all-features --workspace check licenses bans sources
