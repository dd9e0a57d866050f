#!/usr/bin/env bash
# Installs the Debian 12 packages that Sluice needs, those that are missing only.
#
#   install-packages.sh build          to build it
#   install-packages.sh build lab      and to run the lab and the demo
#   install-packages.sh build lab test and to run all tests
set -euo pipefail

build=(cmake ninja-build g++ pkg-config clang llvm bpftool libbpf-dev libxdp-dev libelf-dev zlib1g-dev libmnl-dev
  libboost1.81-dev libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libyaml-cpp-dev libsystemd-dev)
lab=(iproute2 ethtool procps curl util-linux python3)
test=(clang-format libgtest-dev libgmock-dev python3-pytest python3-scapy tcpdump netcat-openbsd iputils-ping shellcheck systemd git)

wanted=()
for group in "$@"; do
  case $group in
    build) wanted+=("${build[@]}") ;;
    lab) wanted+=("${lab[@]}") ;;
    test) wanted+=("${test[@]}") ;;
    *) echo "install-packages: no group '$group'; there are build, lab and test" >&2; exit 2 ;;
  esac
done

missing=()
for package in "${wanted[@]}"; do
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

[[ $EUID -eq 0 ]] || { echo "install-packages: needs root to install: ${missing[*]}" >&2; exit 1; }
echo "installing ${#missing[@]} packages: ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "install-packages: apt-get failed; its last lines are above" >&2
  exit 1
fi
