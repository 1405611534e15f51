#!/bin/sh
# Fetches the Python client of clients_python.rs into .tools/python at the top of the repository. Does nothing if the
# pinned versions are there already.
set -eu
top=$(cd "$(dirname "$0")/../../.." && pwd)
pinned="cuda-bindings==13.5.0 cuda-pathfinder==1.9.0"
stamp="$top/.tools/python/fetched.txt"
if [ "$(cat "$stamp" 2>/dev/null)" = "$pinned" ]; then
    exit 0
fi
rm -rf "$top/.tools/python"
# shellcheck disable=SC2086 # two words
python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$top/.tools/python" $pinned
echo "$pinned" > "$stamp"
echo "cuda-bindings is in $top/.tools/python"
