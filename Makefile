# libkimi: `make run` to see it work, `make test` to check everything, `make help` for the rest.

PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
BUILD := .build/release
SWIFT := swift build -c release -j $(JOBS)

# What a fresh Debian 12 needs beside a Swift 6.3 toolchain.
BUILD_PACKAGES := gcc g++ make pkg-config libhwloc-dev libsentencepiece-dev libedit-dev libxxhash-dev liburing-dev \
	libpng-dev libjpeg62-turbo-dev libwebp-dev libgif-dev libmd-dev libavformat-dev libavcodec-dev libswscale-dev libavutil-dev
NUMA_PACKAGES := qemu-system-x86 busybox-static gcc python3
TEST_PACKAGES := binutils cmake valgrind luajit python3 python3-venv python3-numpy python3-jsonschema python3-rfc3987 \
	chromium-headless-shell fonts-dejavu-core python3-skimage python3-pil python3-av

# A crashing test should end at once, not wait for a debugger.
export SWIFT_BACKTRACE = enable=no

.PHONY: help run test build install deps test-deps unit interface reference program loop fuzz fuzz-build sanitize races soak bench-headers numa clean

help:
	@echo 'make run                install what is missing, build, make a small checkpoint, generate text from it'
	@echo 'make test               all tests: Swift, C, Python, Lua, valgrind, Chromium, fuzz (10,000 cases a target)'
	@echo 'make build              libkimi.so and the program, in $(BUILD)'
	@echo 'make install PREFIX=... library, header, pkg-config and CMake files, program `kimi`'
	@echo 'make unit | interface | reference | program | loop    one part of the tests'
	@echo 'make fuzz CASES=...     the fuzzers for longer, under AddressSanitizer'
	@echo 'make sanitize ROUNDS=... all C of the library under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make soak MINUTES=...  everything at once for half an hour: the same tokens, flat memory'
	@echo 'make races             sessions, scheduler and agents under ThreadSanitizer (half an hour with its build)'
	@echo 'make bench-headers      parse the headers of a full-size checkpoint: time and memory'
	@echo 'make numa               the library in emulated machines of 1 to 4 memory nodes: where pages and threads are (ten minutes)'
	@echo 'make clean              remove what was built'

run: build
	@echo '== a small random checkpoint in the published layout'
	@rm -rf build/tiny && mkdir -p build
	@$(BUILD)/kimi-cli synth --geometry tiny build/tiny
	@echo '== what it is'
	@$(BUILD)/kimi-cli inspect build/tiny
	@echo '== generating: its weights are random, so the text is noise; the path is the one of the real checkpoint'
	@$(BUILD)/kimi-cli run build/tiny "Hello, Kimi" --max-tokens 48 --seed 7 --stats
	@echo
	@echo '== next: build/tiny is a checkpoint folder like any other; try'
	@echo '   $(BUILD)/kimi-cli chat build/tiny             a conversation; DIR may be the folder of a published checkpoint'
	@echo '   $(BUILD)/kimi-cli run DIR "your prompt"'
	@echo '   make install PREFIX=$$HOME/.local              and link it: cc app.c $$(pkg-config --cflags --libs kimi)'

build: deps
	@echo '== building libkimi.so and the program'
	@$(SWIFT) --product kimi
	@$(SWIFT) --product kimi-cli

install: build
	@Bindings/c/install.sh '$(PREFIX)' $(BUILD)

# ---------------------------------------------------------------------------------------------------------------------
# Packages: installed where that is allowed, named otherwise.

define need_packages
	@missing=; for package in $(1); do \
		dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
		echo "== missing packages:$$missing"; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; \
		else echo "install them: sudo apt-get install$$missing" >&2; exit 1; fi; fi
endef

deps:
	@command -v swift >/dev/null || { echo 'no Swift toolchain on the PATH: install Swift 6.3 from swift.org' >&2; exit 1; }
	$(call need_packages,$(BUILD_PACKAGES))

test-deps: deps
	$(call need_packages,$(TEST_PACKAGES))

# ---------------------------------------------------------------------------------------------------------------------
# Tests

test: test-deps
	@Tests/run-all.sh

unit: test-deps
	@$(SWIFT) --build-tests
	@swift test -c release --skip-build

interface: test-deps build
	@Tests/run-interface-tests.sh $(BUILD)

reference: test-deps
	@python3 -m unittest discover -s Tests/reference

program: build
	@Tests/program/run.sh $(BUILD)/kimi-cli

loop: test-deps build
	@Tests/loop/run.sh $(BUILD)

CASES ?= 1000000
SEED ?= 1
FUZZ := .build-fuzz/release/KimiFuzz
FUZZ_TARGETS := headers config index tokenizer session prefixes request schema output picture clip dataurl

fuzz-build: deps
	@swift build -c release -j $(JOBS) --scratch-path .build-fuzz --sanitize=address --product KimiFuzz

fuzz: fuzz-build
	@for target in $(FUZZ_TARGETS); do $(FUZZ) --target $$target --cases $(CASES) --seed $(SEED) || exit 1; done

ROUNDS ?= 3000
sanitize: deps
	@Tests/sanitize/run.sh .build-sanitize $(ROUNDS)

MINUTES ?= 30
soak: build
	@mkdir -p build
	@cc -std=c11 -O1 -g -Wall -Wextra -D_GNU_SOURCE -IInclude Tests/c/soak.c Tests/c/support.c Tests/c/swarming.c -o build/soak \
		$(BUILD)/libkimi.so -lpthread -lm
	@ln -sf ../$(BUILD)/libkimi.so build/libkimi.so.1
	@LD_LIBRARY_PATH=build build/soak Tests/Fixtures $(MINUTES)

# No part of `make test`, for its time.
RACES := -c release --sanitize=thread --scratch-path .build-races
races: deps
	@swift build $(RACES) -j $(JOBS) --build-tests
	@TSAN_OPTIONS='halt_on_error=1 abort_on_error=0' swift test $(RACES) --skip-build --filter 'KimiRuntimeTests|KimiAgentTests'

bench-headers: build
	@rm -rf build/k25-headers && mkdir -p build
	@$(BUILD)/kimi-cli synth --geometry k25 --headers-only build/k25-headers
	@bash -c 'time $(BUILD)/kimi-cli inspect build/k25-headers'
	@rm -rf build/k25-headers

# No part of `make test`: emulation takes its time. NUMA_MACHINES names some.
numa: build
	$(call need_packages,$(NUMA_PACKAGES))
	@Tests/numa/run-in-qemu.sh $(BUILD) $(NUMA_MACHINES)

clean:
	rm -rf .build .build-fuzz .build-sanitize .build-races build
