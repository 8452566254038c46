#!/usr/bin/env bash
# The model that ships is found beside the binary, under the prefix it is installed to, or in its source.
source "$(dirname "$0")/support.bash" "$1"
unset MNEMO_MODEL
build=$(dirname "$(realpath "$mnemo")")

# named BINARY MODEL: the line that names the model without -m.
named() {
    "$1" tokenize a >"$temp/out" 2>"$temp/err"
    grep -qx "mnemo: no model was named; this is $2 (-m FILE names another)." "$temp/err" ||
        fail "$1: wanted $2, got:" "$(cat "$temp/err")"
}
cmake --install "$build" --prefix "$temp/prefix" >/dev/null
[ -x "$temp/prefix/bin/mnemo" ] || fail "nothing was installed: $(find "$temp/prefix")"
named "$temp/prefix/bin/mnemo" "$temp/prefix/share/mnemo/models/default.gguf"
mkdir "$temp/beside"
cp "$mnemo" "$temp/beside/mnemo"
cp "$MNEMO_SOURCE_DIR/models/default.gguf" "$temp/beside"
named "$temp/beside/mnemo" "$temp/beside/default.gguf"
rm "$temp/beside/default.gguf"
named "$temp/beside/mnemo" "$MNEMO_SOURCE_DIR/models/default.gguf"
ln -s "$mnemo" "$temp/link"
named "$temp/link" "$MNEMO_SOURCE_DIR/models/default.gguf"
MNEMO_MODEL=$MNEMO_SOURCE_DIR/models/infini.gguf "$mnemo" tokenize a 2>"$temp/err" >/dev/null
[ ! -s "$temp/err" ] || fail "$(cat "$temp/err")"
