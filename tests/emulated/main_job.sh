#!/usr/bin/env bash
# main_job.sh CPU LEVEL MNEMO: on an emulated processor the program starts, finds that processor's level, and answers a
# question about a text.
. "$(dirname "$0")/../cli/support.bash" "$3"
cpu=$1 level=$2
command -v qemu-x86_64 >/dev/null || { echo 'skipped: no qemu-x86_64 here; make deps installs it'; exit 77; }
emulated() { qemu-x86_64 -cpu "$cpu" "$mnemo" "$@" 2>"$temp/err" || fail "exit code $?" "$(cat "$temp/err")"; }

emulated info --cpu >"$temp/levels"
grep -qx "$level (used)" "$temp/levels" || fail "$cpu does not use $level but:" "$(cat "$temp/levels")"
echo 'The sun was low and the road was long. The secret number of Paris is 77120. He went home.' >"$temp/note"
answer=$(emulated run -q -m "$MNEMO_SOURCE_DIR/models/default.gguf" -f "$temp/note" \
    -p 'What is the secret number of Paris?')
[ "$answer" = ' The secret number of Paris is 77120.' ] || fail "$cpu answers: $answer"
