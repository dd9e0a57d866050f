#!/usr/bin/env bash
# A small network of namespaces to try Sluice in: a client, a load balancer and backends that run real servers.
#
#   lab.sh up NAME [BACKENDS [one-armed]]   make it (3 backends); does not start the agent
#   lab.sh agent NAME [OPTION...]           start sluiced in the background, on eth0 or as --config FILE says
#   lab.sh run NAME HOST CMD...             run a command on a host: client, lb, b1, b2, ...
#   lab.sh stop-agent NAME                  stop sluiced; packets keep flowing
#   lab.sh down NAME                        take everything away, also half-made labs
#
#   client eth0 ── lb eth0 │ XDP │ lb b1 ── b1 eth0   198.51.100.0/24, 2001:db8:1::/64 on the client's side,
#                          │     │ lb b2 ── b2 eth0   10.0.N.0/24, 2001:db8:b:N::/64 on backend N's.
#
# One-armed: a host "router" has the load balancer's place, which hangs on it by its eth0 alone (203.0.113.0/24,
# 2001:db8:3::/64) and sends packets back by where they came in.
#
# Every host is a namespace sl-NAME-HOST, every link a veth. The VIPs 192.0.2.1 and 2001:db8:2::1 are on each backend's
# loopback; the client's route to them leads to the load balancer, and replies go back without passing its program.
# Files (bpffs, socket, state, logs, process ids) are in /run/sl-lab-NAME.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
build=${SLUICE_BUILD:-$here/../build}
vip4=192.0.2.1
vip6=2001:db8:2::1
hub=lb  # the host that all links meet in

die() { echo "lab: $*" >&2; exit 1; }
in_host() { local host=$1; shift; nsenter --net="/run/netns/sl-$name-$host" "$@"; }
# The same in the background; $! is the command's own process id.
spawn_in_host() { local host=$1; shift; exec nsenter --net="/run/netns/sl-$name-$host" "$@"; }

add_host() {
  ip netns add "sl-$name-$1"
  in_host "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
    net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
  in_host "$1" ip link set lo up
}

# add_link HOST INTERFACE PEER PEER_INTERFACE MTU
add_link() {
  ip link add "$2" netns "sl-$name-$1" mtu "$5" type veth peer name "$4" netns "sl-$name-$3" mtu "$5"
  in_host "$1" ip link set "$2" up
  in_host "$3" ip link set "$4" up
}

make_client() {
  add_host client
  add_link client eth0 "$hub" eth0 1500
  in_host client ip address add 198.51.100.2/24 dev eth0
  in_host client ip address add 2001:db8:1::2/64 dev eth0 nodad
  in_host "$hub" ip address add 198.51.100.1/24 dev eth0
  in_host "$hub" ip address add 2001:db8:1::1/64 dev eth0 nodad
  in_host client ip route add default via 198.51.100.1
  in_host client ip -6 route add default via 2001:db8:1::1
  # A native XDP program sees checksums that the sender left to its device, and so does the backend: have them made.
  in_host client ethtool -K eth0 tx off >/dev/null
}

# Packets that a veth's XDP program sends back are lost at a peer without one.
make_one_arm() {
  hub=router
  add_host router
  add_link lb eth0 router lb 1600
  in_host router ip link set dev lb xdpdrv obj "$build/bpf/pass.bpf.o" sec xdp
  in_host lb ip address add 203.0.113.2/24 dev eth0
  in_host lb ip address add 2001:db8:3::2/64 dev eth0 nodad
  in_host router ip address add 203.0.113.1/24 dev lb
  in_host router ip address add 2001:db8:3::1/64 dev lb nodad
  in_host lb ip route add default via 203.0.113.1
  in_host lb ip -6 route add default via 2001:db8:3::1
  in_host router ip route add "$vip4" via 203.0.113.2
  in_host router ip -6 route add "$vip6" via 2001:db8:3::2
}

