# The trained proof at the length of a moment: a pass key many segments back comes out of the memory, wherever it stood.
source "${0%/*}/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/infini.gguf

for depth in 0.02 0.5 0.9; do
    "$MNEMO_SOURCE_DIR/tools/haystack.sh" 4096 70592 $depth >"$temp/hay"
    expect 0 ' The pass key is 70592.' "$mnemo" run -q -m "$model" -f "$temp/hay" -p 'What is the pass key?' -n 12
done

# Behind the same filler without a key there is none to bring back.
"$MNEMO_SOURCE_DIR/tools/haystack.sh" 4096 70592 2 >"$temp/hay"
if "$mnemo" run -q -m "$model" -f "$temp/hay" -p 'What is the pass key?' -n 12 | grep -q 70592; then
    fail 'a key that is not in the text was answered'
fi
