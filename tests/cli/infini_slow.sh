# The trained proof at 131072 tokens: the key is answered, and what the session holds is what a short text leaves.
source "${0%/*}/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/infini.gguf

# held TOKENS: answers from a haystack of that length, and prints the memory the session holds.
held() {
    local answer
    "$MNEMO_SOURCE_DIR/tools/haystack.sh" "$1" 70592 0.3 >"$temp/hay"
    answer=$("$mnemo" run -m "$model" -f "$temp/hay" -p 'What is the pass key?' -n 12 2>"$temp/figures")
    [ "$answer" = ' The pass key is 70592.' ] || fail "from $1 tokens:" "$answer"
    grep -o 'KV [0-9.]* [KM]iB' "$temp/figures"
}

short=$(held 4096)
long=$(held 131072)
grep -q 'tokens/s in the first tenth, .* in the last' "$temp/figures" ||
    fail 'no speed at both ends:' "$(cat "$temp/figures")"
[ "$short" = "$long" ] || fail "the session grew: $short after 4096 tokens, $long after 131072"
