#!/usr/bin/env bash
# emulate.sh CPU PROGRAM TEST [FUNCTION]: runs a test, or one function of it, on an emulated processor, at the best
# level that the processor has and with some of many like cases; 77, "skipped", where there is no emulator.
set -euo pipefail
cpu=$1 program=$2 test=$3 function=${4:-}
command -v qemu-x86_64 >/dev/null || { echo 'skipped: no qemu-x86_64 here; make deps installs it'; exit 77; }
export MNEMO_TEST_LEVEL=best MNEMO_TEST_QUICK=1
[ "$function" ] || exec qemu-x86_64 -cpu "$cpu" "$program" "$test"
result=0
said=$(MNEMO_TEST_ONLY=$function qemu-x86_64 -cpu "$cpu" "$program" "$test" 2>&1) || result=$?
echo "$said"
grep -qF "OK ] $function" <<<"$said" || { echo "$function did not run"; exit 1; }
exit $result
