#!/usr/bin/env bash
# Documents of every kind reach the model, by -f and /read, and what was done to them is said.
source "$(dirname "$0")/support.bash" "$1"
model=$MNEMO_SOURCE_DIR/models/default.gguf
documents=$MNEMO_SOURCE_DIR/tests/fuzz/corpus/document
question='What is the secret number of Paris?'
answer=' The secret number of Paris is 77120.'
fact='The sun was low. The secret number of Paris is 77120. He went home.'

# answers NOTE FILE: the fact comes out of the file, and standard error says the note ("" = only the line of figures).
answers() {
    local note=$1 file=$2 got
    got=$("$mnemo" run -m "$model" -f "$file" -p "$question" 2>"$temp/err") || fail "from: $file" "$(cat "$temp/err")"
    [ "$got" = "$answer" ] || fail "from: $file" "got: $got" "$(cat "$temp/err")"
    if [ -n "$note" ]; then
        grep -qF "mnemo: $file: $note" "$temp/err" || fail "from: $file" "wanted: $note" "$(cat "$temp/err")"
    else
        ! grep -q '^mnemo' "$temp/err" || fail "from: $file" "$(cat "$temp/err")"
    fi
}
cd "$temp"
printf '%s\r\n' "$fact" >dos.txt
answers '' dos.txt
printf '%s\n' "$fact" | iconv -t UTF-16 >wide.txt
answers 'converted from UTF-16 (little-endian) to UTF-8.' wide.txt
printf '%s Ça va? Très bien, merci.\n' "$fact" | iconv -t WINDOWS-1252 >latin.txt
answers 'converted from Windows-1252 (Latin-1) to UTF-8.' latin.txt
if "$mnemo" run -m "$model" -f "$documents/html" -p x -n 1 >/dev/null 2>err; then
    printf '%s\n%s' '<html><script>no</script><p>The sun was low.' \
        '<p>The secret number of <b>Paris</b> is&nbsp;77120.<p>He went home.' >page
    answers 'read as HTML.' page
    "$mnemo" run -m "$model" --raw -f page -n 1 >/dev/null 2>err
    ! grep -q 'read as' err || fail '--raw converts' "$(cat err)"
else
    grep -q 'libxml2-dev' err || fail "$(cat err)"
fi
if command -v pdftotext >/dev/null; then
    # A name that looks like an option: the program never sees it.
    cat >-opw.pdf <<END
%PDF-1.4
1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj
2 0 obj <</Type/Pages/MediaBox[0 0 600 300]/Kids[4 0 R]/Count 1>> endobj
3 0 obj <</Type/Font/Subtype/Type1/BaseFont/Helvetica>> endobj
4 0 obj <</Type/Page/Parent 2 0 R/Resources<</Font<</F 3 0 R>>>>/Contents 5 0 R>> endobj
5 0 obj <</Length $((${#fact} + 34))>> stream
BT /F 12 Tf 20 200 Td ($fact) Tj ET
endstream endobj
trailer <</Root 1 0 R>>
END
    answers 'read as PDF.' -opw.pdf
fi

# The same by /read.
got=$(printf '/read wide.txt\n%s\n' "$question" | "$mnemo" chat -m "$model" 2>err) || fail "$(cat err)"
grep -q 'secret number of Paris is 77120' <<<"$got" || fail "$got" "$(cat err)"
grep -q '^mnemo: wide.txt: converted from UTF-16' err || fail "$(cat err)"

# Archives, and what cannot be read.
for kind in docx odt epub; do
    "$mnemo" run -m "$model" -f "$documents/$kind" -p x -n 1 >/dev/null 2>err || grep -q 'libarchive-dev' err ||
        fail "$(cat err)"
done
printf '{\\rtf1 hello}' >letter.doc
code=0
"$mnemo" run -m "$model" -f letter.doc -p x >out 2>err || code=$?
[ $code = 1 ] && [ ! -s out ] && grep -q 'letter.doc: is RTF, which is not read here; .*soffice' err ||
    fail "exit code $code" "$(cat err)"
