#!/bin/sh
# Fetches the Python client of clients_python.rs into .tools/python at the top of the repository.
set -eu
top=$(cd "$(dirname "$0")/../../.." && pwd)
python3 -m pip install --quiet --disable-pip-version-check --target "$top/.tools/python" --upgrade \
    cuda-bindings==13.5.0 cuda-pathfinder==1.9.0
echo "cuda-bindings is in $top/.tools/python"
