#!/usr/bin/env bash
# Installs what the build needs and this machine lacks, from Debian's own packages.
set -euo pipefail
packages=(gcc cmake pkg-config libpcre2-dev libutf8proc-dev libjansson-dev libxxhash-dev libnlopt-dev libinih-dev
          libedit-dev libxml2-dev libarchive-dev poppler-utils libcmocka-dev)
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
