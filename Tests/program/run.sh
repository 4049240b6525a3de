#!/bin/bash
# Tests of the program, from outside: run.sh KIMI [unittest arguments], KIMI as built (.build/release/kimi-cli).
set -u
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
    echo "usage: $0 KIMI [unittest arguments], KIMI the built program (.build/release/kimi-cli)" >&2
    exit 2
fi
command -v python3 >/dev/null || { echo 'missing: python3. On Debian: apt-get install python3' >&2; exit 2; }
KIMI=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
export KIMI
shift
cd "$(dirname "$0")" || exit 2
if [ $# -gt 0 ]; then exec python3 -B -m unittest "$@"; fi
exec python3 -B -m unittest discover -s .
