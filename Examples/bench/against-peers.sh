#!/bin/bash
# libkimi beside llama.cpp and ik_llama.cpp on this machine: the same geometry, the same work, the sides in turn, several rounds.
#
#   against-peers.sh --kimi PROGRAM --folder FOLDER [--llama BIN] [--ik BIN] [--gguf FOLDER | --make-gguf SCRIPT] [...]
#
#   --kimi PROGRAM      kimi, as built (.build/release/kimi-cli) or installed
#   --folder FOLDER     where our checkpoints are made, with `kimi synth`; 3 GB for all rows
#   --llama BIN         the folder with llama-bench and llama-batched-bench of llama.cpp
#   --ik BIN            the same of ik_llama.cpp
#   --gguf FOLDER       the folder with the peers' models of the same sizes: mini-BF16.gguf, mini-Q8_0.gguf, slice-BF16.gguf, ...
#   --make-gguf SCRIPT  makes those that are missing, called as SCRIPT mini|slice OUT.gguf BF16|Q8_0 with --python
#   --python PROGRAM    a Python that has the script's modules; python3 if not given
#   --rows a,b,...      only these rows; --list names them
#   --rounds N          5 if not given
#   --threads N         of every side, 2 if not given
#   --options "..."     further options for `kimi bench`
#   --json FILE         all single figures as well
#
# A side that is not given, or that lacks an option, is left out, and the output says so. Only ratios of one run count: the
# machine's bandwidth moves with its neighbours. The project does not depend on the peers.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }
die() { echo "against-peers: $*" >&2; exit 2; }

kimi='' folder='' gguf='' make_gguf='' python=python3 pass=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --list) exec python3 -B "$here/against_peers.py" --list ;;
    --kimi | --folder | --gguf | --make-gguf | --python | --llama | --ik | --rows | --rounds | --threads | --options | --json)
        [ $# -ge 2 ] || die "$1 needs a value" ;;
    *) die "$1 is no option; --help lists them" ;;
    esac
    case $1 in
    --kimi) kimi=$2 ;;
    --folder) folder=$2 ;;
    --gguf) gguf=$2 ;;
    --make-gguf) make_gguf=$2 ;;
    --python) python=$2 ;;
    *) pass+=("$1=$2") ;;
    esac
    shift 2
done
[ -x "$kimi" ] || die "--kimi must be the program kimi (given: '$kimi')"
[ -n "$folder" ] || die "--folder is missing"
mkdir -p "$folder"
[ -n "$gguf" ] || gguf=$folder

rows=$(python3 -B "$here/against_peers.py" --needs "${pass[@]}")
for geometry in $rows; do
    [ "$geometry" = slice ] && name=k25-slice || name=mini
    if [ ! -f "$folder/$name/config.json" ]; then
        echo "== making $folder/$name" >&2
        "$kimi" synth --geometry "$name" "$folder/$name" >&2
    fi
    for rest in BF16 Q8_0; do
        file=$gguf/$geometry-$rest.gguf
        if [ ! -f "$file" ] && [ -n "$make_gguf" ]; then
            echo "== making $file" >&2
            "$python" "$make_gguf" "$geometry" "$file.part" "$rest" >&2
            mv "$file.part" "$file"
        fi
    done
done
exec python3 -B "$here/against_peers.py" --kimi="$kimi" --folder="$folder" --gguf="$gguf" "${pass[@]}"
