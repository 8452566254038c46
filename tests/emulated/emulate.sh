#!/usr/bin/env bash
# emulate.sh EMULATOR PROGRAM TEST [FUNCTION]: runs a test, or one function of it, on an emulated processor, at the best
# level that the processor has and with some of many like cases; 77, "skipped", where there is no emulator, or nothing
# was compiled for it.
set -euo pipefail
read -ra emulator <<<"$1"
program=$2 test=$3 function=${4:-}
command -v "${emulator[0]}" >/dev/null || { echo "skipped: no ${emulator[0]} here; make deps installs it"; exit 77; }
[ -x "$program" ] || { echo "skipped: $program was not built"; exit 77; }
export MNEMO_TEST_LEVEL=best MNEMO_TEST_QUICK=1
[ "$function" ] || exec "${emulator[@]}" "$program" "$test"
result=0
said=$(MNEMO_TEST_ONLY=$function "${emulator[@]}" "$program" "$test" 2>&1) || result=$?
echo "$said"
grep -qE "OK \] $function$|^$function: passed$" <<<"$said" || { echo "$function did not run"; exit 1; }
exit $result
