#!/usr/bin/env bash
# mnemo attn: figures of a pattern, its picture, and what it says of wrong ones.
source "$(dirname "$0")/support.bash" "$1"

expect 0 'window:W: the last W keys, the query'\''s own included (needs training)
Beltagy et al. 2020 (arXiv:2004.05150); Jiang et al. 2023 (arXiv:2310.06825)
256 tokens in blocks of 64: 7 of 10 blocks kept (70.0 %)
#
# #
. # #
. . # #
# kept, + partly, : a little, . left out; a mark is 64 x 64 tokens' "$mnemo" attn show window:65 -n 256

expect 0 'sinks:S,W: the first S keys and the last W, positions counted among these (training-free)
Xiao et al. 2023 (arXiv:2309.17453)
10 tokens in blocks of 64: 1 of 1 blocks kept (100.0 %)
3.4 keys seen by a query, on average
#
# #
# # #
# # # #
# . # # #
# . . # # #
# . . . # # #
# . . . . # # #
# . . . . . # # #
# . . . . . . # # #
# kept, + partly, : a little, . left out; a mark is 1 x 1 tokens' "$mnemo" attn show sinks:1,3 -n 10
[ "$(COLUMNS=40 "$mnemo" attn show full --bidirectional -n 100000 | grep -c '^\(# \)\{17\}#$')" = 18 ]

"$mnemo" attn show shifted-sparse:128 --shifted -n 256 >"$temp/shifted"
diff <(sed -n '4,7p' "$temp/shifted") - <<'END' || fail 'the shifted half is another'
#
. #
. # #
. . . #
END

expect 2 'mnemo attn: "windw:3" is no attention pattern. There are: full causal window:W global:G random:R,seed bigbird:block,w,g,r longformer:w,g,dilation sinks:S,W sinks-abs:S,W shifted-sparse:G quest:page,budget xattention:stride,mass moba:block,topk snapkv:window,budget linear infini:S,update,gate.' \
    "$mnemo" attn show windw:3
expect 1 'mnemo attn: quest:16,512 has no picture of its own: what it keeps depends on the queries and keys of a text.' \
    "$mnemo" attn show quest:16,512
"$mnemo" attn show window:0 2> /dev/null && exit 1 || [ $? = 2 ]
"$mnemo" attn show 2> /dev/null && exit 1 || [ $? = 2 ]
"$mnemo" attn show full -n 0 2> /dev/null && exit 1 || [ $? = 2 ]

# BigBird's encoder, 16 blocks: 2 full rows, 2 of 4 + r, 12 of 5 + r.
"$mnemo" attn show bigbird -n 1024 --bidirectional --json --svg "$temp/mask.svg" > "$temp/mask.json"
grep -q '"blocks_kept": 142,' "$temp/mask.json"
grep -q '"blocks": 256,' "$temp/mask.json"
grep -q '55.5 % of the blocks kept' "$temp/mask.svg"
"$mnemo" attn list > "$temp/list"
grep -qE "^quest:page,budget +training-free +decode only " "$temp/list" ||
    fail "no traits of quest:" "$(cat "$temp/list")"
grep -qE "^infini:S,update,gate +needs training +always " "$temp/list" ||
    fail "no traits of infini:" "$(cat "$temp/list")"
[ "$("$mnemo" attn list | wc -l)" = "$("$mnemo" attn list --json | grep -c '"name"')" ]
