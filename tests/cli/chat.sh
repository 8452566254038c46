#!/usr/bin/env bash
# mnemo chat: its commands, through a pipe.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
printf 'The sun was low. The secret number of Paris is 77120. He went home.\n' >"$temp/text.txt"
talk() { "$mnemo" chat -m "$model" --temp 0; }

expect 0 "$temp/text.txt: $("$mnemo" tokenize -m "$model" --no-bos -f "$temp/text.txt" | wc -l) tokens of a window of 4096
 The secret number of Paris is 77120.
saved 2 messages to $temp/talk.json
 The secret number of Paris is 77120.
there is no command /never; /help lists them.
/read needs a FILE.
$temp/none: cannot open: No such file or directory." talk <<END
/read $temp/text.txt
What is the secret number of Paris?
/save $temp/talk.json
/regen
/never
/read
/read $temp/none
/exit
not read any more
END

out=$(talk <<END
/load $temp/talk.json
/ctx
What is the secret number of Paris?
/clear
/regen
END
)
[[ $out == *'loaded 2 messages'*'of 4096 tokens ('*' The secret number of Paris is 77120.'*'there is no answer to make again.'* ]] ||
    fail "$out"
printf '{"messages": [{"role": "king"}]}' >"$temp/bad.json"
expect 0 "$temp/bad.json: message 0 lacks a role or its text." talk <<<"/load $temp/bad.json"
expect 1 "mnemo chat: a system prompt needs a chat template, and this model has none." "$mnemo" chat -m "$model" -sys x
