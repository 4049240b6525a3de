#!/bin/bash
# libkimi on machines that are not there: run-in-qemu.sh BUILD_DIR [MACHINE...]
#
# Boots a Debian kernel in QEMU's software emulation on machines of 1, 2 and 4 memory nodes, runs the library in each, and compares
# what it says with what the kernel says; README.md tells the rest. BUILD_DIR holds libkimi.so and kimi-cli (.build/release); with
# MACHINEs only those. RECORD=1 writes recorded/ anew; LIMIT=SECONDS is the most for one machine (600). Takes some minutes; no network
# in the guests, and no right of root is needed if the packages are there.
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

if [ $# -lt 1 ] || [ ! -e "$1/libkimi.so" ] || [ ! -x "$1/kimi-cli" ]; then
    echo "usage: $0 BUILD_DIR [MACHINE...], BUILD_DIR with libkimi.so and kimi-cli in it" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
shift
work=$build/numa
mkdir -p "$work/lib" || exit 2
# Copies, so that a build meanwhile does not change what is tried.
cp -f "$build/libkimi.so" "$work/lib/libkimi.so.1" && cp -f "$build/kimi-cli" "$work/kimi-cli" || exit 2

packages=
command -v qemu-system-x86_64 >/dev/null || packages="$packages qemu-system-x86"
command -v busybox >/dev/null && ! ldd "$(command -v busybox)" >/dev/null 2>&1 || packages="$packages busybox-static"
command -v cc >/dev/null || packages="$packages gcc"
command -v python3 >/dev/null || packages="$packages python3"
if [ -n "$packages" ]; then
    if [ "$(id -u)" != 0 ]; then
        echo "missing:$packages. On Debian: apt-get install$packages" >&2
        exit 2
    fi
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages || exit 2
fi

# The kernel of the distribution, taken out of its package; nothing is installed. KERNEL=FILE takes another.
kernel=${KERNEL:-$work/vmlinuz}
if [ ! -e "$kernel" ]; then
    package=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || { echo "no package linux-image-amd64 is known here; name a kernel with KERNEL=FILE" >&2; exit 2; }
    rm -rf "$work/package" && mkdir "$work/package" || exit 2
    (cd "$work/package" && apt-get download -qq "$package" 2>/dev/null &&
        dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards './boot/vmlinuz-*') &&
        mv "$work/package/boot/"vmlinuz-* "$kernel" || { echo "the kernel's package $package could not be had" >&2; exit 2; }
    rm -rf "$work/package"
fi

cc -std=c11 -O1 -g -Wall -Wextra -Werror -D_GNU_SOURCE -I"$root/Include" "$here/probe.c" -o "$work/probe" \
    "$work/lib/libkimi.so.1" -lpthread || exit 2
# A hundred megabytes, so that pages can be counted.
"$work/kimi-cli" synth --geometry mini --layers 3 --experts 16 --vocab 1024 --force "$work/mini" >/dev/null || exit 2

record=()
[ -z "${RECORD:-}" ] || { mkdir -p "$here/recorded" && record=(--record "$here/recorded"); } || exit 2
exec python3 -B "$here/run.py" --work "$work" --kernel "$kernel" --busybox "$(command -v busybox)" \
    --limit "${LIMIT:-600}" ${record[@]+"${record[@]}"} -- "$@"
