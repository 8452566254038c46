#!/usr/bin/env bash
# run.sh PROGRAM TEST: runs a test that build.sh made, at the level with NEON and with some of many like cases; 77,
# "skipped", where there is no emulator or nothing was made.
set -euo pipefail
command -v qemu-aarch64 >/dev/null || { echo 'skipped: no qemu-aarch64 here; make deps installs it'; exit 77; }
[ -x "$1" ] || { echo "skipped: $1 was not built"; exit 77; }
MNEMO_TEST_LEVEL=best MNEMO_TEST_QUICK=1 exec qemu-aarch64 "$1" "$2"
