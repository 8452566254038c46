# tour FILE FOLDER [SED]: writes README.md's tour as a script that works in FOLDER and runs this binary; SED may shrink
# it.
tour() {
    awk '/^## A tour/ { there = 1 } there && /^```sh/ { inside = 1; next } inside && /^```/ { exit } inside' \
        "$MNEMO_SOURCE_DIR/README.md" |
        sed "s#/tmp/#$2/#g; s#PATH=\$PWD/build:#PATH=$(dirname "$mnemo"):#; ${3:-}" >"$1"
}

# tour_told OUTPUT ERRORS: whether a tour's output holds what its commands promise, and its errors hold no failure.
tour_told() {
    [ "$(grep -cx ' The secret number of Paris is 77120.' "$1")" = 6 ] ||
        fail 'the tour does not answer six times:' "$(cat "$1")"
    for line in '^  "finish": "length",$' '^Once upon a time' '^architecture    mnemo$' \
        '^general.architecture (string) = "mnemo"$' \
        '^token_embd.weight  f16 ' '(used)$' '^window 8192, trained 512, factor 16$' 'a window of 1024000 tokens' \
        '^ The pass key is 48213\.' '^peak memory ' '^bigbird:block,w,g,r ' '^loss     1.85748 nats per token$' \
        '^params   32.19B'; do
        grep -q -- "$line" "$1" || fail "the tour does not say $line:" "$(cat "$1")"
    done
    ! grep -E '^mnemo [a-z]+: |: line [0-9]+: ' "$2" || fail 'the tour fails'
}
