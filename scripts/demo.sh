#!/usr/bin/env bash
# Sluice at work, on this machine alone: a lab of network namespaces, real HTTP and UDP through the load balancer, a
# backend drained and another removed under traffic, and not one request lost.
#
#   sudo ./scripts/demo.sh          run it and clean up
#   sudo ./scripts/demo.sh --keep   leave the lab up for playing
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export SLUICE_BUILD=${SLUICE_BUILD:-$here/../build}
lab=demo
keep=no
case ${1:-} in
  '') ;;
  --keep) keep=yes ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
[[ $EUID -eq 0 ]] || { echo "demo: needs root, for network namespaces and BPF: sudo $0" >&2; exit 1; }

if [[ -e /run/sl-lab-$lab ]]; then
  echo "demo: a lab '$lab' is up; take it down first: $here/lab.sh down $lab" >&2
  exit 1
fi

bold=$'\e[1m' plain=$'\e[0m'
[[ -t 1 && -z ${NO_COLOR:-} ]] || bold='' plain=''
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
on() { "$here/lab.sh" run "$lab" "$@"; }
# Runs sluice in the lab and shows what one would type.
sluice() { printf '  $ sluice %s\n' "$*"; "$SLUICE_BUILD/cli/sluice" "$@" | sed 's/^/    /'; }
quietly() { "$SLUICE_BUILD/cli/sluice" "$@" >/dev/null; }
traffic() { on client /usr/bin/python3 "$here/lab/traffic.py" "$@"; }
# In the background: $! is the traffic's own process id.
spawn_traffic() { exec "$here/lab.sh" run "$lab" client /usr/bin/python3 "$here/lab/traffic.py" "$@"; }

results=$(mktemp -d)
clean_up() {
  local status=$?
  trap - EXIT INT TERM HUP
  if [[ -n ${traffic_pid:-} ]]; then
    kill -9 "$traffic_pid" 2>/dev/null || true
    wait "$traffic_pid" 2>/dev/null || true
  fi
  rm -rf "$results"
  if [[ $keep == yes && $status -eq 0 ]]; then
    cat <<TEXT

The lab is up. Its hosts are the namespaces sl-$lab-client, -lb, -b1, -b2 and -b3.
  on the load balancer:  export SLUICE_SOCKET=/run/sl-lab-$lab/sluice.sock
                         $SLUICE_BUILD/cli/sluice show
  from the client:       $here/lab.sh run $lab client curl http://192.0.2.1/
  a shell on a host:     $here/lab.sh run $lab b1 bash
  take it down:          sudo $here/lab.sh down $lab
TEXT
  else
    "$here/lab.sh" down "$lab"
  fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "1. Packages and build (the first time takes some minutes)"
"$here/install-packages.sh" build lab
"$here/build.sh" sluiced sluice sluice-decap

say "2. A lab: client, load balancer, three backends with an HTTP and a UDP server"
"$here/lab.sh" up "$lab"
"$here/lab.sh" agent "$lab"
export SLUICE_SOCKET=/run/sl-lab-$lab/sluice.sock
sed -n 's/^.* info: //p' "/run/sl-lab-$lab/sluiced.log" | sed 's/^/  /'

say "3. Four services: TCP and UDP, IPv4 and IPv6"
sluice service add web tcp 192.0.2.1:80
sluice service add web6 tcp '[2001:db8:2::1]:80'
sluice service add dns udp 192.0.2.1:53
sluice service add dns6 udp '[2001:db8:2::1]:53'
# Both families of backends, so that all four encapsulations are on the wire.
for address in 10.0.1.11 10.0.2.11 2001:db8:b:3::11; do sluice backend add web "$address"; done
echo "  ... and the same three for web6, dns and dns6"
for service in web6 dns dns6; do
  for address in 10.0.1.11 10.0.2.11 2001:db8:b:3::11; do quietly backend add "$service" "$address"; done
done

say "4. Traffic: 400 requests of each kind, each from a new port"
traffic --count 400 --pause 0 >"$results/first.json"
/usr/bin/python3 "$here/lab/spread.py" <"$results/first.json"

say "5. Without a pause, and with 40 connections held open for 3 seconds each: b2 is drained, b3 drained and removed"
spawn_traffic --seconds 12 --hold 20 --hold-seconds 3 >"$results/second.json" &
traffic_pid=$!
sleep 2
sluice backend drain web 10.0.2.11
sluice backend drain web 2001:db8:b:3::11
for service in web6 dns dns6; do
  quietly backend drain "$service" 10.0.2.11
  quietly backend drain "$service" 2001:db8:b:3::11
done
echo "  ... 5 seconds later no connection to b3 is left:"
sleep 5
sluice backend del web 2001:db8:b:3::11
for service in web6 dns dns6; do quietly backend del "$service" 2001:db8:b:3::11; done
wait "$traffic_pid"
traffic_pid=
/usr/bin/python3 "$here/lab/spread.py" <"$results/second.json"

say "6. Afterwards: new connections find b1 alone"
traffic --kinds http4,http6 --count 200 --pause 0 >"$results/third.json"
/usr/bin/python3 "$here/lab/spread.py" <"$results/third.json"
sluice show
say "No request failed."
