#!/usr/bin/env bash
# mnemo chat: its commands, through a pipe; what fills its window, and how room is made.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
templated=$MNEMO_SOURCE_DIR/tests/data/faults/add-eos.gguf
printf 'The sun was low. The secret number of Paris is 77120. He went home.\n' >"$temp/text.txt"
printf 'The secret number of Oslo is 4711. She laughed.\n' >"$temp/other.txt"

n_text=$("$mnemo" tokenize -m "$model" --no-bos -f "$temp/text.txt" | wc -l)
n_other=$("$mnemo" tokenize -m "$model" --no-bos -f "$temp/other.txt" | wc -l)

# talk CODE ARGUMENT...: the conversation of standard input; leaves $temp/out and $temp/err.
talk() {
    local code=$1 got=0
    shift
    "$mnemo" chat "$@" >"$temp/out" 2>"$temp/err" || got=$?
    [ $got = "$code" ] || fail "chat $*: wanted exit code $code, got $got" "$(cat "$temp/out" "$temp/err")"
}
said() { diff - "$temp/out" >"$temp/diff" || fail 'standard output:' "$(cat "$temp/diff")"; }
told() { diff - "$temp/err" >"$temp/diff" || fail 'standard error:' "$(cat "$temp/diff")"; }
has() { grep -qE -- "$1" "$temp/$2" || fail "wanted: $1" "$(cat "$temp/out" "$temp/err")"; }

talk 1 -m "$model" <<END
/read $temp/text.txt
What is the secret number of Paris?
/save $temp/talk.json
/regen
/never
/read
/read $temp/none
/raed $temp/text.txt
/exit
not read any more
END
said <<END
$temp/text.txt: $n_text tokens; 37 of a window of 4096 are taken
 The secret number of Paris is 77120.
saved 2 messages to $temp/talk.json
 The secret number of Paris is 77120.
END
told <<END
mnemo chat: there is no command /never; /help lists them.
mnemo chat: /read needs a FILE.
mnemo chat: $temp/none: cannot open: No such file or directory.
mnemo chat: there is no command /raed; is /read meant? /help lists them.
END

talk 1 -m "$model" <<END
/load $temp/talk.json
/ctx
What is the secret number of Paris?
/clear
/regen
END
has '^loaded 2 messages$' out
has '^[0-9]+ of 4096 tokens \(1%\)' out
has '^ The secret number of Paris is 77120\.$' out
has 'there is no answer to make again' err
printf '{"messages": [{"role": "user", "content": "x"}], "document": "The secret number of Rome is 31."}' \
    >"$temp/old.json"
talk 0 -m "$model" < <(printf '/load %s\nWhat is the secret number of Rome?\n' "$temp/old.json")
has '^ The secret number of Rome is 31\.$' out
printf '{"messages": [{"role": "king"}]}' >"$temp/bad.json"
talk 1 -m "$model" <<<"/load $temp/bad.json"
told <<<"mnemo chat: $temp/bad.json: message 0 lacks a role or its text."
# /save keeps what is no conversation, and another one; its own it may replace. Blanks and quotation marks around a name
# go.
cp "$temp/text.txt" "$temp/kept.txt"
cp "$temp/talk.json" "$temp/other.json"
: >"$temp/stray.session"
talk 1 -m "$model" <<END
/save $temp/kept.txt
/save $temp/stray
/save $temp/other.json
/read "$temp/text.txt"
/save $temp/own.json 
/read $temp/other.txt
/undo
/save $temp/own.json
/clear
/read $temp/other.txt
/save $temp/own.json
/save! $temp/kept.txt
/save! $temp/own.json
END
another='and is kept; name another file, or /save!'
told <<END
mnemo chat: $temp/kept.txt: holds something else than a conversation, and is kept; name another file.
mnemo chat: $temp/stray.session: is there already and belongs to no conversation $temp/stray; name another file.
mnemo chat: $temp/other.json: holds another conversation (2 messages), $another $temp/other.json.
mnemo chat: $temp/own.json: holds another conversation (0 messages), $another $temp/own.json.
mnemo chat: $temp/kept.txt: holds something else than a conversation, and is kept; name another file.
END
cmp "$temp/text.txt" "$temp/kept.txt"
cmp "$temp/talk.json" "$temp/other.json"
[ ! -s "$temp/stray.session" ] || fail 'an unrelated session was replaced'
grep -q 'number of Oslo' "$temp/own.json" || fail '/save! replaced nothing'

expect 1 "mnemo chat: a system prompt needs a chat template, and this model has none." "$mnemo" chat -m "$model" -sys x
"$mnemo" chat -m "$model" -f - 2>"$temp/err" </dev/null && exit 1 || [ $? = 2 ]

