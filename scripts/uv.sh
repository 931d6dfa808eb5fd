#!/bin/sh
# Prints the path of uv; if there is none, installs one into .make/uv with the machine's own Python.
set -eu
cd "$(dirname "$0")/.."

# uv on PATH may be the shim of a version manager without a uv.
if uv --version >/dev/null 2>&1; then
    command -v uv
    exit 0
fi
if [ -x .make/uv/bin/uv ] && .make/uv/bin/uv --version >/dev/null 2>&1; then
    echo "$PWD/.make/uv/bin/uv"
    exit 0
fi

for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python3; do
    "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 8))' 2>/dev/null || continue
    echo "No uv on PATH: installing it into .make/uv with $python." >&2
    "$python" -m venv --clear .make/uv >&2
    .make/uv/bin/python -m pip install --quiet --disable-pip-version-check uv >&2
    echo "$PWD/.make/uv/bin/uv"
    exit 0
done

echo "Neither uv nor a Python that can make a virtual environment is on PATH." >&2
echo "Install Python >= 3.11 with its venv module (Debian: apt-get install python3-venv) or uv." >&2
exit 1
