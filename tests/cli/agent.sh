# mnemo agent: what was said is found again, by words alone and by the shipped model; a turn goes on; wrong use.
source "$(dirname "$0")/support.bash"
cd "$temp"
model=$MNEMO_SOURCE_DIR/models/default.gguf

if "$mnemo" agent 2>&1 </dev/null | grep -q 'has no memory'; then
    echo 'skipped: this build has no memory'
    exit 77
fi

printf 'My dog is called Rex.\nThe secret number of Boston is 48213.\n' | "$mnemo" agent --store a.db >out
[ "$(cat out)" = $'Noted.\nNoted.' ] || fail "$(cat out)"
has 'user: My dog is called Rex\.$' "$mnemo" agent --store a.db -p 'What is my dog called?'
boston='What is the secret number of Boston?'
has '^The secret number of Boston is 48213' "$mnemo" agent --store a.db -m "$model" -p "$boston"
has 'remembered: .*48213' "$mnemo" agent --store a.db --facts -p "$boston"
has '"text":"[0-9-]*, user: My dog is called Rex."' "$mnemo" agent --store a.db --json -p 'What is my dog called?'
has '^12 messages, 12 of them in sight' "$mnemo" agent show --store a.db
"$mnemo" agent show --store a.db --json >show.json
python3 - <<'PY' || fail "$(cat show.json)"
import json
t = json.load(open('show.json'))['tokens']
assert t['all'] == sum(t[k] for k in t if k not in ('all', 'window', 'reserve')) and t['all'] > 0
PY

# Another agent of the store knows nothing of it.
has 'Nothing that was said' "$mnemo" agent --store a.db --name other -p 'What is my dog called?'

# As a file, and as lines.
"$mnemo" agent save --store a.db one.af
has '^1 agents, 2 blocks, 12 messages' "$mnemo" agent load --store d.db one.af
has '^0 agents' "$mnemo" agent load --store d.db one.af
"$mnemo" agent save --store d.db two.af
cmp one.af two.af
has 'My dog is called Rex' "$mnemo" agent --store d.db -p 'What is my dog called?'
"$mnemo" agent export --store a.db >all.jsonl
"$mnemo" agent restore --store e.db <all.jsonl >out
cmp all.jsonl <("$mnemo" agent export --store e.db)
! "$mnemo" agent restore --store e.db <all.jsonl 2>err >out || fail 'a store with agents is restored into'
# With a graph, a walk and vectors in the same store; what is not in the export gets no tables.
printf '# Rome\n\nRome is a city of seven hills.\n' >rome.md
"$mnemo" read index rome.md --store e.db >out
"$mnemo" read ask --store e.db -q 'What is Rome?' >out
"$mnemo" agent search --store e.db -q dog --embed "$MNEMO_SOURCE_DIR/tests/data/golden/tiny-llama.gguf" >out
"$mnemo" agent export --store e.db >both.jsonl
for table in message chunk walk_step vector_item; do
    grep -q "{\"table\":\"$table\"" both.jsonl || fail "no $table"
done
has '[0-9]+ rows restored' bash -c "'$mnemo' agent restore --store f.db <both.jsonl"
cmp both.jsonl <("$mnemo" agent export --store f.db)
has 'rows imported' bash -c "'$mnemo' read import --store g.db <both.jsonl"
cmp both.jsonl <("$mnemo" read export --store g.db)
has 'seven hills' "$mnemo" read search --store f.db -q Rome
"$mnemo" read index rome.md --store h.db >out
"$mnemo" agent export --store h.db >texts.jsonl
"$mnemo" agent restore --store i.db <texts.jsonl >out
cmp texts.jsonl <("$mnemo" agent export --store i.db)
! grep -q memory texts.jsonl || fail 'an export of texts alone names memory'
refuses 1 'no agent file' "$mnemo" agent load --store d.db all.jsonl
refuses 1 'not from this file' "$mnemo" agent load --store a.db one.af

refuses 2 'wanted: nothing, to talk' "$mnemo" agent --store a.db nonsense
refuses 2 'agent undo LABEL' "$mnemo" agent --store a.db undo
refuses 2 'style is auto' "$mnemo" agent --store a.db --style x
refuses 2 'exclude each other' "$mnemo" agent --store a.db -m "$model" --endpoint http://127.0.0.1:1
refuses 1 'no store' "$mnemo" agent show --store none.db
refuses 1 'no earlier value' "$mnemo" agent undo human --store a.db
refuses 1 'needs a model whose chat template' "$mnemo" agent --store a.db --style memgpt -p x
refuses 1 '127.0.0.1' "$mnemo" agent --store b.db --endpoint http://127.0.0.1:1/v1 --window 16000 -p 'Hello?'
# What the endpoint did not answer waits, and is answered by whoever runs the agent next.
has '^Nothing that was said' "$mnemo" agent --store b.db -p ' '
head -c 40000 /dev/urandom >broken.db
refuses 1 'no SQLite file' "$mnemo" agent --store broken.db -p x
printf 'ok\n\xff\nok\n' | "$mnemo" agent --store c.db >out 2>err && fail 'bytes that are no UTF-8 are taken'
grep -q 'no UTF-8' err || fail "$(cat err)"
[ "$(grep -c Noted out)" = 2 ] || fail "$(cat out)"

# A disk that is full: the sentence says so, and what was answered is there; the rest is taken up afterwards.
for i in {1..400}; do printf 'Note %d is about %s.\n' "$i" "$(head -c 300 /dev/zero | tr '\0' x)"; done >notes
code=0
(ulimit -f 2500 && "$mnemo" agent --store full.db <notes >out 2>err) || code=$?
[ $code = 1 ] || fail "a full disk ends with $code" "$(cat err)"
grep -Eq 'full|room|written' err || fail "$(cat err)"
answered=$(grep -c Noted out)
[ "$answered" -gt 5 ] && [ "$answered" -lt 400 ] || fail "$answered notes were answered"
has "user: Note $answered is about" "$mnemo" agent --store full.db -p "What is note $answered about?"
