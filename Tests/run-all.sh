#!/bin/bash
# Everything that `make test` promises, part after part; one summary at the end. Stops at the first part that fails.
set -u
cd "$(dirname "$0")/.." || exit 2
export SWIFT_BACKTRACE=enable=no
build=.build/release
begin=$SECONDS
passed=0

part() { # name, command...
    local name=$1 start=$SECONDS
    shift
    echo
    echo "== $name"
    if "$@"; then
        passed=$((passed + 1))
        echo "== $name: passed in $((SECONDS - start)) s"
    else
        echo "== $name: FAILED after $((SECONDS - start)) s"
        echo
        echo "parts: $passed passed, 1 failed"
        exit 1
    fi
}

fuzz() {
    local target
    for target in headers config index tokenizer session prefixes request schema output picture clip dataurl; do
        .build-fuzz/release/KimiFuzz --target $target --cases 10000 --seed 1 || return 1
    done
}

part "build of library, program and tests" make --no-print-directory build
part "build of the tests" swift build -c release --build-tests
part "Swift tests" timeout 900 swift test -c release --skip-build
part "the same on the NumPy reference" python3 -m unittest discover -s Tests/reference
part "C, Python and Lua on the header" Tests/run-interface-tests.sh $build
part "the program" Tests/program/run.sh $build/kimi-cli
part "the visual loop in Chromium" Tests/loop/run.sh $build
part "all C under sanitizers" make --no-print-directory sanitize
part "build of the fuzzers under AddressSanitizer" make --no-print-directory fuzz-build
part "fuzzers, 10,000 cases a target" fuzz

echo
echo "everything in $((SECONDS - begin)) s"
echo "parts: $passed passed, 0 failed"
