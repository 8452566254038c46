# Everything a person types. CMake does the work; this file only names it.
BUILD ?= build
JOBS ?= $(shell nproc)
# ON: a warning is an error, as in continuous integration.
WERROR ?= OFF

MAKEFLAGS += --no-print-directory

.PHONY: all deps demo demo-train bench check ci clean models models-check
.PHONY: test test-slow test-emulated test-asan test-asan-quick test-tsan

all:
	@tools/install-deps.sh $(PACKAGES)
	@cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release -DMNEMO_WERROR=$(WERROR) >$(BUILD).log 2>&1 || \
	    { cat $(BUILD).log; exit 1; }
	@grep -E '^--   |^-- mnemo' $(BUILD).log; rm -f $(BUILD).log
	@cmake --build $(BUILD) -j $(JOBS) --target $(TARGETS)

# The program alone, or the tests too.
PACKAGES = build
TARGETS = mnemo
test test-slow test-emulated: PACKAGES = test
test test-slow test-emulated: TARGETS = all

# Installs the Debian packages for everything here, tests and checks too. Other targets install what they need.
deps:
	@tools/install-deps.sh all

demo: all
	@tools/demo.sh $(BUILD)/mnemo

.PHONY: demo-read
demo-read: all
	@tools/demo-read.sh $(BUILD)/mnemo

.PHONY: demo-agent
demo-agent: all
	@tools/demo-agent.sh $(BUILD)/mnemo

demo-train: all
	@tools/demo-train.sh $(BUILD)/mnemo

test: all
	@ctest --test-dir $(BUILD) -j $(JOBS) -LE slow --output-on-failure

test-slow: all
	@ctest --test-dir $(BUILD) -L slow --output-on-failure

# The tests on emulated processors alone; they are part of `make test`.
test-emulated: all
	@ctest --test-dir $(BUILD) -j $(JOBS) -L emulated --output-on-failure

# With sanitizers: of addresses and undefined behaviour, the whole fast suite or what takes little time of it; of
# threads, the tests that start some. The first are built by clang where it is, so that two compilers see everything.
test-asan test-asan-quick: SANITIZE = address,undefined
test-asan test-asan-quick: SANITIZED_BY = $(firstword $(shell command -v clang 2>/dev/null) cc)
test-tsan: SANITIZED_BY = cc
test-asan test-asan-quick: SANITIZED = $(BUILD)-asan
test-asan test-asan-quick: TARGETS = all
test-tsan: SANITIZE = thread
test-tsan: SANITIZED = $(BUILD)-tsan
test-tsan: TARGETS = mnemo fast-tests

OTHER_LEVELS = /(generic|avxvnni|avx512|avx512bf16|amx)$$
LONG_WITH_ASAN = ^(attention/(dynamic|fla|mla|patt)|session/([abkw]|d[er]|ea|go|m[el]|pos|seg|st[er])|train/(m|ta|tr))
LONG_WITH_TSAN = ^(attention/(dynamic|flash_b)|eval/rou|session/([ab]|deep|dr|ea|kv|me|mla|pos|seg|snap|st|win)|train/)

.PHONY: sanitized
sanitized:
	@tools/install-deps.sh build
	@cmake -S . -B $(SANITIZED) -DCMAKE_C_COMPILER=$(SANITIZED_BY) -DCMAKE_BUILD_TYPE=Debug \
	    -DCMAKE_C_FLAGS_DEBUG="-O1 -g1" -DMNEMO_SANITIZE=$(SANITIZE) -DMNEMO_WERROR=$(WERROR) >/dev/null
	@cmake --build $(SANITIZED) -j $(JOBS) --target $(TARGETS)

test-asan: sanitized
	@ASAN_OPTIONS=allocator_may_return_null=1 ctest --test-dir $(SANITIZED) -j $(JOBS) -LE 'slow|style' --output-on-failure

test-asan-quick: sanitized
	@ASAN_OPTIONS=allocator_may_return_null=1 MNEMO_TEST_QUICK=1 ctest --test-dir $(SANITIZED) -j $(JOBS) \
	    -LE 'slow|style|cli' -E '$(OTHER_LEVELS)|$(LONG_WITH_ASAN)' --output-on-failure

test-tsan: sanitized
	@MNEMO_TEST_QUICK=1 ctest --test-dir $(SANITIZED) -j $(JOBS) -L threads -LE slow \
	    -E '$(OTHER_LEVELS)|$(LONG_WITH_TSAN)' --output-on-failure

# How the sources look: also part of `make test`.
check:
	@for check in tools/check-*.sh; do $$check || [ $$? -eq 77 ] || exit 1; done

# What continuous integration runs, each stage with its time.
ci:
	@.ci/run

# The models that ship, from nothing: hours. Then whether those in models/ do what their card states: minutes.
models: all
	@tools/make-models.sh $(BUILD)/mnemo $(BUILD)/models

models-check: all
	@tools/measure-models.sh $(BUILD)/mnemo || [ $$? -eq 77 ]

bench: all
	@tools/bench.sh $(BUILD)/mnemo

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan
