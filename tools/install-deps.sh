#!/usr/bin/env bash
# install-deps.sh [build|test|all]: installs, from Debian's own packages, what this machine lacks to build and run
# mnemo; to run its tests as well; or to run all that continuous integration runs (the default).
set -euo pipefail
build=(gcc make cmake pkg-config libpcre2-dev libutf8proc-dev libjansson-dev libxxhash-dev libnlopt-dev libinih-dev
       liblapack-dev libblas-dev
       libedit-dev libxml2-dev libarchive-dev poppler-utils libsqlite3-dev libpq-dev libcurl4-openssl-dev libstemmer-dev
       libcmocka-dev)
test=(mold postgresql qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
all=(clang libclang-rt-14-dev clang-format-14 git)
case ${1:-all} in
build) packages=("${build[@]}") ;;
test) packages=("${build[@]}" "${test[@]}") ;;
all) packages=("${build[@]}" "${test[@]}" "${all[@]}") ;;
*) echo "usage: tools/install-deps.sh [build|test|all]" >&2; exit 2 ;;
esac
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing: ${missing[*]}"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "run as root, or install by hand: apt-get install ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
