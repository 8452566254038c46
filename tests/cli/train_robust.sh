# A training that is killed, interrupted, out of time, out of disk or without its folder loses at most the steps since
# its last checkpoint: it goes on to the same bits. A loss that is no number stops, with step and tensor named.
source "${0%/*}/support.bash" "$1"
mnemo=$(realpath "$mnemo")
book=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
cd "$temp"
train=("$mnemo" train "$MNEMO_SOURCE_DIR/models/recipes/toy.ini"
    model.vocab-from="$MNEMO_SOURCE_DIR/models/default.gguf"
    source.novel.paths="$book" source.keys.paths="$book" steps=24 warmup=2 batch=2 window=64 checkpoint-steps=2
    validate-steps=8 validation-windows=2 threads=1)

# The tensors stand at the end; in front of them is the date.
same() { cmp <(tail -c 450000 "$1") <(tail -c 450000 "$2") || fail "$2 is not what a run that never stopped gives"; }

"${train[@]}" out=whole.gguf 2>/dev/null

# kill -9 at random moments, ten times at most; then to the end.
seed=$RANDOM
RANDOM=$seed
for i in 1 2 3 4 5 6 7 8 9 10; do
    "${train[@]}" out=killed.gguf 2>/dev/null &
    sleep "0.$(printf %03d $((RANDOM % 300)))"
    kill -9 $! 2>/dev/null || true # it may have come to its end; wait tells
    wait $! 2>/dev/null && break
done
"${train[@]}" out=killed.gguf 2>said || fail "seed $seed: it does not go on:" "$(cat said)"
same whole.gguf killed.gguf

# SIGINT writes a checkpoint and says how to go on; so does the end of the time.
"${train[@]}" out=stopped.gguf steps=100000 2>said &
while [ ! -e stopped.gguf.run/checkpoint.gguf ]; do sleep 0.05; done
kill -INT $!
wait $! || fail 'SIGINT is a failure:' "$(cat said)"
grep -q 'stopped after step [0-9]*; the same command goes on from stopped.gguf.run' said ||
    fail 'not told' "$(cat said)"
"${train[@]}" out=late.gguf steps=100000 max-minutes=0.005 2>said
grep -q 'time is up after step [0-9]*; the same command goes on' said || fail 'no end of the time:' "$(cat said)"
at=$(sed -n 's/.*after step \([0-9]*\);.*/\1/p' said)
"${train[@]}" out=late.gguf steps=$((at + 1)) 2>said
grep -q "going on after step $at" said || fail "not on from $at:" "$(cat said)"

# A disk without room for a checkpoint: the last one stays, and with room it goes on from there.
"${train[@]}" out=full.gguf steps=24 max-minutes=0.0001 2>/dev/null
(trap '' XFSZ && ulimit -f 600 && "${train[@]}" out=full.gguf) 2>said && fail 'a checkpoint without room'
grep -q 'checkpoint.gguf.*: ' said || fail 'not told that the disk is full:' "$(cat said)"
"${train[@]}" out=full.gguf 2>/dev/null
same whole.gguf full.gguf

# The folder vanishes.
code=0
"${train[@]}" out=gone.gguf steps=100000 2>said &
while [ ! -e gone.gguf.run/checkpoint.gguf ]; do sleep 0.05; done
mv gone.gguf.run away
wait $! || code=$?
[ $code = 1 ] && grep -q 'gone.gguf.run' said || fail "exit code $code without the folder:" "$(cat said)"

# Weights that are no numbers: the last bytes of a model are its last matrix.
cp whole.gguf nan.gguf
printf '\377\377\377\377' | dd of=nan.gguf bs=1 seek=$(($(stat -c %s nan.gguf) - 64)) conv=notrunc 2>/dev/null
code=0
"$mnemo" finetune -m nan.gguf --data "$book" --steps 3 -o x.gguf 2>said || code=$?
words='step 1: the loss is -?nan, and tensor [a-z0-9._]+ has a (weight|gradient) that is no number'
[ $code = 1 ] && grep -qE "$words" said || fail "exit code $code:" "$(cat said)"

# A text that is cut while it is read: the file is named, and with it back the same command goes on.
cp "$book" novel.txt
"${train[@]}" source.novel.paths=novel.txt source.keys.paths=novel.txt out=cut.gguf steps=100000 2>said &
while [ ! -e cut.gguf.run/checkpoint.gguf ]; do sleep 0.05; done
: >novel.txt
code=0
wait $! || code=$?
[ $code = 1 ] || fail "exit code $code:" "$(cat said)"
grep -q 'novel.txt: was cut short while it was in use' said || fail 'not told:' "$(cat said)"
cp "$book" novel.txt
"${train[@]}" source.novel.paths=novel.txt source.keys.paths=novel.txt out=cut.gguf steps=100000 \
    max-minutes=0.001 2>said
grep -q 'going on after step' said || fail 'not on:' "$(cat said)"