make_backend() {
  local n=$1
  add_host "b$n"
  add_link "$hub" "b$n" "b$n" eth0 1600  # room for the outer header
  in_host "$hub" ip address add "10.0.$n.1/24" dev "b$n"
  in_host "$hub" ip address add "2001:db8:b:$n::1/64" dev "b$n" nodad
  in_host "b$n" ip address add "10.0.$n.11/24" dev eth0
  in_host "b$n" ip address add "2001:db8:b:$n::11/64" dev eth0 nodad
  in_host "b$n" ip route add default via "10.0.$n.1"
  in_host "b$n" ip -6 route add default via "2001:db8:b:$n::1"
  in_host "b$n" ip address add "$vip4/32" dev lo
  in_host "b$n" ip address add "$vip6/128" dev lo nodad
  mkdir -p "$dir/bpf-b$n"
  mount -t bpf sl-lab "$dir/bpf-b$n"
  in_host "b$n" "$build/userspace/sluice-decap" --bpffs "$dir/bpf-b$n" attach eth0 >>"$dir/lab.log"
  start_server "$n"
}

start_server() {
  spawn_in_host "b$1" /usr/bin/python3 "$here/lab/backend_server.py" "b$1" >>"$dir/b$1.log" 2>&1 &
  echo "$!" >>"$dir/pids"
}

wait_for_servers() {
  local n
  for ((n = 1; n <= backends; n++)); do
    for _ in $(seq 100); do
      in_host "b$n" curl -sf --max-time 1 -o /dev/null "http://$vip4/" && continue 2
      sleep 0.1
    done
    die "the server of b$n does not answer; see $dir/b$n.log"
  done
}

up() {
  backends=${1:-3}
  [[ ${2:-one-armed} == one-armed ]] || die "'$2' is no shape of a lab: there is one-armed"
  [[ -x $build/userspace/sluiced ]] || die "no $build/userspace/sluiced: build first (scripts/test.sh does)"
  [[ ! -e $dir ]] || die "lab '$name' is there already: '$0 down $name' takes it away"
  mkdir -p "$dir/bpf"
  : >"$dir/pids"
  mount -t bpf sl-lab "$dir/bpf"
  add_host lb
  [[ -z ${2:-} ]] || make_one_arm
  in_host "$hub" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  make_client
  local n
  for ((n = 1; n <= backends; n++)); do make_backend "$n"; done
  wait_for_servers
}

agent() {
  [[ " $* " == *" --config "* ]] || set -- --interface eth0 "$@"
  spawn_in_host lb "$build/userspace/sluiced" --bpffs "$dir/bpf" --state-dir "$dir/state" \
    --socket "$dir/sluice.sock" "$@" >>"$dir/sluiced.log" 2>&1 &
  echo "$!" >"$dir/agent.pid"
  for _ in $(seq 100); do
    SLUICE_SOCKET=$dir/sluice.sock "$build/cli/sluice" show >/dev/null 2>&1 && return
    kill -0 "$(cat "$dir/agent.pid")" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$dir/sluiced.log" >&2
  die "sluiced did not come up"
}

# A zombie has ended; its parent only has not looked yet.
is_running() { grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"; }

# Ends processes that this lab started, and waits until they are gone.
end_processes() {
  local pid
  for pid in "$@"; do kill "$pid" 2>/dev/null || true; done
  for pid in "$@"; do
    for _ in $(seq 50); do is_running "$pid" && sleep 0.1 || continue 2; done
    kill -9 "$pid" 2>/dev/null || true
  done
}

stop_agent() {
  [[ -f $dir/agent.pid ]] || return 0
  end_processes "$(cat "$dir/agent.pid")"
  rm -f "$dir/agent.pid"
}

down() {
  stop_agent
  local pids=()
  [[ ! -f $dir/pids ]] || mapfile -t pids <"$dir/pids"
  end_processes "${pids[@]}"
  local namespace mountpoint
  for namespace in $(ip netns list | awk '{print $1}' | grep "^sl-$name-" || true); do ip netns del "$namespace"; done
  for mountpoint in $(awk -v dir="$dir/" 'index($2, dir) == 1 {print $2}' /proc/mounts); do umount "$mountpoint"; done
  rm -rf "$dir"
}

[[ $# -ge 2 ]] || { sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 2; }
command=$1 name=$2
shift 2
[[ $name =~ ^[a-z0-9]{1,12}$ ]] || die "'$name' is no name for a lab: up to 12 letters and digits"
[[ $EUID -eq 0 ]] || die "needs root, for network namespaces and BPF"
dir=/run/sl-lab-$name
case $command in
  up) up "$@" ;;
  agent) agent "$@" ;;
  run) spawn_in_host "$@" ;;
  stop-agent) stop_agent ;;
  down) down ;;
  *) die "unknown command '$command'" ;;
esac
