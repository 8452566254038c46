# mnemo read: index, search, ask and show; what changed, what is gone, what cannot be read; export and import.
source "$(dirname "$0")/support.bash"
cd "$temp"

if "$mnemo" read show 2>&1 | grep -q 'no graph reader'; then
    echo 'skipped: this build has no graph reader'
    exit 77
fi

mkdir docs docs/deep
printf '# Tolkien\n\nJohn Ronald Reuel Tolkien was an English writer. He was born in Bloemfontein.\n' >docs/tolkien.md
printf 'Bloemfontein is a city in the Free State.\n\nIt lies 1395 m above the sea. It is the city of roses.\n' \
    >docs/deep/city.txt
cp docs/deep/city.txt docs/twin.txt
printf '\x89PNG\r\n\x1a\n....' >docs/picture.png
has '2 new, 0 changed.* 1 left out; the store holds 2 documents' "$mnemo" read index docs --store s.db
has 'Left out: .*PNG' "$mnemo" read index docs --store s.db
has 'twin.txt holds the same text|city.txt holds the same' "$mnemo" read index docs --store t.db
has '0 new, 0 changed, 2 as before' "$mnemo" read index docs --store s.db

# Places are bytes of the file.
"$mnemo" read search --store s.db -q 'How high is the city where Tolkien was born?' -k 2 --json >found.json
python3 - <<'EOF' || fail 'search --json'
import json
found = json.load(open('found.json'))['results']
assert len(found) == 2, found
for r in found:
    data = open(r['file'], 'rb').read()
    assert data[r['begin']:r['end']].decode() == r['text'], r
assert {r['file'] for r in found} == {'docs/tolkien.md', 'docs/deep/city.txt'}
assert found[0]['score'] >= found[1]['score']
EOF
"$mnemo" read ask --store s.db -q 'How high is Bloemfontein?' --json >answer.json
python3 - <<'EOF' || fail 'ask --json'
import json
facts = json.load(open('answer.json'))
for c in facts['citations']:
    assert open(c['file'], 'rb').read()[c['begin']:c['end']].decode() == c['text'], c
assert any('1395 m' in c['text'] for c in facts['citations'])
EOF
has '^1\. .*(tolkien|city)' "$mnemo" read search --store s.db -q 'Where was Tolkien born?' --rank pagerank
refuses 2 '--rank is hop or pagerank' "$mnemo" read search --store s.db -q x --rank none
has '^1\. .*tolkien|^1\. .*city' "$mnemo" read search --store s.db -q Bloemfontein

# Vectors beside words: made once, also of a text that came; another model's and another type are refused.
golden=$MNEMO_SOURCE_DIR/tests/data/golden
cp -r docs near
embed=(--embed "$golden/tiny-llama.gguf")
has '[0-9]+ vectors made by' "$mnemo" read index near --store n.db "${embed[@]}"
! "$mnemo" read index near --store n.db "${embed[@]}" 2>&1 | grep 'vectors made' || fail 'made twice'
has '^1\. ' "$mnemo" read search --store n.db -q 'xyzzy plugh' "${embed[@]}"
has 'Nothing in the store' "$mnemo" read search --store n.db -q 'xyzzy plugh'
echo 'Pretoria is a city too.' >near/pretoria.txt
"$mnemo" read index near --store n.db >out
has '1 vectors made by' "$mnemo" read ask --store n.db -q 'Which city?' "${embed[@]}"
refuses 1 'do not go with them: use that model' \
    "$mnemo" read search --store n.db -q x --embed "$golden/tiny-gpt2.gguf"
refuses 1 '\(f32\).* do not go with them' \
    "$mnemo" read index near --store n.db "${embed[@]}" --embed-type f32
refuses 2 'embed-type is f32 or q8_0' "$mnemo" read search --store n.db -q x --embed-type i4
refuses 1 'nowhere.gguf' "$mnemo" read search --store n.db -q x --embed nowhere.gguf
has 'Nothing in the store' "$mnemo" read search --store s.db -q 'xyzzy plugh'
has '"results": \[\]' "$mnemo" read search --store s.db -q '?!' --json
has 'Bloemfontein: [0-9]+ facts' "$mnemo" read show --store s.db 'the BLOEMFONTEIN'
has '^  John Tolkien \([0-9]+\)$' "$mnemo" read show --store s.db Bloemfontein # not his whole name a second time
has '2 documents' "$mnemo" read show --store s.db
"$mnemo" read show --store s.db Bloemfontein --svg key.svg --html key.html
"$mnemo" read show --store s.db -q 'Where was Tolkien born?' --svg walk.svg
python3 - <<'EOF' || fail 'show --svg'
import xml.dom.minidom as x
for f in ('key.svg', 'walk.svg'):
    x.parse(f)
assert 'Bloemfontein' in open('key.html').read() and '<svg' in open('key.html').read()
EOF
refuses 1 'no key' "$mnemo" read show --store s.db 'Atlantis'