# About a text the likeliest token is taken, as by run; the end of a line may be CRLF; a zero byte is no question.
talk 0 -m "$model" -f "$temp/text.txt" -s 5 < <(printf 'What is the secret number of Paris?\r\n')
said <<<' The secret number of Paris is 77120.'
has "text.txt: $n_text tokens" err
talk 1 -m "$model" -f "$temp/text.txt" < <(printf 'What is\0 it?\nWhat is the secret number of Paris?\n')
said <<<' The secret number of Paris is 77120.'
told < <(echo "$temp/text.txt: $n_text tokens; 37 of a window of 4096 are taken"
    echo 'mnemo chat: a line with a zero byte in it is no question.')

# /ctx, /drop and /undo.
talk 1 -m "$model" <<END
/read $temp/text.txt
/read $temp/other.txt
/ctx
/drop 2
What is the secret number of Paris?
/undo
/drop
/drop
/undo
/drop none
END
said <<END
$temp/text.txt: $n_text tokens; 37 of a window of 4096 are taken
$temp/other.txt: $n_other tokens; 59 of a window of 4096 are taken
59 of 4096 tokens (1%), made for 4096; KV cache 42.0 KiB; 0 messages
  1  the text $temp/text.txt ($n_text tokens)
  2  the text $temp/other.txt ($n_other tokens)
forgot the text $temp/other.txt ($n_other tokens)
 The secret number of Paris is 77120.
forgot the question and its answer: What is the secret number of Paris?
forgot the text $temp/text.txt ($n_text tokens)
END
told <<END
mnemo chat: there is no number 1 to drop; /ctx lists what fills the window.
mnemo chat: there is nothing to take back.
mnemo chat: /drop takes the number of something that /ctx lists, not "none".
END

# A text that leaves no room is refused where it is read, with the flags that help, and the chat goes on.
novel=$MNEMO_SOURCE_DIR/models/demo/pride-and-prejudice.txt
cat "$novel" "$novel" >"$temp/long.txt"
talk 1 -m "$model" <<END
/read $temp/long.txt
/read $temp/text.txt
What is the secret number of Paris?
END
has '^ The secret number of Paris is 77120\.$' out
has "long.txt: is 7[0-9]* tokens, and 0 of the window of 4096 are taken; with 64 for a question it does not fit\. Chat with -c [0-9]+ --rope-scaling yarn\." err
talk 1 -m "$model" -f "$temp/long.txt" </dev/null
has 'long.txt: is 7[0-9]* tokens' err
: >"$temp/empty.txt"
talk 1 -m "$model" <<<"/read $temp/empty.txt"
has 'empty.txt: is empty' err

# With a template every question stays. When the next one does not fit, what /drop would forget is named, and it helps.
for i in $(seq 12); do echo "question number $i, which is long enough to fill a window of 256 tokens soon"
done >"$temp/lines"
talk 1 "$templated" -c 256 -n 8 --temp 0 <"$temp/lines"
has 'with this the conversation is 2[0-9]+ tokens, and the window holds 256\. /drop forgets the question "question number 1, .*\.\.\." and its answer \([0-9]+ tokens\); chat with -c [0-9]+.* has room' err
n=$(wc -l <"$temp/out")
{ head -n $((n + 1)) "$temp/lines"; echo /drop; echo 'one more question'; echo /undo; echo /ctx; } |
    talk 1 "$templated" -c 256 -n 8 --temp 0
[ "$(grep -c 'conversation is' "$temp/err")" = 1 ] || fail 'dropping made no room:' "$(cat "$temp/err")"
has '^forgot the question "question number 1' out
has '^forgot the question and its answer: one more question' out
printf 'Hello there.\n' >"$temp/hello.txt"
talk 0 "$templated" -n 4 --temp 0 -sys 'Be brief.' <<END
/read $temp/hello.txt
/ctx
What?
/save $temp/t.json
/ctx
/load $temp/t.json
/drop 1
/ctx
END
has '^  1  the text .*hello.txt' out
has '^  2  the question "What\?" and its answer' out
[ "$(grep -c 'the text .*hello.txt' "$temp/out")" = 3 ] || fail "$(cat "$temp/out")"

# A conversation with bytes that are no UTF-8 is kept and comes back.
printf 'caf\xe9 \x80\n' >"$temp/latin"
talk 0 "$templated" -n 4 --temp 0 < <(cat "$temp/latin"; echo "/save $temp/bytes.json")
grep -q '"bytes": "caf' "$temp/bytes.json" || fail "$(cat "$temp/bytes.json")"
talk 0 "$templated" -n 4 --temp 0 < <(echo "/load $temp/bytes.json"; echo /undo)
LC_ALL=C grep -q "$(printf 'forgot .*caf\xe9 \x80')" "$temp/out" || fail "$(cat "$temp/out")"

# An answer that nothing ends, ends; one in a circle says so.
talk 0 -m "$model" -s 1 -r zzzz < <(echo 'the the the the the')
[ "$(wc -c <"$temp/out")" -lt 3000 ]
