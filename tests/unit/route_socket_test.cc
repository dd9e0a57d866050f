// Next hops as the kernel itself decides them. Each test has two network namespaces of its own, without a
// name:
//
//   here:  near0 10.1.0.1/24 2001:db8:1::1/64        there:  far0 10.1.0.2/24 2001:db8:1::2/64
//          near1 10.2.0.1/24 2001:db8:2::1/64                far1 10.2.0.2/24 2001:db8:2::2/64
//
// The test's thread lives in `here` and visits `there` to change it. Both vanish with their last descriptor,
// also when the process dies.
#include "kernel/route_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace sluice::kernel {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

IpAddress ip(std::string_view text) {
  auto parsed = IpAddress::parse(text);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message;
    return {};
  }
  return *parsed;
}

MacAddress mac(std::string_view text) {
  auto parsed = MacAddress::parse(text);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message;
    return {};
  }
  return *parsed;
}

const MacAddress kNear0 = mac("02:00:00:00:00:a1"), kFar0 = mac("02:00:00:00:00:a2");
const MacAddress kNear1 = mac("02:00:00:00:00:b1"), kFar1 = mac("02:00:00:00:00:b2");

// Lines as for ip(8), without the "ip".
[[nodiscard]] bool ip_batch(const std::string& lines) {
  FILE* pipe = popen("ip -batch -", "w");
  if (pipe == nullptr) return false;
  const bool written = std::fputs(lines.c_str(), pipe) >= 0;
  return pclose(pipe) == 0 && written;
}

std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return text;
  std::array<char, 512> line{};
  while (std::fgets(line.data(), line.size(), pipe) != nullptr) text += line.data();
  pclose(pipe);
  return text;
}

