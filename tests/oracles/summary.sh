#!/bin/sh
# Says what was skipped, so that nothing is passed silently.
set -eu
if [ -s "$1/skipped" ]; then
    echo
    echo "All that ran passed. SKIPPED for want of a tool:"
    sort -u "$1/skipped" | sed 's/^/  /'
    [ -s "$1/missing" ] && sed 's/^/  missing: /' "$1/missing"
else
    echo "All passed, nothing was skipped."
fi
