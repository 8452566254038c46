# mnemo bench: tables and JSON of its three measurements; figures are not looked at.
. "$(dirname "$0")/support.bash"
model=$MNEMO_SOURCE_DIR/models/default.gguf

"$mnemo" bench -m "$model" -d 0,300 -p 16 -n 4 -r 1 >"$temp/depths"
grep -Eq '^ *depth +prefill tokens/s' "$temp/depths" || fail 'no table of depths' "$(cat "$temp/depths")"
grep -Eq '^ +300 ' "$temp/depths" || fail 'no row of depth 300'

"$mnemo" bench -m "$model" -d 64 -p 0 -n 4 -r 1 >"$temp/depths"
grep -Eq '^ +64 +- +[0-9]' "$temp/depths" || fail 'what was not measured has a figure:' "$(cat "$temp/depths")"

"$mnemo" bench -m "$model" --sessions 1,3 -d 200,400 -n 4 -r 2 >"$temp/sessions"
[ "$(grep -Ec '^ +(200|400) +[13] .* x +[0-9.]+$' "$temp/sessions")" = 4 ] ||
    fail 'not four rows' "$(cat "$temp/sessions")"

"$mnemo" bench -m "$model" --sessions 2,1 -d 200 -n 4 -r 1 --json >"$temp/json"
for key in '"sessions": 2' '"depth": 200' '"decode_tps"' '"decode_tps_min"' '"times_one_session"' '"machine"' \
    '"model"' '"settings"'; do
    grep -q "$key" "$temp/json" || fail "no $key in the JSON of sessions"
done

for wrong in '0' '1,x' ''; do
    ! "$mnemo" bench -m "$model" --sessions "$wrong" 2>"$temp/error" || fail "--sessions $wrong was taken"
done
expect 2 'mnemo bench: --sessions does not take "1,x" (wanted: at most 64 numbers of 1 to 1099511627776, with commas between).' \
    "$mnemo" bench -m "$model" --sessions 1,x
expect 2 'mnemo bench: --sessions decodes: it wants -n from 1 up, and less than 2^31 sessions.' \
    "$mnemo" bench -m "$model" --sessions 2 -n 0

"$mnemo" bench -m "$model" --train -p 32 -r 1 >"$temp/train"
grep -Eq '^[0-9]+ tokens/s, [0-9.]+ % of [0-9]+ GFLOP/s' "$temp/train" ||
    fail 'no speed of training' "$(cat "$temp/train")"
grep -Eq '^products +[0-9.]+ +[0-9.]+ +[0-9.]+%$' "$temp/train" || fail 'no row of products' "$(cat "$temp/train")"
"$mnemo" bench -m "$model" --train -p 32 -r 1 --json >"$temp/json"
for key in '"tokens_per_s"' '"peak_share"' '"planned_bytes"' '"kind": "attention"'; do
    grep -q "$key" "$temp/json" || fail "no $key in the JSON of training"
done
expect 2 'mnemo bench: --train trains on -p tokens: 1 or more.' "$mnemo" bench -m "$model" --train -p 0

# Where the time goes: all kinds that a plain model has, in text, JSON and a picture; Quest's first two layers apart.
"$mnemo" bench -m "$model" -d 600 -p 16 -n 4 -r 1 --attn quest:16,64 --profile --svg "$temp/profile.svg" \
    >"$temp/profile"
for wanted in '^prefill: 16 tokens in' '^decode: 4 tokens in' '^0-1 +attention ' '^0-1 +MLP ' '^2-3 +choice of keys ' \
    '^output +products ' '^all +all .* 100\.0%' '  100%, [0-9.]+%$'; do
    grep -Eq "$wanted" "$temp/profile" || fail "no line like $wanted" "$(cat "$temp/profile")"
done
grep -q 'Where the time goes' "$temp/profile.svg" || fail 'no picture of a profile'
"$mnemo" bench -m "$model" -d 64 -p 16 -n 4 -r 1 --profile --json >"$temp/json"
for key in '"prefill_profile"' '"decode_profile"' '"floor_ms"' '"decode_keys_read": 1.0'; do
    grep -q "$key" "$temp/json" || fail "no $key in the JSON" "$(cat "$temp/json")"
done

# CPU time is one thread's.
"$mnemo" bench -m "$model" -d 64 -p 0 -n 2 -r 1 -t 1 --profile --cpu-time >"$temp/profile"
grep -Eq '^decode: 2 tokens in [0-9.]+ ms of CPU time$' "$temp/profile" || fail 'CPU time:' "$(cat "$temp/profile")"
expect 2 'mnemo bench: --cpu-time counts what one thread computes, and there are 2; use -t 1.' \
    "$mnemo" bench -m "$model" -d 64 -t 2 --profile --cpu-time
"$mnemo" bench -m "$model" --cpu-time 2>"$temp/err" && fail '--cpu-time alone was taken'
grep -q 'mnemo bench: --cpu-time is about what --profile says: give both.' "$temp/err" || fail "$(cat "$temp/err")"

# Layers of which each does as much as the next, and the last three times the first: none is left out.
"$mnemo" bench -m "$model" -d 1500 -p 0 -n 2 -r 1 --profile \
    --attn-layers 0=window:256,1=window:448,2-3=window:704 >"$temp/profile"
for wanted in '^0-1 +attention ' '^2-3 +attention '; do
    grep -Eq "$wanted" "$temp/profile" || fail "no line like $wanted" "$(cat "$temp/profile")"
done

# A text in the place of repeated rows: a pattern that looks at keys leaves some out.
novel=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
"$mnemo" bench -m "$model" -f "$novel" -d 700,1500 -p 128 -n 4 -r 1 --attn xattention:8,0.5 >"$temp/text"
grep -Eq '^ +1500 +[0-9.]+ .* - +- +[0-9]{2}(\.[0-9]+)?%, 100%$' "$temp/text" ||
    fail 'no share of keys' "$(cat "$temp/text")"
! "$mnemo" bench -m "$model" -f "$MNEMO_SOURCE_DIR/README.md" -d 90000 2>"$temp/error" || fail 'a short text was taken'
grep -q 'the largest depth wants 90512: give a longer one' "$temp/error" || fail 'error:' "$(cat "$temp/error")"

# Models whose layers, or whose last one, attend to nothing.
for tiny in mamba2 lfm2moe; do
    "$mnemo" bench -m "$MNEMO_SOURCE_DIR/tests/data/golden/tiny-$tiny.gguf" -d 0,64 -p 16 -n 4 -r 1 >"$temp/depths" ||
        fail "bench of $tiny failed"
    grep -Eq '^ +64 ' "$temp/depths" || fail "no row of depth 64 of $tiny"
done

# Weights of experts that lie on the disk alone; where the folder for temporary files lies in memory they cannot.
expect 1 "mnemo bench: $model: has no experts that could be dropped from memory." \
    "$mnemo" bench -m "$model" -d 0 -p 0 -n 2 -r 1 --cold
"$mnemo" convert "$model" "$temp/experts.gguf" --experts 8,2 2>/dev/null
if "$mnemo" bench -m "$temp/experts.gguf" -d 0 -p 0 -n 2 -r 1 --cold --experts-on-disk >"$temp/cold" 2>&1; then
    grep -Eq '^ +0 +- +[0-9]' "$temp/cold" || fail 'no figure of a cold model:' "$(cat "$temp/cold")"
else
    grep -q 'bytes of experts stay in memory' "$temp/cold" || fail "$(cat "$temp/cold")"
fi
