# mnemo agent import and search: messages from lines of JSON, again, broken, and those that answer a question.
source "$(dirname "$0")/support.bash"
cd "$temp"
if "$mnemo" agent import --help 2>&1 | grep -q 'libsqlite3-dev'; then
    echo 'skipped: this build has no memory'
    exit 77
fi

cat >talk.jsonl <<'EOF'
{"id": "D1:1", "name": "Ann", "time": "1:56 pm on 8 May, 2023", "session": "1", "text": "I moved to Rome last week."}
{"id": "D1:2", "name": "Ben", "time": "1:56 pm on 8 May, 2023", "session": "1", "text": "How lovely! Do you like it?"}
{"id": 3, "name": "Ann", "session": 2, "text": "My dog Rex chased a pelican in the park."}
EOF
[ "$("$mnemo" agent import --store m.db talk.jsonl)" = '3 messages new, 0 known before; mnemo remembers 3' ] ||
    fail 'import'
"$mnemo" agent import --store m.db talk.jsonl --json >again.json
grep -q '"new": 0, "known": 3, "changed": 0, "untimed": 0, "messages": 3' again.json || fail 'again' "$(cat again.json)"

"$mnemo" agent search --store m.db -q 'Where did Ann move to?' -k 10 --json >found.json
"$mnemo" agent search --store m.db -q 'Which animal did the dog chase? pelican' -k 1 --json >dog.json
"$mnemo" agent search --store m.db -q 'xyzzy' --json >none.json
python3 - <<'EOF' || fail 'search --json'
import json
found = json.load(open('found.json'))
assert found['question'] == 'Where did Ann move to?'
first = found['results'][0]
assert first['id'] == 'D1:1' and first['text'] == 'I moved to Rome last week.', first
assert first['name'] == 'Ann' and first['session'] == '1' and first['time'] == '2023-05-08T13:56:00Z'
scores = [r['score'] for r in found['results']]
assert scores == sorted(scores, reverse=True)
dog = json.load(open('dog.json'))['results']
assert len(dog) == 1 and dog[0]['id'] == 3 and dog[0]['time'] is None, dog
assert json.load(open('none.json'))['results'] == []
EOF
"$mnemo" agent search --store m.db -q 'Where did Ann move to?' | grep -q '^1. Ann, 2023-05-08 13:56' || fail 'search'
tiny=$MNEMO_SOURCE_DIR/tests/data/golden/tiny-llama.gguf
"$mnemo" agent search --store m.db -q "Where did Ann move to?" -k 2 --embed "$tiny" --json |
    grep -q '"results": \[{"id": ' || fail 'search --embed'
"$mnemo" agent search --store m.db -q 'xyzzy' | grep -q 'No message' || fail 'nothing found'

# A broken line: its number, and what came before it stays. Mended and imported again, it goes on.
printf '{"id": 4, "text": "before"}\n{"id": 5, "text": "cut\n{"id": 6, "text": "behind"}\n' >broken.jsonl
got=$("$mnemo" agent import --store m.db broken.jsonl 2>&1) && fail 'a broken line was taken'
grep -q 'broken.jsonl, line 2:' <<<"$got" || fail 'broken' "$got"
grep -q '1 messages new' <<<"$got" || fail 'broken: what came before' "$got"
sed -i 's/cut/whole"}/' broken.jsonl
"$mnemo" agent import --store m.db broken.jsonl | grep -q '2 messages new, 1 known' || fail 'mended'

# Pipes, other agents, and what is wrong.
"$mnemo" agent import --store m.db --name ben - <talk.jsonl | grep -q '3 messages new' || fail 'another agent'
! "$mnemo" agent search --store m.db --name nobody -q x 2>error || fail 'no such agent'
grep -q 'no agent "nobody"' error || fail "$(cat error)"
! "$mnemo" agent search --store nowhere.db -q x 2>error || fail 'no such store'
[ ! -e nowhere.db ] || fail 'a search made a store'
! "$mnemo" agent import --store m.db nothing.jsonl 2>error || fail 'no such file'
grep -q 'nothing.jsonl cannot be read' error || fail "$(cat error)"
"$mnemo" agent search --store m.db 2>error && fail 'no question'
grep -q 'needs a question' error || fail "$(cat error)"
