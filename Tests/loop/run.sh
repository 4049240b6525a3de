#!/bin/bash
# Tests of the visual loop with a real Chromium: run.sh BUILD_DIR [MODULE...]
#
# BUILD_DIR holds libkimi.so and kimi-cli (.build/release). The modules run side by side, each in a temporary folder of its own;
# what they printed is in BUILD_DIR/loop-tests/MODULE.log, and is shown if one failed.
set -u

if [ $# -lt 1 ] || [ ! -e "$1/libkimi.so" ]; then
    echo "usage: $0 BUILD_DIR [MODULE...], BUILD_DIR with libkimi.so in it" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")" || exit 2
out=$build/loop-tests
rm -rf "$out"
mkdir -p "$out"

# The python that is found first may be one that knows nothing of Debian's packages.
python=
for candidate in python3 /usr/bin/python3; do
    "$candidate" -c 'import av, numpy, PIL, skimage' 2>/dev/null && { python=$candidate; break; }
done
missing=
[ -n "$python" ] || missing="python3-skimage python3-pil python3-av"
command -v "${KIMI_CHROMIUM:-chromium-headless-shell}" >/dev/null || command -v chromium >/dev/null ||
    missing="$missing chromium-headless-shell"
if [ -n "$missing" ]; then
    echo "missing: $missing. On Debian: apt-get install $missing" >&2
    exit 2
fi

export KIMI_LIBRARY=$build/libkimi.so KIMI_TEXT_CHECKPOINT=$out/text-only PYTHONDONTWRITEBYTECODE=1
"$build/kimi-cli" synth --geometry tiny "$KIMI_TEXT_CHECKPOINT" >/dev/null || exit 1

modules=("$@")
[ $# -gt 0 ] || modules=($(basename -s .py test_*.py))
for module in "${modules[@]}"; do
    # Chromium may run as another user, who must get to its profile.
    TMPDIR=$(mktemp -d /tmp/loop-XXXXXX) && chmod 755 "$TMPDIR" || exit 1
    (
        export TMPDIR
        timeout 300 "$python" -m unittest -v "$module" >"$out/$module.log" 2>&1
        status=$?
        rm -rf "$TMPDIR"
        exit $status
    ) &
    jobs_of+=($!)
done

passed=0
failed=0
for at in "${!modules[@]}"; do
    module=${modules[at]}
    if wait "${jobs_of[at]}"; then
        passed=$((passed + 1))
        echo "passed  $module ($(sed -n 's/^Ran \(.*\)/\1/p' "$out/$module.log"))"
    else
        failed=$((failed + 1))
        echo "FAILED  $module, $out/$module.log ends:"
        tail -n 60 "$out/$module.log" | sed 's/^/        /'
    fi
done
echo "visual loop: $passed passed, $failed failed"
[ $failed = 0 ]
