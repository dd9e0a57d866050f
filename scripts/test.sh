#!/usr/bin/env bash
# Installs what is needed, builds, and runs all tests: sudo ./scripts/test.sh
#
#   test.sh            everything
#   test.sh unit       unit tests, under the address and undefined-behaviour sanitizers
#   test.sh packet     frames through the real BPF programs, judged by scapy
#   test.sh e2e        real servers and clients in network namespaces
#   test.sh lint       shell scripts, formatting
#
# The last line is "N passed, N failed, N skipped".
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
export SLUICE_BUILD=${SLUICE_BUILD:-$root/build}
sanitized=$SLUICE_BUILD-sanitized
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

suites=("$@")
[[ $# -gt 0 ]] || suites=(lint unit packet e2e)
passed=0 failed=0 skipped=0

[[ $EUID -eq 0 ]] || { echo "test: needs root, for BPF and network namespaces: sudo $0" >&2; exit 1; }

# count_junit FILE NAME: adds a suite's JUnit counts; a suite that left no file counts as one failure.
count_junit() {
  local counts
  if ! counts=$(/usr/bin/python3 - "$1" <<'PY'
import sys
import xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
cases = [case for suite in suites for case in suite.iter("testcase")]
bad = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
idle = sum(case.find("skipped") is not None or case.get("status") in ("notrun", "disabled") for case in cases)
print(len(cases) - bad - idle, bad, idle)
PY
  ); then
    echo "$2: no results" >&2
    counts="0 1 0"
  fi
  local good bad idle
  read -r good bad idle <<<"$counts"
  echo "== $2: $good passed, $bad failed, $idle skipped"
  passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + idle))
}

check() {  # check NAME COMMAND...: one test that is a command
  local name=$1
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "== $name: failed"; fi
}

run_lint() {
  check shellcheck shellcheck -S warning "$here"/*.sh "$root/.ci/run"
  check clang-format bash -c "git -C '$root' ls-files '*.cc' '*.h' | (cd '$root' && xargs clang-format --dry-run -Werror)"
}

run_unit() {
  SLUICE_BUILD=$sanitized SLUICE_CMAKE_FLAGS="-DSLUICE_SANITIZE=ON -DCMAKE_BUILD_TYPE=Debug" "$here/build.sh" unit-tests ||
    { failed=$((failed + 1)); return; }
  ctest --test-dir "$sanitized" -L unit -j "$(nproc)" --output-on-failure --output-junit "$results/unit.xml" |
    grep -v ' Passed \| Start '
  count_junit "$results/unit.xml" unit
}

run_pytest() {  # run_pytest NAME: the tests of tests/NAME
  "$here/build.sh" sluiced sluice sluice-decap packet-driver sluice_skeleton_files bench-tools || { failed=$((failed + 1)); return; }
  (cd "$root" && /usr/bin/python3 -m pytest -q -p no:cacheprovider --junit-xml "$results/$1.xml" "tests/$1")
  count_junit "$results/$1.xml" "$1"
}

"$here/install-packages.sh" build lab test || exit 1
for suite in "${suites[@]}"; do
  echo "== $suite"
  case $suite in
    lint) run_lint ;;
    unit) run_unit ;;
    packet | e2e) run_pytest "$suite" ;;
    *) echo "test: no suite '$suite'" >&2; exit 2 ;;
  esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed -eq 0 && $passed -gt 0 ]]
