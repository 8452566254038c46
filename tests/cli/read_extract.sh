# mnemo read index --extract: facts by a scripted model behind an endpoint; a run that breaks goes on, and what is done
# is asked once.
source "$(dirname "$0")/support.bash"
cd "$temp"
if "$mnemo" read show 2>&1 | grep -q 'no graph reader'; then
    echo 'skipped: this build has no graph reader'
    exit 77
fi
needs_endpoint

# Answers by what stands in the prompt, notes each question in `asked`, and breaks where the file `broken` says.
scripted_endpoint <<'EOF'
def answer(prompt):
    if 'Ada Quill' in prompt:
        return 'Sure! ' + json.dumps({'facts': [
            {'text': 'Ada Quill was born in Merrow in 1892.', 'keys': ['Ada Quill', 'Merrow', '1892', 'Atlantis']},
            {'text': 'The king of Spain owns twelve castles.', 'keys': ['Spain']}]})
    if 'Merrow lies' in prompt:
        return '1. Merrow lies by the sea. | Merrow | sea'
    return 'I cannot help with that.'

def delta(body):
    prompt = body['messages'][-1]['content']
    if os.path.exists('broken') and open('broken').read().strip() in prompt:
        return None
    with open('asked', 'a') as out:
        out.write(prompt.replace('\n', ' ')[:400] + '\n')
    return {'content': answer(prompt)}
EOF
touch asked
index() { "$mnemo" read index towns.jsonl --store t.db --extract --endpoint "$url" "$@"; }
# says PATTERN N: in what index printed, and the questions that were asked so far.
says() { grep -Eq "$1" out && [ "$(wc -l <asked)" = "$2" ] || fail "wanted: $1, $2 questions" "$(cat out asked)"; }

cat >towns.jsonl <<'EOF'
{"id": "writer", "text": "Ada Quill was a writer. She was born in Merrow in 1892."}
{"id": "town", "text": "Merrow lies by the sea. It has a harbour and a school."}
EOF
# The line breaks at the second passage: what came before it stays.
echo 'Merrow lies' >broken
code=0
index >out 2>&1 || code=$?
[ $code = 1 ] || fail "exit code $code" "$(cat out)"
says 'asked 2 times or more' 1
says '1 passages asked about, 0 known; 1 facts with 3 keys \(1 facts and 1 keys not in the text' 1
rm broken
index >out 2>&1
says '1 passages asked about, 1 known; 1 facts' 2
index >out 2>&1
says '0 passages asked about, 2 known' 2

# The fact stands under a name that its sentence leaves out, and citations quote the sentence.
"$mnemo" read ask --store t.db -q 'When was Ada Quill born?' --json >answer.json
python3 - <<'EOF' || fail "$(cat answer.json)"
import json
facts = json.load(open('answer.json'))['citations']
assert any(f.get('fact') == 'Ada Quill was born in Merrow in 1892.' and f['text'] == 'She was born in Merrow in 1892.'
           for f in facts), facts
EOF
has 'Ada Quill was born in Merrow' "$mnemo" read show --store t.db 'Ada Quill'

# A passage that changed is asked about anew; one of no use is given up after complaints and halves.
sed -i 's/ a harbour/ two harbours/' towns.jsonl
index >out 2>&1
says '1 passages asked about, 1 known; 1 facts' 3
echo '{"id": "odd", "text": "Nothing here is of any use. It is a test of patience."}' >>towns.jsonl
index >out 2>&1
grep -q '1 passages given up' out || fail "$(cat out)"
has 'two harbours' "$mnemo" read search --store t.db -q harbours

# Limits end it before they are passed; wrong use.
rm t.db
code=0
index --max-calls 1 >out 2>&1 || code=$?
[ $code = 1 ] && grep -q '1 passages asked about' out || fail "exit code $code" "$(cat out)"
refuses 2 'extract is for index, with a model' "$mnemo" read index towns.jsonl --store t.db --extract
refuses 1 'no chat template' "$mnemo" read index towns.jsonl --store t.db --extract \
    -m "$MNEMO_SOURCE_DIR/models/default.gguf"
