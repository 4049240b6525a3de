#!/bin/bash
# All tests that stand on kimi.h and on the built library: run-interface-tests.sh BUILD_DIR [NAME...]
#
# BUILD_DIR holds libkimi.so and kimi-cli (.build/release). With NAMEs only those tests run, and what they need. One line a test;
# what a test printed is in BUILD_DIR/interface-tests/NAME.log, and is shown if it failed.
set -u

if [ $# -lt 1 ] || [ ! -e "$1/libkimi.so" ]; then
    echo "usage: $0 BUILD_DIR [NAME...], BUILD_DIR with libkimi.so in it" >&2
    exit 2
fi
build=$(cd "$1" && pwd)
shift
wanted=" $* "
root=$(cd "$(dirname "$0")/.." && pwd)
out=$build/interface-tests
prefix=$out/prefix
fixtures=$root/Tests/Fixtures
model=$fixtures/tiny-kimi
prompt="Once upon a time"
rm -rf "$out"
mkdir -p "$out"

missing=
need() { command -v "$1" >/dev/null || missing="$missing $2"; }
need cc gcc
need c++ g++
need nm binutils
need pkg-config pkg-config
need cmake cmake
need valgrind valgrind
need luajit luajit
need python3 python3-venv
if [ -n "$missing" ]; then
    echo "missing:$missing. On Debian: apt-get install$missing" >&2
    exit 2
fi

passed=0
failed=0
# Runs a function as a test of its name.
run() {
    local name=$1 begin=$SECONDS
    [ "$wanted" = "  " ] || [[ "$wanted" == *" $name "* ]] || return 0
    if "test_$name" >"$out/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "passed  $name ($((SECONDS - begin)) s)"
    else
        failed=$((failed + 1))
        echo "FAILED  $name ($((SECONDS - begin)) s), $out/$name.log ends:"
        tail -n 40 "$out/$name.log" | sed 's/^/        /'
    fi
}

# Compiles a C test with its parts and runs it on the fixture.
c_test() { # name, sources
    local name=$1 sources=()
    shift
    for source in support "$@"; do sources+=("$root/Tests/c/$source.c"); done
    cc -std=c11 -O1 -g -Wall -Wextra -Werror -D_GNU_SOURCE -I"$root/Include" "${sources[@]}" -o "$out/$name" \
        "$build/libkimi.so" -Wl,-rpath,"$out/lib" -lpthread -lm || return 1
    timeout 600 "$out/$name" "$fixtures"
}
# The programs load the library by its SONAME.
mkdir -p "$out/lib"
ln -sf "$build/libkimi.so" "$out/lib/libkimi.so.1"

test_abi() { "$root/Tests/c/check_abi.sh" "$build/libkimi.so"; }
test_hostile() { c_test hostile hostile hostile_model hostile_session hostile_generation \
    hostile_chat swarming hostile_swarm hostile_swarm_tools; }
test_contract() { c_test contract contract contract_files contract_evaluate contract_generate contract_options contract_threads \
    contract_memory contract_plan contract_chat contract_chat_tools contract_media contract_queue swarming contract_swarm \
    contract_swarm_limits contract_rewards; }
# Without malloc's caches of freed blocks, which count as allocated, so that the numbers are exact.
test_cycles() { GLIBC_TUNABLES=glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0 c_test cycles cycles swarming; }
test_allocations() { c_test allocations allocations; }

test_install() {
    local image=$out/image file
    "$root/Bindings/c/install.sh" "$prefix" "$build" || return 1
    for file in lib/libkimi.so lib/libkimi.so.1 lib/libkimi.so.0.1.0 include/kimi.h lib/pkgconfig/kimi.pc \
        lib/cmake/kimi/kimi-config.cmake lib/cmake/kimi/kimi-config-version.cmake bin/kimi; do
        [ -e "$prefix/$file" ] || { echo "$file was not installed"; return 1; }
    done
    [ "$(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --modversion kimi)" = 0.1.0 ] || return 1
    ! grep -rn '@[A-Z_]*@' "$prefix/lib/pkgconfig" "$prefix/lib/cmake" || return 1
    # A package builder's way: into an image of another root, with another library folder.
    DESTDIR=$image LIBDIR=lib/x86_64-linux-gnu "$root/Bindings/c/install.sh" /usr "$build" || return 1
    grep -qx 'libdir=${prefix}/lib/x86_64-linux-gnu' "$image/usr/lib/x86_64-linux-gnu/pkgconfig/kimi.pc" &&
        grep -qx 'prefix=/usr' "$image/usr/lib/x86_64-linux-gnu/pkgconfig/kimi.pc" &&
        ! grep -rn "$image" "$image/usr/lib/x86_64-linux-gnu/pkgconfig" "$image/usr/lib/x86_64-linux-gnu/cmake" || return 1
    cmake_example "$image/usr" "$out/cmake-image" && rm -rf "$image"
}

# What every example must write: the same most likely tokens, and errors to stderr with a status.
check_example() { # command line without arguments
    local text usage
    # An empty environment: no Swift, no KIMI settings.
    text=$(env -i PATH=/usr/bin:/bin ${KIMI_LIBRARY:+KIMI_LIBRARY=$KIMI_LIBRARY} ${VALGRIND_LIB:+VALGRIND_LIB=$VALGRIND_LIB} \
        "$@" "$model" "$prompt" 24 2>"$out/example.errors") || return 1
    [ ! -s "$out/example.errors" ] || { echo "on stderr:"; cat "$out/example.errors"; return 1; }
    printf '%s' "$text" | od -c | head -5
    [ -n "$text" ] || { echo "it wrote nothing"; return 1; }
    if [ -e "$out/example.text" ]; then
        [ "$text" = "$(cat "$out/example.text")" ] || { echo "another text than the example before"; return 1; }
    else
        printf '%s' "$text" >"$out/example.text"
    fi
    text=$("$@" /no-such-folder "$prompt" 2>&1 >/dev/null) && { echo "success without a folder"; return 1; }
    [[ "$text" == *no-such-folder* ]] || { echo "the error is '$text'"; return 1; }
    text=$("$@" "$model" "$prompt" 8 1234) && [ "$text" = "$("$@" "$model" "$prompt" 8 1234)" ] || {
        echo "the same seed gives another text"
        return 1
    }
    "$@" >/dev/null 2>&1
    [ $? = 2 ] || { echo "no usage"; return 1; }
}

test_pkgconfig() {
    mkdir -p "$out/pkgconfig"
    make -C "$root/Examples/c" PKG_CONFIG_PATH="$prefix/lib/pkgconfig" OUT="$out/pkgconfig" CFLAGS="-O2 -Wall -Wextra -Werror" &&
        check_example "$out/pkgconfig/generate"
}

cmake_example() { # prefix, build folder
    cmake -S "$root/Examples/c" -B "$2" -DCMAKE_PREFIX_PATH="$1" -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF \
        -DCMAKE_C_FLAGS="-Wall -Wextra -Werror" && cmake --build "$2"
}
test_cmake() {
    cmake_example "$prefix" "$out/cmake" && check_example "$out/cmake/generate" || return 1
    # Another major version is not this one.
    sed 's/find_package(kimi 0.1/find_package(kimi 1.0/' "$root/Examples/c/CMakeLists.txt" >"$out/cmake/CMakeLists.txt"
    cp "$root/Examples/c/"*.c "$out/cmake/"
    ! cmake -S "$out/cmake" -B "$out/cmake/other" -DCMAKE_PREFIX_PATH="$prefix"
}

# What a terminal chat must do: two answers of at most 12 tokens, the same for the same seed, and a usage line.
check_chat() { # command line without arguments
    local text status
    text=$(printf 'Hello\n\nAnd now?\n' | "$@" "$model" instant 12 5) || { echo "it failed: $text"; return 1; }
    printf '%s\n' "$text"
    [ "$(grep -cE '^\[[0-9]+ tokens\]' <<<"$text")" = 2 ] || { echo "not two answers"; return 1; }
    [ "$text" = "$(printf 'Hello\n\nAnd now?\n' | "$@" "$model" instant 12 5)" ] || { echo "the same seed gives another text"; return 1; }
    text=$(echo Hello | "$@" "$model" thinking 12 5) && [[ "$text" == *"[thought] "* ]] || { echo "no thought in '$text'"; return 1; }
    text=$(echo Hello | "$@" /no-such-folder 2>&1 >/dev/null) && { echo "success without a folder"; return 1; }
    [[ "$text" == *no-such-folder* ]] || { echo "the error is '$text'"; return 1; }
    "$@" "$model" deep >/dev/null 2>&1
    [ $? = 2 ] || { echo "no usage"; return 1; }
}

# What a question about a picture must give: what it takes is told, the same seed gives the same answer, a video is looked at in
# chunks, and what is wrong is said with a status and no success.
check_vision() { # command line without arguments
    local vision=$fixtures/tiny-kimi-expected/vision clip=$fixtures/vision/clips/one.mp4 text
    text=$("$@" "$model" "$vision/wide.png" 'What "is" this?' 12 5) || { echo "it failed: $text"; return 1; }
    printf '%s\n' "$text"
    grep -qx '\[picture: 40 tokens\]' <<<"$text" && grep -qE '^\[12 tokens, 40 of the prompt' <<<"$text" || {
        echo "not what the picture takes"
        return 1
    }
    [ "$text" = "$("$@" "$model" "$vision/wide.png" 'What "is" this?' 12 5)" ] || {
        echo "the same seed gives another text"
        return 1
    }
    text=$("$@" "$model" "$vision/small.png" 'And this?' 4 5 "$clip") || { echo "it failed: $text"; return 1; }
    grep -qE '^\[video from 00:00:00.000: [0-9]+ tokens\]' <<<"$text" || { echo "no video in '$text'"; return 1; }
    text=$("$@" "$model" /no-such.png What 2>&1 >/dev/null) && { echo "success without a picture"; return 1; }
    [[ "$text" == *no-such.png* ]] || { echo "the error is '$text'"; return 1; }
    text=$("$@" "$fixtures/shapes/all-moe" "$vision/small.png" What 2>&1 >/dev/null) && { echo "success without eyes"; return 1; }
    [[ "$text" == *vision_config* ]] || { echo "the error is '$text'"; return 1; }
    "$@" "$model" >/dev/null 2>&1
    [ $? = 2 ] || { echo "no usage"; return 1; }
}

# What an agent must do when its first answer has to be a call of a tool: it is made, and every call has an answer.
check_tools() { # names of the tools, command line in which SEED and TOOL stand for a seed and a name
    local names=$1 text seed name command
    shift
    for name in ${names//|/ }; do
        for seed in 1 2 3; do
            command=("${@//SEED/$seed}")
            text=$("${command[@]//TOOL/$name}" | tr -d '\0'; exit "${PIPESTATUS[0]}") || { echo "it failed: $text"; return 1; }
            printf '%s\n' "$text" | head -c 2000
            grep -aqE "^> $name " <<<"$text" || { echo "no call of $name with seed $seed"; return 1; }
            [ "$(grep -acE "^> ($names) " <<<"$text")" -le "$(grep -ac '^< ' <<<"$text")" ] || { echo "no answer"; return 1; }
        done
    done
}

# What a swarm must do whose main agent has to create a sub-agent and then can only give it tasks: the sub-agent's tool is called,
# there is an account and a trace, and the same seed gives the same events of each agent.
check_swarm() { # sub-agents' tool, option for the trace, words of the program, command line in which SEED stands for a seed
    local tool=$1 option=$2 words=$3 text again seed command
    shift 3
    for seed in 1 2 3; do
        command=("${@//SEED/$seed}")
        command+=("$option" "$out/swarm.trace")
        text=$("${command[@]}" | tr -d '\0'; exit "${PIPESTATUS[0]}") || { echo "it failed: $text"; return 1; }
        printf '%s\n' "$text" | head -c 3000
        grep -aqE "^\\[[^]]*\\] $tool " <<<"$text" || { echo "no call of $tool with seed $seed"; return 1; }
        grep -aqE '^\[main\] create_subagent ' <<<"$text" && grep -aqE '^\[main\] assign_task ' <<<"$text" || {
            echo "no sub-agent or no task with seed $seed"
            return 1
        }
        grep -aqE '[0-9]+ steps, [0-9]+ of them critical' <<<"$text" || { echo "no account with seed $seed"; return 1; }
        python3 -c 'import json, sys; sys.exit(len(json.load(open(sys.argv[1]))["traceEvents"]) < 5)' "$out/swarm.trace" || return 1
        # Only the times differ, and the order of lines of different agents.
        again=$("${command[@]}" | tr -d '\0'; exit "${PIPESTATUS[0]}") || { echo "it failed: $again"; return 1; }
        [ "$(grep -aE '^\[[^]]+\] ' <<<"$text" | sort)" = "$(grep -aE '^\[[^]]+\] ' <<<"$again" | sort)" ] || {
            echo "the same seed gives other events:"
            printf '%s\n' "$again"
            return 1
        }
    done
    text=$("${command[@]//$model//no-such-folder}" 2>&1 >/dev/null) && { echo "success without a folder"; return 1; }
    [[ "$text" == *no-such-folder* ]] || { echo "the error is '$text'"; return 1; }
    "${@:1:words}" >/dev/null 2>&1
    [ $? = 2 ] || { echo "no usage"; return 1; }
}

# Members of two requests, by which random weights make a swarm. The main agent creates a sub-agent, and then calls what it likes,
# in each step one tool; texts of its calls are blanks, names and tasks among them. Sub-agents call a tool in their first step, and
# end their answer in the second.
swarm_options() { # main or agents
    python3 - "$model" "$1" <<'END'
import base64, json, sys
model, of = sys.argv[1:]
bias = {}
for line in open(model + "/tiktoken.model"):
    piece, id = line.split()
    piece = base64.b64decode(piece)
    if not piece.strip():
        bias[id] = -100
    elif piece == b' "':
        bias[id] = 100
added = json.load(open(model + "/tokenizer_config.json"))["added_tokens_decoder"]
markers = {token["content"]: id for id, token in added.items()}
bias[markers["<|tool_calls_section_begin|>" if of == "main" else "<|im_end|>"]] = 100
choice = {"type": "function", "function": {"name": "create_subagent"}} if of == "main" else "required"
options = {"mode": "instant", "tool_choice": choice, "parallel_tool_calls": False, "max_tokens": 1500, "logit_bias": bias}
print(json.dumps(options)[1:-1], end="")
END
}

# A corpus of three lines: every search finds them all, and all that is found has to be read.
swarm_folder() {
    mkdir -p "$out/corpus"
    printf 'The lighthouse was lit in 1737.\n' >"$out/corpus/braaby.txt"
    printf 'They ship kelp.\nThe ferry takes 5 hours.\n' >"$out/corpus/torava.txt"
    echo "$out/corpus"
}

# Options of a forced call: one an answer, blank tokens unlikely and quotation marks likely. Of random weights come long runs of white
# space, which JSON allows, and long strings.
call_options() {
    python3 - "$model" <<'END'
import base64, json, sys
bias = {}
for line in open(sys.argv[1] + "/tiktoken.model"):
    piece, id = line.split()
    piece = base64.b64decode(piece)
    if not piece.strip():
        bias[id] = -100
    elif piece == b'"':
        bias[id] = 7
options = {
    "tool_choice": {"type": "function", "function": {"name": "TOOL"}}, "parallel_tool_calls": False, "reasoning_budget": 8,
    "max_tokens": 300, "logit_bias": bias,
}
print(json.dumps(options)[1:-1], end="")
END
}
test_conversation_c() {
    check_chat "$out/pkgconfig/chat" && check_vision "$out/pkgconfig/vision" &&
        check_tools "calculate|find_files" "$out/pkgconfig/tools" "$model" "$root/Examples" \
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Which files?\"}], $(call_options)}" SEED &&
        check_swarm search -t 1 "$out/pkgconfig/swarm" -s SEED -a "{$(swarm_options agents)}" "$model" "$(swarm_folder)" \
            "{\"messages\": [{\"role\": \"user\", \"content\": \"Look.\"}], $(swarm_options main)}"
}
test_conversation_python() {
    local python=$out/venv/bin/python
    export KIMI_LIBRARY=$prefix/lib/libkimi.so.1
    check_chat "$python" "$root/Examples/python/chat.py" && check_vision "$python" "$root/Examples/python/vision.py" &&
        check_tools "query_books|calculate|search_files" "$python" "$root/Examples/python/tools.py" "$model" "Which books?" \
            --folder "$root/Examples" --options "{\"seed\": SEED, $(call_options)}" &&
        check_swarm search_texts --trace 2 "$python" "$root/Examples/python/swarm.py" "$model" \
            --options "{\"seed\": SEED, \"agent_options\": {$(swarm_options agents)}, $(swarm_options main)}"
}

test_luajit() { KIMI_LIBRARY=$prefix/lib/libkimi.so.1 check_example luajit "$root/Examples/lua/generate.lua"; }

# The C example under valgrind: no error, no lost block, with and without a seed, and where it fails.
test_valgrind() {
    local check=(valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect
        --errors-for-leak-kinds=definite,indirect --suppressions="$root/Tests/c/valgrind.supp" --gen-suppressions=all)
    [ -e "$root/Tests/c/valgrind.supp" ] || check=("${check[@]/--suppressions=*/--num-callers=30}")
    "${check[@]}" "$out/pkgconfig/generate" "$model" "$prompt" 8 || return 1
    "${check[@]}" "$out/pkgconfig/generate" "$model" "$prompt" 8 77 || return 1
    "${check[@]}" "$out/pkgconfig/generate" /no-such-folder "$prompt"
    [ $? = 1 ] || return 1
    "${check[@]}" "$out/pkgconfig/vision" "$model" "$fixtures/tiny-kimi-expected/vision/wide.png" What 4 1 || return 1
    printf 'Hello\nAgain\n' | "${check[@]}" "$out/pkgconfig/chat" "$model" instant 4 1 &&
        "${check[@]}" "$out/pkgconfig/tools" "$model" "$root/Examples/c" \
            '{"messages": [{"role": "user", "content": "Hello"}], "tool_choice": "required", "reasoning_budget": 4, "max_tokens": 60}' 1 &&
        "${check[@]}" "$out/pkgconfig/swarm" -s 1 -n 3 -a "{$(swarm_options agents)}" -t "$out/valgrind.trace" \
            "$model" "$(swarm_folder)" "{\"messages\": [{\"role\": \"user\", \"content\": \"Look.\"}], $(swarm_options main)}"
}

python_environment() { # folder, python, options of venv
    local folder=$1 python=$2
    shift 2
    "$python" -m venv "$@" "$folder" || return 1
    # From a copy: setuptools leaves its build folders beside the sources.
    rm -rf "$out/python-source"
    cp -r "$root/Bindings/Python" "$out/python-source"
    "$folder/bin/pip" install --quiet "$out/python-source" ||
        "$folder/bin/pip" install --quiet --no-build-isolation "$out/python-source"
}
python_tests() { # python
    (cd "$root/Tests/python" && KIMI_TEST_INSTALLED=1 KIMI_LIBRARY=$build/libkimi.so PYTHONDONTWRITEBYTECODE=1 \
        "$1" -m unittest -v 2>&1)
}
# Without NumPy, as pip installs it.
test_python() {
    python_environment "$out/venv" python3 && ! "$out/venv/bin/python" -c 'import numpy' 2>/dev/null &&
        KIMI_LIBRARY=$prefix/lib/libkimi.so.1 check_example "$out/venv/bin/python" "$root/Examples/python/generate.py" &&
        python_tests "$out/venv/bin/python"
}
# With NumPy and PIL, where the system has them: the python that is found first may be one that knows nothing of Debian's packages.
test_python_numpy() {
    local python= candidate
    for candidate in python3 /usr/bin/python3; do
        "$candidate" -c 'import numpy, PIL' && { python=$candidate; break; }
    done
    if [ -z "$python" ]; then
        echo "no python3 here has NumPy and PIL; only the tests without them were run"
        return 0
    fi
    python_environment "$out/venv-numpy" "$python" --system-site-packages && python_tests "$out/venv-numpy/bin/python"
}

run abi
run hostile
run contract
run allocations
run cycles
run install
run pkgconfig
run cmake
run luajit
run valgrind
run python
run python_numpy
run conversation_c
run conversation_python

echo "interface: $passed passed, $failed failed"
[ $failed = 0 ]
