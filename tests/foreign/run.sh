#!/usr/bin/env bash
# Runs one part of the tests with foreign libraries: see README.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
livegate=$target/debug/livegate
app=1400000000
key=5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e
work=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap stop EXIT

# awaits FILE PATTERN: until a line of the file has it.
awaits() {
  for _ in $(seq 1 300); do
    if grep -q -- "$2" "$1" 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  echo "did not happen: $2"
  cat "$1"
  return 1
}

# serve SECTIONS [KEYS]: a gateway on free ports, with further sections and keys of
# [internal]; sets public and internal.
serve() {
  cat >"$work/livegate.toml" <<EOF
[listen]
public = "127.0.0.1:0"
[internal]
bind = "127.0.0.1:0"
${2:-}
[internal.v4]
calls_per_second = 100000
$1
[[apps]]
sdk_app_id = $app
keys = ["$key"]
admins = ["administrator"]
EOF
  (cd "$work" && "$livegate" certs >/dev/null)
  (cd "$work" && exec "$livegate" serve >"$work/serve.log" 2>&1) &
  pids+=($!)
  awaits "$work/serve.log" 'internal port on'
  public=$(sed -nE 's/.*listens on ([0-9.:]+) .*/\1/p' "$work/serve.log" | head -n 1)
  internal=$(sed -nE 's/.*internal port on ([0-9.:]+).*/\1/p' "$work/serve.log" | head -n 1)
}

# A Python with what a requirements file names.
python() {
  local venv=$target/foreign/python-$1
  if [ ! -x "$venv/bin/python" ]; then
    mkdir -p "$target/foreign"
    python3 -m venv "$venv"
  fi
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/python/$1.txt"
  bin=$venv/bin
}

(cd "$root" && cargo build --quiet --locked -p livegate)
case "${1:-}" in
  rust)
    cargo build --quiet --locked --manifest-path "$here/rust/Cargo.toml" \
      --target-dir "$target/foreign/rust"
    serve $'[internal.tls]\ncert = "certs/livegate.pem"\nkey = "certs/livegate.key"'
    (cd "$work" && exec "$livegate" watch --json --room foreign --user viewer --addr "$public" \
      --key "$key" --app "$app" >"$work/watch.log" 2>&1) &
    pids+=($!)
    awaits "$work/watch.log" '"entered"'
    LIVEGATE_INTERNAL=$internal LIVEGATE_CA=$work/certs/livegate.pem LIVEGATE_KEY=$key \
      "$target/foreign/rust/debug/livegate-foreign"
    for seen in 'hello from a library' notifyPusherChange 'live_state' 'to you alone'; do
      awaits "$work/watch.log" "$seen"
    done
    ;;
  npm)
    serve ''
    cp "$here/npm/package.json" "$here/npm/package-lock.json" "$here/npm/check.mjs" "$work/"
    (cd "$work" && npm ci --silent --no-audit --no-fund >/dev/null)
    (cd "$work" && LIVEGATE_INTERNAL=$internal LIVEGATE_KEY=$key node check.mjs)
    ;;
  python)
    serve ''
    python sig
    LIVEGATE_INTERNAL=$internal LIVEGATE_KEY=$key "$bin/python" "$here/python/check.py"
    ;;
  grpc)
    serve '' 'api_keys = ["an-api-key-of-tests"]'
    python grpc
    for check in grpc_check reflection_check; do
      LIVEGATE_INTERNAL=$internal LIVEGATE_API_KEY=an-api-key-of-tests \
        "$bin/python" "$here/python/$check.py"
    done
    ;;
  schemathesis)
    serve ''
    python schemathesis
    sig=$("$livegate" usersig issue --app "$app" --key "$key" --user administrator)
    cat >"$work/schemathesis.toml" <<EOF
[parameters]
"query.sdkappid" = "$app"
"query.identifier" = "administrator"
"query.usersig" = "$sig"
EOF
    cd "$work"
    "$bin/schemathesis" --config-file "$work/schemathesis.toml" run \
      "http://$internal/v4/openapi.json" --max-examples "${2:-100}" --seed "${SEED:-1}" \
      --phases examples,coverage,fuzzing --workers 2 --generation-database none \
      --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
    ;;
  *)
    echo "usage: run.sh rust|npm|python|grpc|schemathesis [EXAMPLES]" >&2
    exit 64
    ;;
esac
