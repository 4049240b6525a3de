#!/bin/sh
# The binary interface: check_abi.sh LIBRARY [--regenerate]
#
# Compares what the compiler makes of kimi.h and what LIBRARY exports with Include/kimi.abi. --regenerate writes that file: do so
# only when something was appended, and read the difference before committing it.
set -eu

library=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
header=$root/Include/kimi.h
promised=$root/Include/kimi.abi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0

fail() {
    echo "$*"
    wrong=1
}
# Prints the lines that differ and fails, if any do.
same() { # what, expected, found
    if ! diff "$2" "$3" >"$work/difference"; then
        fail "$1 (< expected, > found):"
        cat "$work/difference"
    fi
}

# The header alone, in both languages.
printf '#include "kimi.h"\n' >"$work/alone.c"
cp "$work/alone.c" "$work/alone.cpp"
strict="-Wall -Wextra -pedantic -Werror -I$root/Include -fsyntax-only"
${CC:-cc} -std=c11 $strict "$work/alone.c" || fail "kimi.h does not compile alone as C11"
${CXX:-c++} -std=c++17 $strict "$work/alone.cpp" || fail "kimi.h does not compile alone as C++17"

# Declared and exported functions.
${CC:-cc} -E -P "$work/alone.c" -I"$root/Include" | grep -oE '\bkimi_[a-z0-9_]+ ?\(' | tr -d ' (' | sort -u >"$work/declared"
nm -D --defined-only "$library" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }' | sort -u >"$work/exported"
same "functions of kimi.h against exports of the library" "$work/declared" "$work/exported"

# The library's name, and what it needs.
objdump -p "$library" | awk '$1 == "SONAME" { print $2 }' >"$work/soname"
[ "$(cat "$work/soname")" = libkimi.so.1 ] || fail "the SONAME is '$(cat "$work/soname")', not libkimi.so.1"
if ldd "$library" | grep -iE 'swift|foundation|icu'; then fail "the library needs a Swift library"; fi
if ldd "$library" | grep 'not found'; then fail "the library needs what is not there"; fi

# Layouts and constants; and no struct or constant of the header may be missing from the list.
${CC:-cc} -std=c11 -Wall -Wextra -Werror -I"$root/Include" "$root/Tests/c/abi_offsets.c" -o "$work/abi_offsets"
"$work/abi_offsets" >"$work/layout" || fail "a struct has a gap, or abi_offsets.c has not all of its fields"
sed -n 's/^typedef struct \(kimi_[a-z_]*\) {$/\1/p' "$header" | sort >"$work/structs"
awk '$1 == "struct" { print $2 }' "$work/layout" | sort >"$work/listed"
same "structs of kimi.h against abi_offsets.c" "$work/structs" "$work/listed"
sed -n 's/^#define \(KIMI_[A-Z0-9_]*\) .*/\1/p' "$header" | grep -v '^KIMI_VERSION_' | sort >"$work/macros"
awk '$1 == "constant" { print $2 }' "$work/layout" | sort >"$work/listed"
same "constants of kimi.h against abi_offsets.c" "$work/macros" "$work/listed"

# Status codes: the header's names in Swift's spelling, KIMI_ERROR_OUT_OF_MEMORY = outOfMemory.
awk '$1 == "constant" && ($2 == "KIMI_OK" || $2 ~ /^KIMI_ERROR_/) { print $2, $3 }' "$work/layout" |
    awk '{ sub("KIMI_(ERROR_)?", "", $1); n = split(tolower($1), word, "_"); name = word[1]
           for (i = 2; i <= n; i++) name = name toupper(substr(word[i], 1, 1)) substr(word[i], 2)
           print name, $2 }' | sort >"$work/header_status"
sed -n 's/^ *case `\{0,1\}\([a-zA-Z]*\)`\{0,1\} = \(-\{0,1\}[0-9]*\)$/\1 \2/p' "$root/Sources/KimiCore/Status.swift" |
    sort >"$work/swift_status"
same "status codes of kimi.h against Status.swift" "$work/header_status" "$work/swift_status"

# The promise.
{
    echo "# The binary interface of libkimi.so.1, compared with the built library by Tests/c/check_abi.sh. Lines are only ever"
    echo "# added. A field's numbers are its offset and its size; x86-64 and arm64 Linux have the same."
    echo "soname $(cat "$work/soname")"
    sed 's/^/symbol /' "$work/exported"
    cat "$work/layout"
} >"$work/kimi.abi"
if [ "${2:-}" = --regenerate ]; then
    [ $wrong = 0 ] || { echo "not written: first the above must be right"; exit 1; }
    cp "$work/kimi.abi" "$promised"
    echo "wrote $promised"
else
    same "Include/kimi.abi against the library" "$promised" "$work/kimi.abi"
fi
[ $wrong = 0 ] && echo "the binary interface is the promised one"
exit $wrong
