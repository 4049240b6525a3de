#!/bin/bash
# Builds the C parts of the library and their tests under AddressSanitizer and UndefinedBehaviorSanitizer, and runs them:
# run.sh BUILD_DIR [ROUNDS]
#
# By the clang of the Swift toolchain, which has the sanitizers' run time and is what the library is built by.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$1
rounds=${2:-1000}
clang=$(dirname "$(readlink -f "$(command -v swift)")")/clang
[ -x "$clang" ] || clang=clang
mkdir -p "$build"

# A load through a null or odd pointer, an index, a shift or a conversion out of range ends the run. Checks are calls, which
# halves the time of the build. Not -Wpass-failed: with checks inside, some loops that should be unrolled are not.
flags="-std=gnu11 -O1 -g -fno-omit-frame-pointer -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror -Wno-pass-failed -pthread
    -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all
    -I$root/Sources/CKimiKernels/include -I$root/Sources/CKimiSystem/include
    -I$root/Sources/CKimiMedia/include -I$root/Sources/CKimiMedia"
folders=("$root/Sources/CKimiKernels" "$root/Sources/CKimiSystem" "$root/Sources/CKimiMedia" "$root/Tests/sanitize")
sources=$(find "${folders[@]}" -name '*.c' | sort)
newest=$(find "${folders[@]}" -name '*.[ch]' -newer "$build/sanitize" 2>/dev/null | head -n 1 || true)
if [ ! -e "$build/sanitize" ] || [ -n "$newest" ]; then
    rm -f "$build"/*.o
    for source in $sources; do
        object=$build/$(echo "${source#"$root"/}" | tr / _).o
        printf '%s\0%s\0' "$source" "$object"
    done | xargs -0 -n 2 -P "$(nproc)" bash -c '"$0" $1 -c "$2" -o "$3"' "$clang" \
        "$flags -mllvm -asan-instrumentation-with-call-threshold=0"
    "$clang" -fuse-ld=lld $flags "$build"/*.o -o "$build/sanitize" -lm -l:liburing.a -lpng16 -ljpeg -lwebp -lwebpdemux -lgif -lmd
fi
ASAN_OPTIONS=detect_stack_use_after_return=1 "$build/sanitize" "$rounds"
