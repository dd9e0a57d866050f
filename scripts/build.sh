#!/usr/bin/env bash
# Builds Sluice into build/ (or $SLUICE_BUILD): build.sh [TARGET...], everything without a target.
# $SLUICE_CMAKE_FLAGS go to cmake: SLUICE_CMAKE_FLAGS=-DSLUICE_SANITIZE=ON scripts/build.sh
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=${SLUICE_BUILD:-$here/../build}
read -ra flags <<<"${SLUICE_CMAKE_FLAGS:-}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# On a terminal the last line of the log is the progress.
show_progress() {
  [[ -t 1 ]] || return 0
  while sleep 1; do printf '\r  %-76.76s' "$(tail -n 1 "$log")"; done
}
show_progress &
progress=$!
status=0
{ cmake -S "$here/.." -B "$build" -G Ninja "${flags[@]}" && ninja -C "$build" "$@"; } >"$log" 2>&1 || status=$?
kill "$progress" 2>/dev/null || true
wait "$progress" 2>/dev/null || true
[[ ! -t 1 ]] || printf '\r%-78s\r' ''
if [[ $status -ne 0 ]]; then
  tail -n 40 "$log" >&2
  echo "build: failed; the last lines are above" >&2
  exit 1
fi
