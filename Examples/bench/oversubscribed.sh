#!/bin/bash
# A checkpoint three times as large as the memory it may use: experts that are streamed beside plain mmap, in the same memory
# cgroup, in turn, from a cold page cache.
#
#   oversubscribed.sh --kimi PROGRAM --folder FOLDER [...]
#
#   --kimi PROGRAM      kimi, as built (.build/release/kimi-cli) or installed
#   --folder FOLDER     where checkpoints are made, with `kimi synth --geometry stream`; 6 GB for both heats
#   --library FILE      libkimi.so; the one beside the program, or in ../lib, if not given
#   --heat a,b          uniform, skewed or both, which is so if not given: whether tokens choose all experts alike
#   --checkpoint DIR    measure this one instead
#   --limit BYTES       of the cgroup; a third of the checkpoint if not given
#   --resident BYTES    of them for experts, when streamed; what the library chooses if not given
#   --rounds N          5 if not given
#   --warm N            tokens before the measured ones, that fill caches; 64 if not given
#   --tokens N          tokens that are measured, one by one; 64 if not given; a quarter of both where mapped, since that takes long
#   --threads N         2 if not given
#   --cgroup DIR        the cgroup in which to make one; the root of the hierarchy, or our own, if not given
#   --json FILE         all single figures as well
#
# Both sides evaluate the same random ids, and their logits must be those of the model that is all in memory, bit by bit. The disk
# is measured around each streamed run, with reads as large and as many at once as the store's. Needs Python, direct reads, and the
# right to make a cgroup with a memory limit.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; }
die() { echo "oversubscribed: $*" >&2; exit 2; }

kimi='' folder='' library='' heats=uniform,skewed checkpoint='' pass=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --kimi | --folder | --library | --heat | --checkpoint | --limit | --resident | --rounds | --warm | --tokens | --threads | \
        --cgroup | --json)
        [ $# -ge 2 ] || die "$1 needs a value" ;;
    *) die "$1 is no option; --help lists them" ;;
    esac
    case $1 in
    --kimi) kimi=$2 ;;
    --folder) folder=$2 ;;
    --library) library=$2 ;;
    --heat) heats=$2 ;;
    --checkpoint) checkpoint=$2 ;;
    *) pass+=("$1=$2") ;;
    esac
    shift 2
done
[ -x "$kimi" ] || die "--kimi must be the program kimi (given: '$kimi')"
for heat in ${heats//,/ }; do
    [ "$heat" = uniform ] || [ "$heat" = skewed ] || die "--heat is $heats; it must be uniform, skewed or both with a comma"
done
if [ -z "$library" ]; then
    beside=$(dirname "$kimi")
    for library in "$beside"/libkimi.so "$beside"/../lib/libkimi.so.1 ''; do [ ! -e "$library" ] || break; done
fi
[ -f "$library" ] || die "--library must be libkimi.so (given or found: '$library')"
[ -n "$folder$checkpoint" ] || die "--folder or --checkpoint is missing"
[ -z "$checkpoint" ] || [ -f "$checkpoint/config.json" ] || die "--checkpoint is $checkpoint, which has no config.json"
# What is wrong with the rest shows before gigabytes are written.
python3 -B "$here/oversubscribed.py" --check "${pass[@]}"
if [ -n "$checkpoint" ]; then
    paths=("$checkpoint")
else
    mkdir -p "$folder"
    paths=()
    for heat in ${heats//,/ }; do
        path=$folder/stream-$heat
        if [ ! -f "$path/config.json" ]; then
            echo "== making $path" >&2
            "$kimi" synth --geometry stream --heat "$heat" "$path" >&2
        fi
        paths+=("$path")
    done
fi
exec python3 -B "$here/oversubscribed.py" --library="$library" "${pass[@]}" "${paths[@]}"
