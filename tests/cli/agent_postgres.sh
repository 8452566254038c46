# mnemo agent in PostgreSQL: a conversation, core memory, files, on a server started for it on a socket.
source "$(dirname "$0")/support.bash"
shopt -s nullglob
servers=(/usr/lib/postgresql/*/bin)
as=()
[ "$(id -u)" != 0 ] || as=(runuser -u postgres --)
away=$("$mnemo" agent show --store postgresql://x@/x?host=/none 2>&1 || true)
if [ ${#servers[@]} = 0 ] || { [ ${#as[@]} -gt 0 ] && ! getent passwd postgres >/dev/null; } ||
    grep -q 'cannot open PostgreSQL\|has no memory' <<<"$away"; then
    echo 'skipped: there is no PostgreSQL server here that a test can start; apt-get install postgresql'
    exit 77
fi
bin=${servers[-1]}
server=$(mktemp -d /tmp/mnemo-pg-XXXXXX)
[ ${#as[@]} = 0 ] || chown postgres "$server"
stop() { cd /; "${as[@]}" "$bin/pg_ctl" -D "$server/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$server"; }
trap 'stop; rm -rf "$temp"' EXIT
cd "$server"
"${as[@]}" "$bin/initdb" -D "$server/data" -A trust -U tester --no-sync >"$temp/log" 2>&1 || fail "$(cat "$temp/log")"
"${as[@]}" "$bin/pg_ctl" -D "$server/data" -w -o "-k $server -c listen_addresses='' -c fsync=off" -l "$server/log" \
    start >/dev/null
cd "$temp"
store="postgresql://tester@/postgres?host=$server"

printf 'My dog is called Rex.\nI live in Bremen.\n' | "$mnemo" agent --store "$store" >out
[ "$(cat out)" = $'Noted.\nNoted.' ] || fail "$(cat out)"
"$mnemo" agent --store "$store" -p 'What is my dog called?' >out
grep -q 'user: My dog is called Rex.' out || fail "$(cat out)"
"$mnemo" agent show --store "$store" --json >show.json
"$mnemo" agent save --store "$store" one.af
"$mnemo" agent load --store "$store" one.af copy | grep -q '^1 agents, 2 blocks, 6 messages' || fail 'load'
"$mnemo" agent load --store lite.db one.af >out
"$mnemo" agent save --store lite.db two.af
cmp one.af two.af
# What fills the window leaves it here too.
for i in {1..60}; do printf 'Note %d. %s\n' "$i" "$(head -c 600 /dev/zero | tr '\0' x)"; done |
    "$mnemo" agent --store "$store" --window 3000 >out
[ "$(grep -c Noted out)" = 60 ] || fail "$(cat out)"
"$mnemo" agent show --store "$store" --window 3000 | grep -q '^summary of the others' || fail 'nothing has left'

# A server that goes away in the middle is a sentence.
(sleep 0.3; stop) &
code=0
for i in {1..4000}; do echo "Note $i."; done | "$mnemo" agent --store "$store" >out 2>err || code=$?
wait
[ $code = 1 ] && grep -q 'PostgreSQL' err || fail "exit code $code" "$(cat err)"
