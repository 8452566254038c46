#!/usr/bin/env bash
# build.sh FOLDER: cross-compiles the rooms and tests of this folder's CMakeLists.txt into FOLDER; 77, "skipped", where
# there is no cross compiler.
set -euo pipefail
command -v aarch64-linux-gnu-gcc >/dev/null ||
    { echo 'skipped: no aarch64-linux-gnu-gcc here; make deps installs it'; exit 77; }
cmake -S "$(dirname "$0")" -B "$1" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_EXE_LINKER_FLAGS=-static -DMNEMO_WERROR=ON
cmake --build "$1" -j "$(nproc)"
