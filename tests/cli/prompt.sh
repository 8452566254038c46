#!/usr/bin/env bash
# How a prompt is made and shown: --chat-template, --verbose-prompt, chat --raw, tokenize --chat.
source "$(dirname "$0")/support.bash" "$1"
faults=$MNEMO_SOURCE_DIR/tests/data/faults
templated=$faults/add-eos.gguf plain=$MNEMO_SOURCE_DIR/models/default.gguf

# shown WANTED COMMAND...: what --verbose-prompt writes to standard error, without the figures.
shown() {
    local wanted=$1 got
    shift
    got=$("$@" --verbose-prompt 2>&1 >/dev/null | grep -v '^prompt [0-9]\|^mnemo: \|^the answer')
    [ "$got" = "$wanted" ] || fail "from: $*" 'wanted:' "$wanted" 'got:' "$got"
}
ids() { "$mnemo" tokenize "$@" | tr '\n' ' ' | sed 's/ $//'; }

chat='<s>[user]hi[assistant]'
shown "prompt, 18 tokens:
$chat
ids: $(ids -m "$templated" --special -p '[user]hi[assistant]' | sed 's/ 2$//')" \
    "$mnemo" run -m "$templated" -p hi -n 1 -q
shown "prompt, 4 tokens:
<s>hi
ids: $(ids -m "$templated" -p hi | sed 's/ 2$//')" "$mnemo" run -m "$templated" -p hi -n 1 -q --raw

# A template by name, as a file, as itself; for a model with one and for a model without.
printf '{%% for m in messages %%}Q: {{ m.content }}\nA:{%% endfor %%}' >"$temp/qa.jinja"
for template in "$temp/qa.jinja" $'{% for m in messages %}Q: {{ m.content }}\nA:{% endfor %}'; do
    for model in "$templated" "$plain"; do
        got=$("$mnemo" run -m "$model" -p hi -n 1 -q --chat-template "$template" --verbose-prompt 2>&1 >/dev/null)
        [[ $got == *$'\n<s>Q: hi\nA:\nids: 1 '* ]] || fail "$model $template: $got"
    done
done
got=$(printf 'hi\n' | "$mnemo" chat -m "$plain" -n 1 --chat-template chatml --verbose-prompt 2>&1 >/dev/null)
[[ $got == *$'<s><|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n\nids: 1 '* ]] || fail "$got"
expect 2 'mnemo run: there is neither a chat template nor a file called llama9; built in are: alpaca chatml command-r deepseek deepseek2 gemma gpt-oss granite llama2 llama3 llama4 mistral openchat phi3 phi4 rwkv-world vicuna zephyr.' \
    "$mnemo" run -m "$plain" -p hi --chat-template llama9
printf 'a\0b' >"$temp/zero.jinja"
expect 1 "mnemo run: $temp/zero.jinja: holds zero bytes, so it is no chat template." \
    "$mnemo" run -m "$plain" -p hi --chat-template "$temp/zero.jinja"

# A template that is wrong, or refuses: what takes its place.
for wrong in '{{ messages' '{{ raise_exception("no") }}' '{% for i in range(99999999999) %}{% endfor %}'; do
    code=0
    "$mnemo" run -m "$plain" -p hi --chat-template "$wrong" 2>"$temp/err" >"$temp/out" || code=$?
    [ $code = 1 ] && grep -q ' Use --chat-template NAME|FILE, or use --raw\.$' "$temp/err" ||
        fail "$wrong: $code" "$(cat "$temp/err")"
done

# chat --raw: one text of all that was typed and answered.
printf 'Once\nand\n' | "$mnemo" chat -m "$templated" --raw -n 2 --temp 0 --verbose-prompt >"$temp/out" 2>"$temp/err"
grep -q '^<s>Once$' "$temp/err" || fail "$(cat "$temp/err")"
grep -q '^and$' "$temp/err" || fail "$(cat "$temp/err")"
! grep -q '\[user\]' "$temp/err" || fail "$(cat "$temp/err")"
expect 1 'mnemo chat: a system prompt needs a chat template, and --raw leaves it out.' \
    "$mnemo" chat -m "$templated" --raw -sys x

# tokenize --chat: the ids of a conversation in JSON.
printf '[{"role": "user", "content": "hi"}]' >"$temp/talk.json"
[ "$("$mnemo" tokenize -m "$templated" --chat -f "$temp/talk.json")" = \
    "$("$mnemo" tokenize -m "$templated" --special -p '[user]hi[assistant]' | sed '$d')" ] || fail 'tokenize --chat'
[ "$("$mnemo" tokenize -m "$plain" --chat --chat-template vicuna <"$temp/talk.json")" = \
    "$("$mnemo" tokenize -m "$plain" -p 'USER: hi ASSISTANT:')" ] || fail 'tokenize --chat --chat-template'
[ "$("$mnemo" tokenize -m "$plain" --chat --chat-template '{{ tools[0].n }}{{ x }}' \
    -p '{"messages": [], "tools": [{"n": "a"}], "chat_template_kwargs": {"x": "b"}}')" = \
    "$("$mnemo" tokenize -m "$plain" -p ab)" ] || fail 'tokenize --chat with tools'
expect 1 "mnemo tokenize: $plain has no chat template; --chat-template gives one." \
    "$mnemo" tokenize -m "$plain" --chat -f "$temp/talk.json"
expect 1 'mnemo tokenize: message 0 is no object with a "role" that is a string.' \
    "$mnemo" tokenize -m "$templated" --chat -p '[1]'
"$mnemo" tokenize -m "$plain" --chat-template chatml -p x 2>/dev/null && fail '--chat-template without --chat'
"$mnemo" tokenize -m "$plain" --chat --special -p x 2>/dev/null && fail '--chat with --special'
exit 0
