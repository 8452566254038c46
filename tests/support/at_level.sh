#!/usr/bin/env bash
# at_level.sh MNEMO LEVEL COMMAND...: runs a test at one level of instructions; 77, "skipped", where this processor
# lacks it.
set -euo pipefail
mnemo=$1 level=$2
shift 2
levels=$("$mnemo" info --cpu)
grep -q "^$level\b" <<<"$levels" ||
    { echo "skipped: this processor has no $level, only: ${levels//$'\n'/, }"; exit 77; }
MNEMO_TEST_LEVEL=$level exec "$@"