# What changes, comes and goes.
printf 'Bloemfontein is a town, and the courts sit there.\n' >docs/deep/city.txt
rm docs/twin.txt docs/tolkien.md docs/picture.png
has '0 new, 1 changed, 0 as before, 1 gone, 0 left out; the store holds 1 doc' "$mnemo" read index docs --store s.db
has 'courts sit' "$mnemo" read search --store s.db -q 'Bloemfontein courts'
refuses 1 'cannot be read' "$mnemo" read index nowhere --store s.db
has '1 documents' "$mnemo" read show --store s.db

# An id that comes twice: the first text stays, also when it is indexed again.
printf '{"id":"a","text":"The first swallow."}\n{"id":"a","text":"The second swallow."}\n' >twice.jsonl
has 'second text with the id a' "$mnemo" read index twice.jsonl --store twice.db
has '0 new, 0 changed, 1 as before' "$mnemo" read index twice.jsonl --store twice.db
has 'The first swallow' "$mnemo" read search --store twice.db -q swallow

# A collection, and a conversation.
cat >c.jsonl <<'EOF'
{"id": "alu", "title": "Al\u00fb", "text": "In Akkadian mythology Al\u00fb is a spirit. Gallu is one too."}
{"id": 7, "title": "Lilu (mythology)", "text": "A lilu is a spirit in Akkadian mythology."}
not json
{"id": "empty"}
EOF
has 'line 3 of c.jsonl is no JSON' "$mnemo" read index c.jsonl --store c.db
has '"file": "7"' "$mnemo" read search --store c.db -q 'What is a lilu?' -k 1 --json
cat >talk.jsonl <<'EOF'
{"id": "m1", "name": "Ann", "session": "1", "time": "2023-05-08", "text": "Which instrument do you play, Bob?"}
{"id": "m2", "name": "Bob", "session": "1", "time": "2023-05-08", "text": "The cello, since I was six."}
{"id": "m3", "name": "Ann", "session": "2", "time": "2023-06-01", "text": "I bought a boat."}
EOF
"$mnemo" read index talk.jsonl --store talk.db >out
has '"file": "m2"' "$mnemo" read search --store talk.db -q 'What instrument does Bob play?' -k 1 --json
has '"speaker": "Ann"' "$mnemo" read search --store talk.db -q 'Who has a boat?' -k 1 --json

# A file whose name is no UTF-8 is found like others.
mkdir odd
echo 'The cellar of Gruen holds forty barrels.' >odd/$'gr\xfcn.txt'
"$mnemo" read index odd --store odd.db >out
has '"file": "odd/gr.*forty barrels' "$mnemo" read search --store odd.db -q 'How many barrels?' --json

# All of it as lines, into another store.
"$mnemo" read export --store c.db >all.jsonl
"$mnemo" read import --store copy.db <all.jsonl >out
"$mnemo" read import --store copy.db <all.jsonl | grep -q '^0 rows' || fail 'a second import adds rows'
spirit() { "$mnemo" read search --store "$1" -q 'spirit Gallu' --json; }
diff <(spirit c.db) <(spirit copy.db)

# A kill at any time while indexing: what is there stays sound, and the next run goes on.
python3 - >many.jsonl <<'EOF'
for i in range(8000):
    print('{"id": "%d", "title": "Town %d", "text": "Town %d lies at river %d."}' % (i, i, i, i % 97))
EOF
for delay in 0.05 0.1 0.2; do
    code=0
    timeout -s KILL $delay "$mnemo" read index many.jsonl --store many.db >out 2>&1 || code=$?
    [ $code -eq 0 ] || [ $code -eq 137 ] || fail "indexing ends with $code:" "$(cat out)"
done
has 'the store holds 8000 documents' "$mnemo" read index many.jsonl --store many.db
has '"file": "4711"' "$mnemo" read search --store many.db -q 'Where does Town 4711 lie?' -k 1 --json

# A disk that is full is a sentence; with room again it goes on, and nothing is lost.
code=0
(ulimit -f 400 && "$mnemo" read index many.jsonl --store full.db >out 2>&1) || code=$?
[ $code = 1 ] && grep -Eq 'full|room|written' out || fail "a full disk ends with $code" "$(cat out)"
has 'the store holds 8000 documents' "$mnemo" read index many.jsonl --store full.db
has '"file": "4711"' "$mnemo" read search --store full.db -q 'Where does Town 4711 lie?' -k 1 --json

# Wrong use, and stores that are none.
refuses 2 'wanted: index' "$mnemo" read nonsense
refuses 2 'files or folders' "$mnemo" read index
refuses 2 'question' "$mnemo" read search --store s.db
refuses 1 'no store' "$mnemo" read search --store none.db -q x
[ ! -e none.db ] || fail 'a search made a store'
echo 'a letter, long enough to be looked at as a file of some kind, and no store at all' >letter.db
refuses 1 'no SQLite file' "$mnemo" read show --store letter.db
