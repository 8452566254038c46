# Everything a person types. CMake does the work; this file only names it.
BUILD ?= build
JOBS ?= $(shell nproc)

MAKEFLAGS += --no-print-directory

.PHONY: all deps demo test test-slow test-emulated test-asan bench clean

all:
	@tools/install-deps.sh $(PACKAGES)
	@cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }
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

test: all
	@ctest --test-dir $(BUILD) -j $(JOBS) -LE slow --output-on-failure

test-slow: all
	@ctest --test-dir $(BUILD) -L slow --output-on-failure

# The tests on emulated processors alone; they are part of `make test`.
test-emulated: all
	@ctest --test-dir $(BUILD) -j $(JOBS) -L emulated --output-on-failure

test-asan:
	@tools/install-deps.sh build
	@cmake -S . -B $(BUILD)-asan -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g" \
	    -DMNEMO_SANITIZE=address,undefined >/dev/null
	@cmake --build $(BUILD)-asan -j $(JOBS)
	@ASAN_OPTIONS=allocator_may_return_null=1 ctest --test-dir $(BUILD)-asan -j $(JOBS) -LE slow --output-on-failure

bench: all
	@tools/bench.sh $(BUILD)/mnemo

clean:
	rm -rf $(BUILD) $(BUILD)-asan
