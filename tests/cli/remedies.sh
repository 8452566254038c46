#!/usr/bin/env bash
# Errors of the library name what would help, the command line adds the flag for it; no text of the library names one.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf

helps() { # helps SENTENCE-END ARGUMENTS...: a failed run whose line ends so.
    local wanted=$1
    shift
    "$mnemo" run -m "$model" -p x -n 1 "$@" >"$temp/out" 2>"$temp/err" && fail "from: $*" 'it did not fail'
    tail -n 1 "$temp/err" | grep -qE -- "$wanted\$" || fail "from: $*" "wanted: ...$wanted" "got: $(cat "$temp/err")"
}
helps ' Use --rope-scaling yarn, or use -c 4096\.' -c 9000
helps ' Use --kv-disk DIR\.' --kv-ram 512m
helps ' Use --kv-ram BYTES, as 512m\.' --kv-disk "$temp"
helps ' Use --kv-ram [0-9]+, or lower -b\.' --kv-disk "$temp" --kv-ram 1
helps ' Leave out --kv-disk\.' --kv-disk "$temp" --kv-ram 512m --attn linear
helps ' Leave out --pos, or leave out --attn and --attn-layers\.' --pos dca --attn window:512
helps ' Use --attn in the place of --attn-layers\.' --attn-layers 0=infini:512
helps ' Use -b 2000\.' --attn snapkv:2000,4000
helps ' Put it into -p\.' --sys hello
helps ' Leave out --raw\.' --raw --sys hello
"$mnemo" run -m "$model" -p 'x y z' -n 1 -q --session "$temp/s" -c 64 >/dev/null
replace=', or use --session-replace, which writes over the file\.'
helps " Use the same -ctk and -ctv$replace" --session "$temp/s" -ctk q8_0
helps " Use the same -c, --rope, --yarn, --pos, --attn and --router flags$replace" --session "$temp/s" --attn window:64

# Strings of the library that name a flag of ours, but for those that the table of techniques shows.
flags=$(for verb in run chat plan logits tokenize attn; do "$mnemo" "$verb" --help; done |
    grep -oE '(^|[ ,])--?[a-z][a-z-]*' | tr -d ' ,' | sort -u | paste -sd '|')
if grep -rnE "\"([^\"]*[ (])?($flags)([ ,;:)=][^\"]*|\.( [^\"]*)?)?\"" "$MNEMO_SOURCE_DIR/src" --include='*.[ch]' |
    grep -v "^$MNEMO_SOURCE_DIR/src/cli/" | grep -vE '\.flag = |/\*' |
    grep -v '/position/position\.c:.*"--rope-scaling'; then
    fail 'a text of the library names a flag of the command line'
fi