[[nodiscard]] bool set_sysctl(const std::string& name, std::string_view value) {
  const Fd file(open(("/proc/sys/net/" + name).c_str(), O_WRONLY | O_CLOEXEC));
  return file && write(file.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

Fd current_namespace() {
  return Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
}

class RouteSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to make network namespaces";
    outside_ = current_namespace();
    ASSERT_TRUE(outside_);
    if (unshare(CLONE_NEWNET) != 0)
      GTEST_SKIP() << "cannot make a network namespace: " << std::strerror(errno);
    there_ = current_namespace();
    ASSERT_TRUE(skip_duplicate_address_detection());
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    here_ = current_namespace();
    ASSERT_TRUE(skip_duplicate_address_detection());
    const std::string there =
        " netns /proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(there_.get());
    ASSERT_TRUE(ip_batch(
        "link set lo up\n"
        "link add near0 address 02:00:00:00:00:a1 type veth peer name far0 address 02:00:00:00:00:a2" +
        there +
        "\n"
        "link add near1 address 02:00:00:00:00:b1 type veth peer name far1 address 02:00:00:00:00:b2" +
        there +
        "\n"
        "link set near0 up\n"
        "link set near1 up\n"
        "addr add 10.1.0.1/24 dev near0\n"
        "addr add 2001:db8:1::1/64 dev near0\n"
        "addr add 10.2.0.1/24 dev near1\n"
        "addr add 2001:db8:2::1/64 dev near1\n"));
    ASSERT_TRUE(
        ip_batch_there("link set lo up\n"
                       "link set far0 up\n"
                       "link set far1 up\n"
                       "addr add 10.1.0.2/24 dev far0\n"
                       "addr add 2001:db8:1::2/64 dev far0\n"
                       "addr add fe80::2/64 dev far0\n"
                       "addr add 10.2.0.2/24 dev far1\n"
                       "addr add 2001:db8:2::2/64 dev far1\n"));
    ASSERT_TRUE(hurry("near0") && hurry("near1"));
    auto opened = RouteSocket::open();
    ASSERT_TRUE(opened) << opened.error().message;
    socket_.emplace(std::move(opened).value());
    wait_for_carrier("near0");
    wait_for_carrier("near1");
  }

  void TearDown() override {
    socket_.reset();
    if (there_) {
      ASSERT_EQ(setns(outside_.get(), CLONE_NEWNET), 0);
    }
  }

  // Neighbours are given up after three questions 40 ms apart instead of 1 s, and doubted at once instead of
  // in 5 s.
  [[nodiscard]] static bool hurry(const std::string& interface) {
    bool done = true;
    for (const std::string family : {"ipv4", "ipv6"}) {
      done = done && set_sysctl(family + "/neigh/" + interface + "/retrans_time_ms", "40") &&
             set_sysctl(family + "/neigh/" + interface + "/delay_first_probe_time", "0");
    }
    return done;
  }

  // Addresses are usable at once.
  [[nodiscard]] static bool skip_duplicate_address_detection() {
    return set_sysctl("ipv6/conf/default/accept_dad", "0");
  }

  [[nodiscard]] bool ip_batch_there(const std::string& lines) {
    if (setns(there_.get(), CLONE_NEWNET) != 0) return false;
    const bool done = ip_batch(lines);
    return setns(here_.get(), CLONE_NEWNET) == 0 && done;
  }

  NextHop resolve(std::string_view destination, std::optional<MacAddress> fixed = std::nullopt) {
    auto hop = socket_->resolve(ip(destination), fixed);
    if (!hop) {
      ADD_FAILURE() << hop.error().message;
      return {};
    }
    return *hop;
  }

  // As the agent does: resolves whenever an event says so, and only then.
  NextHop resolve_by_events_until(std::string_view destination,
                                  const std::function<bool(const NextHop&)>& wanted) {
    const auto deadline = Clock::now() + 3s;
    NextHop hop = resolve(destination);
    while (!wanted(hop) && Clock::now() < deadline) {
      if (changed_within(100ms)) hop = resolve(destination);
    }
    EXPECT_TRUE(wanted(hop)) << "events did not lead there within 3 s; last: " << to_string(hop.state) << ", "
                             << hop.detail;
    return hop;
  }

  NextHop resolve_until(std::string_view destination, NextHopState state) {
    return resolve_by_events_until(destination, [&](const NextHop& hop) { return hop.state == state; });
  }

  // As the agent's timer does.
  NextHop resolve_by_timer_until(std::string_view destination,
                                 const std::function<bool(const NextHop&)>& wanted) {
    const auto deadline = Clock::now() + 3s;
    NextHop hop = resolve(destination);
    for (; !wanted(hop) && Clock::now() < deadline; hop = resolve(destination)) usleep(20'000);
    EXPECT_TRUE(wanted(hop)) << "last: " << to_string(hop.state) << ", " << hop.detail;
    return hop;
  }

  bool changed_within(std::chrono::milliseconds limit) {
    const auto deadline = Clock::now() + limit;
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return socket_->drain_events();
      pollfd wait{.fd = socket_->event_fd(), .events = POLLIN, .revents = 0};
      if (poll(&wait, 1, static_cast<int>(left.count())) > 0 && socket_->drain_events()) return true;
    }
  }

  void settle() {
    while (changed_within(60ms)) {
    }
  }

  void wait_for_carrier(std::string_view name) {
    const auto deadline = Clock::now() + 3s;
    for (;;) {
      auto link = socket_->link(name);
      ASSERT_TRUE(link) << link.error().message;
      if (link->running) return;
      ASSERT_LT(Clock::now(), deadline) << name << " never came up";
      usleep(5'000);
    }
  }

  Fd outside_, here_, there_;
  std::optional<RouteSocket> socket_;
};

TEST_F(RouteSocketTest, ResolvesANeighbourOfEachFamilyAfterAskingForIt) {
  const NextHop first = resolve("10.1.0.2");
  EXPECT_EQ(first.state, NextHopState::kNeighbourPending) << first.detail;
  EXPECT_EQ(first.detail, "waiting for neighbour 10.1.0.2 on near0");
  const NextHop v4 = resolve_until("10.1.0.2", NextHopState::kResolved);
  EXPECT_EQ(v4.interface, "near0");
  EXPECT_EQ(v4.ifindex, socket_->link("near0")->ifindex);
  EXPECT_EQ(v4.source_mac, kNear0);
  EXPECT_EQ(v4.destination_mac, kFar0);
  EXPECT_EQ(v4.source_address, ip("10.1.0.1"));
  EXPECT_EQ(v4.gateway, std::nullopt);
  EXPECT_EQ(v4.mtu, 1500U);
  EXPECT_EQ(v4.detail, "directly on near0");

  const NextHop v6 = resolve_until("2001:db8:2::2", NextHopState::kResolved);
  EXPECT_EQ(v6.interface, "near1");
  EXPECT_EQ(v6.source_mac, kNear1);
  EXPECT_EQ(v6.destination_mac, kFar1);
  EXPECT_EQ(v6.source_address, ip("2001:db8:2::1"));
}

TEST_F(RouteSocketTest, ResolvesThroughGateways) {
  ASSERT_TRUE(
      ip_batch("route add 192.0.2.0/24 via 10.1.0.2\n"
               "route add 198.51.100.0/24 via inet6 2001:db8:1::2\n"
               "route add 2001:db8:b::/48 via fe80::2 dev near0\n"));
  const NextHop v4 = resolve_until("192.0.2.7", NextHopState::kResolved);
  EXPECT_EQ(v4.gateway, ip("10.1.0.2"));
  EXPECT_EQ(v4.destination_mac, kFar0);
  EXPECT_EQ(v4.detail, "via 10.1.0.2 on near0");

  const NextHop v4_over_v6 = resolve_until("198.51.100.7", NextHopState::kResolved);
  EXPECT_EQ(v4_over_v6.gateway, ip("2001:db8:1::2"));
  EXPECT_EQ(v4_over_v6.destination_mac, kFar0);
  EXPECT_EQ(v4_over_v6.source_address, ip("10.1.0.1"));

  const NextHop link_local = resolve_until("2001:db8:b::7", NextHopState::kResolved);
  EXPECT_EQ(link_local.gateway, ip("fe80::2"));
  EXPECT_EQ(link_local.interface, "near0");
  EXPECT_EQ(link_local.destination_mac, kFar0);
  EXPECT_EQ(link_local.source_address, ip("2001:db8:1::1"));
}

TEST_F(RouteSocketTest, TakesTheNextHopOfAMultipathRouteAndOfANextHopObject) {
  // Without it the kernel announces the routes that use a changed next-hop object, too.
  ASSERT_TRUE(set_sysctl("ipv4/nexthop_compat_mode", "0"));
  ASSERT_TRUE(
      ip_batch("route add 192.0.2.0/24 nexthop via 10.1.0.2 nexthop via 10.2.0.2\n"
               "nexthop add id 7 via 10.1.0.2 dev near0\n"
               "route add 198.51.100.0/24 nhid 7\n"));
  const NextHop one = resolve_until("192.0.2.7", NextHopState::kResolved);
  EXPECT_EQ(one.destination_mac, one.interface == "near0" ? kFar0 : kFar1);
  EXPECT_EQ(resolve_until("198.51.100.7", NextHopState::kResolved).destination_mac, kFar0);
  settle();
  ASSERT_TRUE(ip_batch("nexthop replace id 7 via 10.2.0.2 dev near1\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve("198.51.100.7").interface, "near1");
}

TEST_F(RouteSocketTest, AChangedMacIsAnEvent) {
  resolve_until("10.1.0.2", NextHopState::kResolved);
  settle();
  ASSERT_TRUE(ip_batch("neigh replace 10.1.0.2 lladdr 02:00:00:00:00:c2 dev near0 nud reachable\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve("10.1.0.2").destination_mac, mac("02:00:00:00:00:c2"));
}

TEST_F(RouteSocketTest, ANeighbourWhoseMacChangedInSilenceIsFoundAgainByProbing) {
  resolve_until("10.1.0.2", NextHopState::kResolved);
  ASSERT_TRUE(ip_batch_there("link set far0 address 02:00:00:00:00:c2\n"));
  ASSERT_TRUE(ip_batch("neigh change 10.1.0.2 lladdr 02:00:00:00:00:a2 dev near0 nud stale\n"));
  resolve_by_timer_until("10.1.0.2",
                         [](const NextHop& hop) { return hop.destination_mac == mac("02:00:00:00:00:c2"); });
}

TEST_F(RouteSocketTest, AStaleNeighbourIsUsedAndVerified) {
  for (const std::string neighbour : {"10.1.0.2", "2001:db8:1::2"}) {
    resolve_until(neighbour, NextHopState::kResolved);
    ASSERT_TRUE(ip_batch("neigh change " + neighbour + " lladdr 02:00:00:00:00:a2 dev near0 nud stale\n"));
    const NextHop stale = resolve(neighbour);
    EXPECT_EQ(stale.state, NextHopState::kResolved);
    EXPECT_EQ(stale.destination_mac, kFar0);
    const auto deadline = Clock::now() + 2s;
    std::string state;
    do {
      usleep(20'000);
      state = output_of("ip neigh get " + neighbour + " dev near0");
    } while (state.find("REACHABLE") == std::string::npos && Clock::now() < deadline);
    EXPECT_NE(state.find("REACHABLE"), std::string::npos) << state;
  }
}

TEST_F(RouteSocketTest, ADeadNeighbourIsNoticedByProbing) {
  resolve_until("10.1.0.2", NextHopState::kResolved);
  ASSERT_TRUE(ip_batch_there("addr del 10.1.0.2/24 dev far0\n"));
  ASSERT_TRUE(ip_batch("neigh change 10.1.0.2 lladdr 02:00:00:00:00:a2 dev near0 nud stale\n"));
  settle();
  const NextHop poked = resolve("10.1.0.2");
  EXPECT_EQ(poked.state, NextHopState::kResolved);
  EXPECT_TRUE(changed_within(2s)) << "the neighbour's failure is an event";
  EXPECT_EQ(resolve("10.1.0.2").state, NextHopState::kNeighbourFailed);
}

TEST_F(RouteSocketTest, AForgottenNeighbourIsPendingWithItsLastMac) {
  resolve_until("10.1.0.2", NextHopState::kResolved);
  settle();
  ASSERT_TRUE(ip_batch_there("addr del 10.1.0.2/24 dev far0\n"));
  ASSERT_TRUE(ip_batch("neigh del 10.1.0.2 dev near0\n"));
  EXPECT_TRUE(changed_within(1s));
  const NextHop hop = resolve("10.1.0.2");
  EXPECT_EQ(hop.state, NextHopState::kNeighbourPending);
  EXPECT_EQ(hop.destination_mac, kFar0);
}

TEST_F(RouteSocketTest, ASilentNeighbourFailsAndStaysFailedUntilItAnswers) {
  for (const std::string silent : {"10.1.0.99", "2001:db8:1::99"}) {
    EXPECT_EQ(resolve(silent).state, NextHopState::kNeighbourPending);
    const NextHop failed = resolve_until(silent, NextHopState::kNeighbourFailed);
    EXPECT_EQ(failed.detail, "no answer from neighbour " + silent + " on near0");
    EXPECT_TRUE(failed.destination_mac.is_zero());
    EXPECT_EQ(resolve(silent).state, NextHopState::kNeighbourFailed) << "though the kernel asks again";
    EXPECT_FALSE(changed_within(300ms)) << "failing again is no news: the agent would poke in a loop";
    EXPECT_EQ(resolve(silent).state, NextHopState::kNeighbourFailed);
    ASSERT_TRUE(ip_batch_there("addr add " + silent + " dev far0\n"));
    const NextHop back = resolve_by_timer_until(
        silent, [](const NextHop& hop) { return hop.state == NextHopState::kResolved; });
    EXPECT_EQ(back.destination_mac, kFar0);
  }
}

TEST_F(RouteSocketTest, ANeighbourEnteredByHandIsNeverPoked) {
  ASSERT_TRUE(ip_batch("neigh add 10.1.0.50 lladdr 02:00:00:00:00:50 dev near0 nud permanent\n"));
  const NextHop hop = resolve("10.1.0.50");
  EXPECT_EQ(hop.state, NextHopState::kResolved);
  EXPECT_EQ(hop.destination_mac, mac("02:00:00:00:00:50"));
  const auto probed = socket_->probe(hop.ifindex, ip("10.1.0.50"));
  EXPECT_TRUE(probed);
  EXPECT_NE(output_of("ip neigh show 10.1.0.50").find("PERMANENT"), std::string::npos);
}

TEST_F(RouteSocketTest, ProbeAsksForANeighbourAndNamesAMissingInterface) {
  const uint32_t near0 = socket_->link("near0")->ifindex;
  const auto probed = socket_->probe(near0, ip("10.1.0.2"));
  ASSERT_TRUE(probed) << probed.error().message;
  usleep(50'000);
  EXPECT_NE(output_of("ip neigh show 10.1.0.2").find("02:00:00:00:00:a2"), std::string::npos);
  const auto missing = socket_->probe(4711, ip("10.1.0.2"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound) << missing.error().message;
}

TEST_F(RouteSocketTest, AChangedRouteIsAnEventAndAnotherOneIsNot) {
  ASSERT_TRUE(
      ip_batch("route add 192.0.2.0/24 via 10.1.0.2\n"
               "route add 2001:db8:b::/48 via 2001:db8:1::2\n"));
  EXPECT_EQ(resolve_until("192.0.2.7", NextHopState::kResolved).destination_mac, kFar0);
  EXPECT_EQ(resolve_until("2001:db8:b::7", NextHopState::kResolved).destination_mac, kFar0);
  settle();
  ASSERT_TRUE(
      ip_batch("route add 192.0.3.0/24 via 10.2.0.2\n"
               "route add 192.0.2.8/32 via 10.2.0.2\n"
               "route add 2001:db8:c::/48 via 2001:db8:2::2\n"));
  EXPECT_FALSE(changed_within(100ms)) << "these cover nothing that was asked";
  ASSERT_TRUE(ip_batch("route replace 192.0.2.0/24 via 10.2.0.2\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve_until("192.0.2.7", NextHopState::kResolved).destination_mac, kFar1);
  settle();
  ASSERT_TRUE(ip_batch("route add 2001:db8:b::/52 via 2001:db8:2::2\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve_until("2001:db8:b::7", NextHopState::kResolved).destination_mac, kFar1);
}

TEST_F(RouteSocketTest, ADefaultRouteAndARoutingRuleAreEvents) {
  EXPECT_EQ(resolve("203.0.113.1").state, NextHopState::kNoRoute);
  settle();
  ASSERT_TRUE(ip_batch("route add default via 10.1.0.2\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve("203.0.113.1").interface, "near0");
  ASSERT_TRUE(ip_batch("route add default via 10.2.0.2 table 77\n"));
  settle();
  ASSERT_TRUE(ip_batch("rule add to 203.0.113.0/24 lookup 77\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve("203.0.113.1").interface, "near1");
}

TEST_F(RouteSocketTest, WithoutCarrierOrDownTheLinkIsToBlame) {
  resolve_until("10.1.0.2", NextHopState::kResolved);
  settle();
  ASSERT_TRUE(ip_batch_there("link set far0 down\n"));
  EXPECT_TRUE(changed_within(2s));
  const NextHop down = resolve_until("10.1.0.2", NextHopState::kLinkDown);
  EXPECT_EQ(down.detail, "near0 has no carrier");
  EXPECT_EQ(down.interface, "near0");
  ASSERT_TRUE(ip_batch_there("link set far0 up\n"));
  EXPECT_EQ(resolve_until("10.1.0.2", NextHopState::kResolved).destination_mac, kFar0);
}

TEST_F(RouteSocketTest, AnInterfaceTakenDownOrAwayLeavesNoRoute) {
  resolve_until("10.1.0.2", NextHopState::kResolved);
  settle();
  ASSERT_TRUE(ip_batch("link set near0 down\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve("10.1.0.2").state, NextHopState::kNoRoute);
  resolve_until("10.2.0.2", NextHopState::kResolved);
  settle();
  ASSERT_TRUE(ip_batch("link del near1\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve("10.2.0.2").state, NextHopState::kNoRoute);
}

TEST_F(RouteSocketTest, SaysWhyThereIsNoRoute) {
  const NextHop none = resolve("203.0.113.1");
  EXPECT_EQ(none.state, NextHopState::kNoRoute);
  EXPECT_EQ(none.detail, "no route to 203.0.113.1");
  EXPECT_EQ(resolve("2001:db8:dead::1").detail, "no route to 2001:db8:dead::1");
  for (const std::string type : {"unreachable", "prohibit", "blackhole"}) {
    ASSERT_TRUE(ip_batch("route replace " + type +
                         " 203.0.113.0/24\n"
                         "route replace " +
                         type + " 2001:db8:dead::/48\n"));
    for (const std::string destination : {"203.0.113.1", "2001:db8:dead::1"}) {
      const NextHop hop = resolve(destination);
      EXPECT_EQ(hop.state, NextHopState::kNoRoute) << type << " " << destination;
      EXPECT_EQ(hop.detail.rfind("the route to " + destination + " is of type " + type, 0), 0U) << hop.detail;
    }
    ASSERT_TRUE(ip_batch("route del " + type +
                         " 203.0.113.0/24\n"
                         "route del " +
                         type + " 2001:db8:dead::/48\n"));
  }
  EXPECT_EQ(resolve("10.1.0.255").state, NextHopState::kNoRoute);
  EXPECT_EQ(resolve("10.1.0.255").detail, "10.1.0.255 is not a unicast address");
}

TEST_F(RouteSocketTest, AnAddressOfThisNodeIsLocal) {
  for (const std::string own : {"10.1.0.1", "2001:db8:1::1", "127.0.0.1", "::1"}) {
    EXPECT_EQ(resolve(own).state, NextHopState::kLocal) << own;
  }
  EXPECT_EQ(resolve("10.1.0.1").detail, "10.1.0.1 is an address of this node");
  EXPECT_EQ(resolve("10.1.0.1", kFar0).state, NextHopState::kLocal);
}

TEST_F(RouteSocketTest, TheMtuIsTheSmallerOfRouteAndLink) {
  ASSERT_TRUE(
      ip_batch("route add 192.0.2.0/24 via 10.1.0.2 mtu 1400\n"
               "route add 198.51.100.0/24 via 10.1.0.2 mtu 9000\n"
               "route add 2001:db8:b::/48 via 2001:db8:1::2 mtu 1320\n"));
  EXPECT_EQ(resolve("192.0.2.7").mtu, 1400U);
  EXPECT_EQ(resolve("198.51.100.7").mtu, 1500U);
  EXPECT_EQ(resolve("2001:db8:b::7").mtu, 1320U);
  settle();
  ASSERT_TRUE(ip_batch("link set near0 mtu 1300\n"));
  EXPECT_TRUE(changed_within(1s));
  EXPECT_EQ(resolve("192.0.2.7").mtu, 1300U);
}

TEST_F(RouteSocketTest, TheSourceIsTheOneTheRoutePrefers) {
  ASSERT_TRUE(
      ip_batch("addr add 10.1.0.77/24 dev near0\n"
               "addr add 2001:db8:1::77/64 dev near0 nodad\n"
               "route add 192.0.2.0/24 via 10.1.0.2 src 10.1.0.77\n"
               "route add 2001:db8:b::/48 via 2001:db8:1::2 src 2001:db8:1::77\n"));
  EXPECT_EQ(resolve("192.0.2.7").source_address, ip("10.1.0.77"));
  EXPECT_EQ(resolve("2001:db8:b::7").source_address, ip("2001:db8:1::77"));
  settle();
  ASSERT_TRUE(ip_batch("addr del 10.1.0.77/24 dev near0\n"));
  EXPECT_TRUE(changed_within(1s)) << "the kernel drops the route in silence";
  EXPECT_EQ(resolve("192.0.2.7").state, NextHopState::kNoRoute);
}

TEST_F(RouteSocketTest, AFixedMacSkipsTheNeighbourButNotRouteAndLink) {
  const MacAddress fixed = mac("02:00:00:00:00:ff");
  const NextHop hop = resolve("10.1.0.2", fixed);
  EXPECT_EQ(hop.state, NextHopState::kResolved);
  EXPECT_EQ(hop.destination_mac, fixed);
  EXPECT_EQ(hop.source_mac, kNear0);
  EXPECT_EQ(output_of("ip neigh show 10.1.0.2"), "") << "nobody was asked";
  EXPECT_EQ(resolve("203.0.113.1", fixed).state, NextHopState::kNoRoute);
  ASSERT_TRUE(ip_batch_there("link set far0 down\n"));
  const auto deadline = Clock::now() + 2s;
  while (resolve("10.1.0.2", fixed).state != NextHopState::kLinkDown && Clock::now() < deadline)
    usleep(10'000);
  EXPECT_EQ(resolve("10.1.0.2", fixed).state, NextHopState::kLinkDown);
}

TEST_F(RouteSocketTest, LinksThatCannotCarryOurFramesAreUnsupported) {
  ASSERT_TRUE(ip_batch("route add 192.0.2.0/24 dev lo\n"));
  const NextHop loopback = resolve("192.0.2.7");
  EXPECT_EQ(loopback.state, NextHopState::kUnsupportedLink);
  EXPECT_EQ(loopback.detail, "lo is not an Ethernet interface");
  ASSERT_TRUE(ip_batch("link set near1 arp off\n"));
  const NextHop deaf = resolve("10.2.0.2");
  EXPECT_EQ(deaf.state, NextHopState::kUnsupportedLink) << deaf.detail;
  EXPECT_NE(deaf.detail.find("set next_hop"), std::string::npos) << deaf.detail;
  const auto probed = socket_->probe(deaf.ifindex, ip("10.2.0.2"));
  ASSERT_TRUE(probed) << probed.error().message;
  EXPECT_EQ(resolve("10.2.0.2").state, NextHopState::kUnsupportedLink)
      << "the kernel has made up an entry with the link's own MAC";
  ASSERT_TRUE(ip_batch("neigh replace 10.2.0.2 lladdr 02:00:00:00:00:b2 dev near1 nud permanent\n"));
  EXPECT_EQ(resolve("10.2.0.2").state, NextHopState::kResolved);
}

TEST_F(RouteSocketTest, WhatDoesNotChangeAnAnswerIsNoEvent) {
  resolve_until("10.1.0.2", NextHopState::kResolved);
  settle();
  ASSERT_TRUE(
      ip_batch("neigh change 10.1.0.2 lladdr 02:00:00:00:00:a2 dev near0 nud stale\n"
               "neigh add 10.1.0.60 lladdr 02:00:00:00:00:60 dev near0 nud reachable\n"
               "link set near0 promisc on\n"
               "link set near0 promisc off\n"));
  EXPECT_FALSE(changed_within(150ms));
}

TEST_F(RouteSocketTest, LostEventsCountAsAChange) {
  settle();
  const int smallest = 1;
  ASSERT_EQ(setsockopt(socket_->event_fd(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest)), 0);
  std::string routes;
  for (int i = 0; i < 60; ++i) routes += "route add 192.0.2." + std::to_string(i) + "/32 via 10.1.0.2\n";
  ASSERT_TRUE(ip_batch(routes));
  EXPECT_TRUE(socket_->drain_events()) << "none of them was asked for, but some were lost";
  pollfd wait{.fd = socket_->event_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&wait, 1, 0), 0) << "what followed the loss was read, too";
  EXPECT_FALSE(socket_->drain_events());
}

TEST_F(RouteSocketTest, TheSocketStaysInTheNamespaceWhereItWasOpened) {
  ASSERT_EQ(setns(outside_.get(), CLONE_NEWNET), 0);
  const NextHop hop = resolve_until("10.1.0.2", NextHopState::kResolved);
  ASSERT_EQ(setns(here_.get(), CLONE_NEWNET), 0);
  EXPECT_EQ(hop.interface, "near0");
  EXPECT_EQ(hop.destination_mac, kFar0);
}

TEST_F(RouteSocketTest, TellsALinksFactsByNameAndIndex) {
  ASSERT_TRUE(ip_batch("link set near1 mtu 1480\n"));
  auto near1 = socket_->link("near1");
  ASSERT_TRUE(near1) << near1.error().message;
  EXPECT_EQ(near1->name, "near1");
  EXPECT_EQ(near1->mac, kNear1);
  EXPECT_EQ(near1->mtu, 1480U);
  EXPECT_EQ(near1->kind, "veth");
  EXPECT_TRUE(near1->ethernet && near1->up && near1->running && near1->resolves_neighbours);
  EXPECT_EQ(near1->master, 0U);
  auto again = socket_->link(near1->ifindex);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *near1);
  for (const std::string missing : {"near7", "", "a-name-of-sixteen"}) {
    auto link = socket_->link(missing);
    ASSERT_FALSE(link);
    EXPECT_EQ(link.error().code, ErrorCode::kNotFound) << link.error().message;
  }
  EXPECT_EQ(socket_->link(4711).error().code, ErrorCode::kNotFound);
}

TEST_F(RouteSocketTest, TellsAVlansParentAndId) {
  if (!ip_batch("link add link near0 name near0.42 type vlan id 42\n"))
    GTEST_SKIP() << "this kernel has no VLANs";
  auto vlan = socket_->link("near0.42");
  ASSERT_TRUE(vlan) << vlan.error().message;
  EXPECT_EQ(vlan->kind, "vlan");
  EXPECT_EQ(vlan->vlan_id, 42);
  EXPECT_EQ(vlan->vlan_parent, socket_->link("near0")->ifindex);
  EXPECT_FALSE(vlan->up);
}

TEST_F(RouteSocketTest, TellsABridgePortsMasterAndAnnouncesIt) {
  if (!ip_batch("link add br0 type bridge\n")) GTEST_SKIP() << "this kernel has no bridges";
  settle();
  ASSERT_TRUE(ip_batch("link set near1 master br0\n"));
  EXPECT_TRUE(changed_within(1s));
  auto port = socket_->link("near1");
  ASSERT_TRUE(port) << port.error().message;
  EXPECT_EQ(port->master, socket_->link("br0")->ifindex);
  EXPECT_EQ(port->master_kind, "bridge");
}

}  // namespace
}  // namespace sluice::kernel
