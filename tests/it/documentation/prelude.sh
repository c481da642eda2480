# Precedes every block of commands. Commands that serve until they are interrupted run in the background here.
set -euo pipefail
[ ! -f "$SCENE/environment" ] || . "$SCENE/environment"
chargegate() {
  case "${1:-} ${2:-}" in
  "acl check") command chargegate "$@" ;;
  "acl "* | "edge "* | "up "* | "worker "*)
    local output
    output=$(mktemp "$SCENE/server.XXXXXX")
    command chargegate "$@" >"$output" 2>"$output.errors" &
    echo $! >>"$SCENE/processes"
    until grep -Eq '^(ready$|acl listening )' "$output"; do
      kill -0 $! 2>/dev/null || { cat "$output" "$output.errors"; return 1; }
      sleep 0.05
    done
    cat "$output"
    ;;
  *) command chargegate "$@" ;;
  esac
}
