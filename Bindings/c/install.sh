#!/bin/sh
# Installs what was built: install.sh PREFIX BUILD_DIR
#
# The library with its links, the header, the pkg-config file, the CMake package, and the program `kimi`.
# LIBDIR (default lib) is the library folder inside PREFIX; DESTDIR, if set, is put before every path that is written.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 PREFIX BUILD_DIR" >&2
    exit 2
fi
prefix=$1
build=$2
libdir=${LIBDIR:-lib}
here=$(cd "$(dirname "$0")" && pwd)
header=$here/../../Include/kimi.h

case $prefix in
    /*) ;;
    *) mkdir -p "$prefix" && prefix=$(cd "$prefix" && pwd) ;; # the pkg-config file needs a path that holds everywhere
esac
for needed in "$build/libkimi.so" "$build/kimi-cli"; do
    if [ ! -e "$needed" ]; then
        echo "install.sh: $needed is missing; run 'make build' first" >&2
        exit 1
    fi
done

number() { sed -n "s/^#define KIMI_VERSION_$1 \([0-9]*\)\$/\1/p" "$header"; }
version=$(number MAJOR).$(number MINOR).$(number PATCH)
up=$(printf %s "$libdir" | sed 's#[^/][^/]*#..#g')
root=${DESTDIR:-}$prefix
# Outside the loader's own folders a program has to know where its library is.
case $prefix in
    /usr | /usr/local) rpath= ;;
    *) rpath=' -Wl,-rpath,${libdir}' ;;
esac

fill() { # template, target
    sed -e "s#@PREFIX@#$prefix#g" -e "s#@LIBDIR@#$libdir#g" -e "s#@LIBDIR_TO_PREFIX@#$up#g" -e "s#@VERSION@#$version#g" \
        -e "s#@RPATH@#$rpath#g" \
        "$here/$1" >"$2"
    chmod 644 "$2"
}

mkdir -p "$root/bin" "$root/include" "$root/$libdir/pkgconfig" "$root/$libdir/cmake/kimi"
install -m 755 "$build/libkimi.so" "$root/$libdir/libkimi.so.$version"
ln -sf "libkimi.so.$version" "$root/$libdir/libkimi.so.1"
ln -sf libkimi.so.1 "$root/$libdir/libkimi.so"
install -m 644 "$header" "$root/include/kimi.h"
install -m 755 "$build/kimi-cli" "$root/bin/kimi"
fill kimi.pc.in "$root/$libdir/pkgconfig/kimi.pc"
fill kimi-config.cmake.in "$root/$libdir/cmake/kimi/kimi-config.cmake"
fill kimi-config-version.cmake.in "$root/$libdir/cmake/kimi/kimi-config-version.cmake"
# The loader keeps a list of its own folders.
if [ -z "${DESTDIR:-}" ] && [ -z "$rpath" ] && [ "$(id -u)" = 0 ] && command -v ldconfig >/dev/null; then ldconfig; fi
echo "installed libkimi $version in $root"
