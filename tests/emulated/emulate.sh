#!/usr/bin/env bash
# emulate.sh CPU COMMAND...: runs a test on an emulated processor, at the best level that the processor has and with
# some of many like cases; 77, "skipped", where there is no emulator.
set -euo pipefail
cpu=$1
shift
command -v qemu-x86_64 >/dev/null || { echo 'skipped: no qemu-x86_64 here; make deps installs it'; exit 77; }
MNEMO_TEST_LEVEL=best MNEMO_TEST_QUICK=1 exec qemu-x86_64 -cpu "$cpu" "$@"
