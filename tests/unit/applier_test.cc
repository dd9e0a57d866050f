// The applier, through a port that watches every write: whatever fails and wherever the agent dies, packets
// meet no stranger's backend, nothing is lost, and the next attempt arrives where a fresh start would.
#include "apply/applier.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <optional>
#include <random>

#include "expect_tables.h"
#include "random_config.h"
#include "watched_port.h"

namespace sluice::apply {
namespace {

using dataplane::FakePort;
using dataplane::Path;
using dataplane::ServiceKey;
using model::BackendState;
using test::make_backend;
using test::make_config;
using test::make_service;
using test::RandomConfig;
using test::WatchedPort;

constexpr model::Limits kLimits{.services = 16, .backends = 128, .ring_slots = 1U << 14, .flows = 1024};

// The paths to backends, which tests change.
class Paths {
 public:
  std::map<IpAddress, std::optional<Path>> special;

  PathLookup lookup() {
    return
        [this](const IpAddress& backend, const std::optional<MacAddress>& next_hop) -> std::optional<Path> {
          if (const auto found = special.find(backend); found != special.end()) return found->second;
          return usual(backend, next_hop);
        };
  }
  static Path usual(const IpAddress& backend, const std::optional<MacAddress>& next_hop = {}) {
    const auto source = backend.family == Family::kV4 ? "10.0.0.254" : "2001:db8:b::254";
    return {3, *MacAddress::parse("02:00:00:00:00:01"),
            next_hop.value_or(*MacAddress::parse("02:00:00:00:00:02")), *IpAddress::parse(source), 1500};
  }
};

// A node: tables that outlive agents, and the agent of the moment.
class Node {
 public:
  Node() { restart(); }

  // As the real port does: what a former agent's packets held is over before the new one starts.
  void restart() {
    applier.reset();
    EXPECT_TRUE(port.wait_for_packets());
    auto made = Applier::take_over(port, kLimits, paths.lookup());
    ASSERT_TRUE(made.ok()) << made.error().message;
    applier.emplace(std::move(made).value());
  }

  void expect(const model::Config& config) const {
    expect_tables(port, applier->preview(config)->after, config, kLimits.services);
    for (const auto& service : config.services)
      for (const auto& backend : service.backends) expect_entry(service, backend, config);
    EXPECT_TRUE(applier->preview(config)->steps.empty());
  }

  FakePort tables{kLimits.services, kLimits.backends, kLimits.ring_slots};
  WatchedPort port{tables};
  Paths paths;
  std::optional<Applier> applier;

 private:
  void expect_entry(const model::Service& service, const model::Backend& backend,
                    const model::Config& config) const {
    const auto* placed = applier->placed(ServiceKey::of(service));
    ASSERT_NE(placed, nullptr);
    sl_backend wanted =
        dataplane::make_backend_entry(placed->value.id, backend.address, service.vip.address.family,
                                      config.encapsulation, Paths::usual(backend.address, backend.next_hop));
    if (backend.state == BackendState::kDown) wanted.state = SL_BACKEND_DOWN;
    const sl_backend& entry = tables.backends()[placed->backends.at(backend.address)];
    EXPECT_EQ(std::memcmp(&entry, &wanted, sizeof wanted), 0)
        << service.name << " " << backend.address.to_string();
  }
};

model::Config two_services() {
  return make_config(
      {make_service("one", "192.0.2.1:80", {make_backend("10.0.0.1"), make_backend("10.0.0.2")}),
       make_service("two", "[2001:db8::1]:80", {make_backend("10.0.0.1"), make_backend("10.0.0.3")})});
}

// ---- one change ----

TEST(Applier, MakesAConfigurationTrue) {
  Node node;
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  node.expect(two_services());
  EXPECT_EQ(node.applier->applied(), two_services());
  EXPECT_EQ(node.tables.egress, (std::set<uint32_t>{3}));
}

TEST(Applier, WritesNothingWhenNothingChanges) {
  Node node;
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  const unsigned before = node.port.writes;
  const auto again = node.applier->apply(two_services());
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->empty());
  EXPECT_EQ(node.port.writes, before);
  node.restart();
  const unsigned restarted = node.port.writes;
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  EXPECT_EQ(node.port.writes, restarted + 1) << "a new agent opens the interface again, and that is all";
}

TEST(Applier, LooksAheadWithoutTouchingAnything) {
  Node node;
  const unsigned before = node.port.writes;
  const auto plan = node.applier->preview(two_services());
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->steps.size(), 8u);
  EXPECT_EQ(node.port.writes, before);
  EXPECT_EQ(node.applier->placed(ServiceKey::of(two_services().services[0])), nullptr);
}

TEST(Applier, StartsABackendsCounterAtZero) {
  Node node;
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  model::Config less = two_services();
  less.services[0].backends.pop_back();
  ASSERT_TRUE(node.applier->apply(less).ok());
  const uint32_t id =
      node.applier->preview(two_services())->after.services.begin()->second.backends.rbegin()->second;
  node.port.counters_cleared.clear();
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  EXPECT_EQ(node.port.counters_cleared, (std::vector<uint32_t>{id})) << "and leaves the others' alone";
}

TEST(Applier, SaysWhichTableIsFullAndChangesNothing) {
  const model::Config one = make_config({two_services().services[0]});
  for (const model::Limits& limits :
       {model::Limits{1, 64, 4096, 1024}, model::Limits{8, 3, 4096, 1024}, model::Limits{8, 64, 256, 1024}}) {
    FakePort tables(limits.services, limits.backends, limits.ring_slots);
    WatchedPort port(tables);
    Paths paths;
    auto applier = Applier::take_over(port, limits, paths.lookup());
    ASSERT_TRUE(applier.ok());
    ASSERT_TRUE(applier->apply(one).ok());
    const unsigned before = port.writes;
    const auto full = applier->apply(two_services());
    ASSERT_FALSE(full.ok());
    EXPECT_EQ(full.error().code, ErrorCode::kNoSpace);
    EXPECT_NE(full.error().message.find("raise limits."), std::string::npos) << full.error().message;
    EXPECT_EQ(port.writes, before);
    EXPECT_EQ(applier->applied(), one);
    EXPECT_TRUE(applier->apply(one).ok());
    expect_tables(port, applier->preview(one)->after, one, limits.services);
  }
}

// ---- paths ----

TEST(Applier, RewritesExactlyTheEntriesWhosePathChanged) {
  Node node;
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  const auto id_of = [&](size_t service, std::string_view backend) {
    return node.applier->placed(ServiceKey::of(two_services().services[service]))
        ->backends.at(*IpAddress::parse(backend));
  };
  const auto refreshed = [&] {
    node.port.backends_put.clear();
    const auto changed = node.applier->refresh_paths();
    EXPECT_TRUE(changed.ok());
    EXPECT_EQ(*changed, node.port.backends_put.size());
    return std::set<uint32_t>(node.port.backends_put.begin(), node.port.backends_put.end());
  };
  EXPECT_TRUE(refreshed().empty());

  const IpAddress second = *IpAddress::parse("10.0.0.2"), shared = *IpAddress::parse("10.0.0.1");
  Path detour = Paths::usual(second);
  detour.ifindex = 9;
  node.paths.special[second] = detour;
  EXPECT_EQ(refreshed(), (std::set<uint32_t>{id_of(0, "10.0.0.2")}));
  EXPECT_TRUE(node.tables.egress.contains(9)) << "packets must be let out where they are now sent";
  EXPECT_TRUE(refreshed().empty());

  node.paths.special[shared] = std::nullopt;
  EXPECT_EQ(refreshed(), (std::set<uint32_t>{id_of(0, "10.0.0.1"), id_of(1, "10.0.0.1")}));
  EXPECT_EQ(node.tables.backends()[id_of(1, "10.0.0.1")].state, SL_BACKEND_UNRESOLVED);
  EXPECT_TRUE(refreshed().empty());

  node.paths.special.clear();
  EXPECT_EQ(refreshed().size(), 3u);
  node.expect(two_services());
}

TEST(Applier, FollowsEncapsulationAndNextHopsOfTheConfiguration) {
  Node node;
  model::Config config = two_services();
  ASSERT_TRUE(node.applier->apply(config).ok());
  config.services[0].backends[1].next_hop = *MacAddress::parse("02:00:00:00:00:99");
  node.port.backends_put.clear();
  ASSERT_TRUE(node.applier->apply(config).ok());
  EXPECT_EQ(node.port.backends_put.size(), 1u);
  node.expect(config);
  config.encapsulation.source4 = *IpPrefix::parse("172.16.0.0/16");
  ASSERT_TRUE(node.applier->apply(config).ok());
  node.expect(config);
}

// An interface can vanish between the kernel's answer and the write.
TEST(Applier, SendsNoPacketToAnInterfaceThatCannotBeOpened) {
  Node node;
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  const IpAddress third = *IpAddress::parse("10.0.0.3");
  Path detour = Paths::usual(third);
  detour.ifindex = 77;
  node.paths.special[third] = detour;
  node.port.fail_write = 1;
  EXPECT_EQ(*node.applier->refresh_paths(), 1u);
  ASSERT_EQ(node.port.faults, 1u);
  const uint32_t id = node.applier->placed(ServiceKey::of(two_services().services[1]))->backends.at(third);
  EXPECT_EQ(node.tables.backends()[id].state, SL_BACKEND_UNRESOLVED);
  EXPECT_EQ(*node.applier->refresh_paths(), 1u);
  EXPECT_EQ(node.tables.backends()[id].ifindex, 77u);
  EXPECT_TRUE(node.tables.egress.contains(77));
}

// ---- faults ----

// All pairs that the tests of faults go between.
std::vector<std::pair<model::Config, model::Config>> transitions() {
  std::vector<std::pair<model::Config, model::Config>> all{{{}, two_services()}, {two_services(), {}}};
  for (unsigned seed = 100; seed < 108; ++seed) {
    RandomConfig random(seed);
    model::Config from = random.next(), to = random.next();
    all.emplace_back(std::move(from), std::move(to));
  }
  return all;
}

TEST(Applier, ArrivesAtTheSecondAttemptWhicheverWriteFailed) {
  unsigned failures = 0;
  for (const auto& [from, to] : transitions())
    for (unsigned n = 1; !testing::Test::HasFailure(); ++n) {
      SCOPED_TRACE("write " + std::to_string(n) + " fails");
      Node node;
      ASSERT_TRUE(node.applier->apply(from).ok());
      node.port.fail_write = n;
      const bool done = node.applier->apply(to).ok();
      if (node.port.faults == 0) break;
      failures += !done;
      const bool goes_on = n % 2 == 0;
      ASSERT_TRUE(node.applier->apply(goes_on ? to : from).ok());
      node.expect(goes_on ? to : from);
    }
  EXPECT_GT(failures, 200u);
}

TEST(Applier, SurvivesAFaultThatLasts) {
  for (const auto& [from, to] : transitions())
    for (unsigned n = 1; !testing::Test::HasFailure(); ++n) {
      SCOPED_TRACE("all writes from " + std::to_string(n) + " on fail");
      Node node;
      ASSERT_TRUE(node.applier->apply(from).ok());
      node.port.fail_write = n;
      node.port.fault_lasts = true;
      (void)node.applier->apply(to);
      if (node.port.faults == 0) break;
      (void)node.applier->apply(from);
      (void)node.applier->apply(to);
      (void)node.applier->refresh_paths();
      (void)node.applier->settle(Moment::now());
      node.port.fail_write = 0;
      ASSERT_TRUE(node.applier->refresh_paths().ok());
      ASSERT_TRUE(node.applier->apply(to).ok());
      node.expect(to);
    }
}

TEST(Applier, LosesNothingWhereverTheAgentDies) {
  unsigned deaths = 0;
  for (const auto& [from, to] : transitions())
    for (unsigned n = 1; !testing::Test::HasFailure(); ++n) {
      SCOPED_TRACE("dies in write " + std::to_string(n));
      Node node;
      ASSERT_TRUE(node.applier->apply(from).ok());
      node.port.crash_write = n;
      try {
        ASSERT_TRUE(node.applier->apply(to).ok());
        break;
      } catch (const test::Crash&) {
        ++deaths;
      }
      node.restart();
      const bool goes_on = n % 2 == 0;
      ASSERT_TRUE(node.applier->apply(goes_on ? to : from).ok());
      node.expect(goes_on ? to : from);
      ASSERT_TRUE(node.applier->apply(make_config({})).ok());
      node.expect(make_config({}));
    }
  EXPECT_GT(deaths, 300u);
}

TEST(Applier, SurvivesDyingAgainAndAgain) {
  for (unsigned seed = 1; seed <= 30 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("history " + std::to_string(seed));
    RandomConfig random(seed);
    Node node;
    for (int i = 0; i < 12 && !testing::Test::HasFailure(); ++i) {
      const model::Config wanted = random.next();
      for (bool done = false; !done;) try {
          node.port.crash_write = random.below(2) == 0 ? 1 + random.below(20) : 0;
          if (!node.applier) node.restart();
          ASSERT_TRUE(node.applier->apply(wanted).ok());
          done = true;
        } catch (const test::Crash&) {
          node.port.crash_write = 0;
          EXPECT_TRUE(node.port.wait_for_packets());
          node.applier.reset();
        }
      node.port.crash_write = 0;
      node.expect(wanted);
    }
  }
}

// Services whose value cannot be are deleted, and packets may be in their blocks for a moment longer.
TEST(Applier, DeletesImpossibleServicesAndWaitsBeforeItUsesTheirBlocks) {
  Node node;
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  node.applier.reset();
  const sl_service first = node.tables.services()->front().value;
  ASSERT_TRUE(node.tables.put_service({*Endpoint::parse("192.0.2.9:80"), model::Protocol::kTcp},
                                      {1024, 1023, first.id, 0}));  // another's id
  node.restart();
  ASSERT_TRUE(node.applier->apply(two_services()).ok());
  model::Config more = two_services();
  more.services.push_back(make_service("three", "192.0.2.3:80", {make_backend("10.0.0.1")}, 4096));
  ASSERT_TRUE(node.applier->apply(more).ok());
  node.expect(more);
}

// ---- any configuration after any other ----

// The tables with backends by name, so that two tables with other ids can be compared.
std::map<ServiceKey, std::vector<std::string>> by_name(const Node& node, const model::Config& config) {
  std::map<ServiceKey, std::vector<std::string>> all;
  for (const auto& service : config.services) {
    const auto* placed = node.applier->placed(ServiceKey::of(service));
    auto& names = all[ServiceKey::of(service)];
    for (uint32_t i = 0; i < service.ring_slots; ++i) {
      const uint32_t id = node.tables.ring()[placed->value.ring_base + i] & ~SL_SLOT_TRACKED;
      names.push_back(id == 0 ? "none" : dataplane::address_of(node.tables.backends()[id]).to_string());
    }
  }
  return all;
}

TEST(Applier, ArrivesWhereAFreshStartWouldWhateverCameBefore) {
  for (unsigned seed = 1; seed <= 40 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("configurations " + std::to_string(seed));
    RandomConfig random(seed);
    Node node;
    model::Config last;
    for (int i = 0; i < 8; ++i) {
      last = random.next();
      ASSERT_TRUE(node.applier->apply(last).ok());
      node.expect(last);
    }
    Node fresh;
    ASSERT_TRUE(fresh.applier->apply(last).ok());
    EXPECT_EQ(by_name(node, last), by_name(fresh, last));
  }
}

// ---- flows ----

// Clients of all services of a node. A flow is its VIP, its hash, and the backend that answered it first.
class Clients {
 public:
  Clients(Node& node, unsigned seed) : node_(node), random_(seed) {}

  void begin_flows(const model::Config& config) {
    for (const auto& service : config.services)
      for (int i = 0; i < 10; ++i) {
        const auto hash = [&] { return static_cast<uint32_t>(random_()); };
        Flow flow{ServiceKey::of(service), {hash(), hash(), hash()}, ++last_number_, {}};
        flow.backend = send(flow, true);
        if (flow.backend) flows_.push_back(flow);
      }
  }

  void forget_lost(const model::Config& from, const model::Config& to) {
    std::erase_if(flows_, [&](const Flow& flow) {
      const auto* before = find(from, flow.service);
      const auto* after = find(to, flow.service);
      if (before == nullptr || after == nullptr || after->find_backend(*flow.backend) == nullptr) return true;
      if (after->find_backend(*flow.backend)->state == BackendState::kDown) return true;
      // What stateless means, and that UDP has no SYN, is the operator's to know.
      const bool udp = flow.service.protocol == model::Protocol::kUdp;
      return after->flows == model::FlowTracking::kStateless ||
             (udp && before->flows == model::FlowTracking::kStateless);
    });
  }

  size_t expect_kept() {
    for (const Flow& flow : flows_) {
      const auto told = send(flow, false);
      EXPECT_TRUE(told == flow.backend)
          << flow.service.to_string() << " told " << (told ? told->to_string() : "nobody") << ", began at "
          << flow.backend->to_string();
    }
    return flows_.size();
  }

 private:
  struct Flow {
    ServiceKey service;
    std::array<uint32_t, 3> hashes;  // by sl_slot_hash
    uint32_t number;
    std::optional<IpAddress> backend;
  };

  static const model::Service* find(const model::Config& config, const ServiceKey& key) {
    for (const auto& service : config.services)
      if (ServiceKey::of(service) == key) return &service;
    return nullptr;
  }

  bool lives(uint32_t id) const {
    const uint32_t state = node_.tables.backends()[id].state;
    return id != 0 && state != SL_BACKEND_UNSET && state != SL_BACKEND_DOWN;
  }

  // As bpf/lib/select.h and flow.h do it.
  uint32_t choose(const Flow& flow, const sl_service& value, bool opens) {
    const uint32_t hash = flow.hashes[value.flags >> SL_SERVICE_HASH_SHIFT & SL_SERVICE_HASH_MASK];
    const uint32_t older = flow.hashes[value.flags >> SL_SERVICE_ORIGIN_HASH_SHIFT & SL_SERVICE_HASH_MASK];
    const uint32_t slot = node_.tables.ring()[value.ring_base + (hash & value.ring_mask)];
    const uint32_t current = slot & ~SL_SLOT_TRACKED;
    const bool tracked = (slot & SL_SLOT_TRACKED) != 0 && (value.flags & SL_SERVICE_TRACK_NONE) == 0;
    if (!tracked && (value.flags & SL_SERVICE_TRACK_ALL) == 0) return current;
    const uint32_t origin =
        tracked ? node_.tables.origin()[value.ring_base + (older & value.ring_mask)] : current;
    sl_flow* entry = nullptr;
    for (auto& [key, each] : node_.tables.flows)
      if (key.destination[0] == flow.number) entry = &each;
    if (entry != nullptr && entry->service_id == value.id && lives(entry->backend)) return entry->backend;
    const bool first = opens && flow.service.protocol == model::Protocol::kTcp;
    const uint32_t chosen = !first && lives(origin) ? origin : current;
    if (chosen == 0) return 0;
    const sl_flow written{chosen, value.id, hash, 0, 0};
    if (entry != nullptr) {
      *entry = written;
    } else {
      sl_flow_key key{};
      key.destination[0] = flow.number;
      node_.tables.flows.emplace_back(key, written);
    }
    return chosen;
  }

  std::optional<IpAddress> send(const Flow& flow, bool opens) {
    const auto services = node_.tables.services();
    for (const auto& [key, value] : *services) {
      if (key != flow.service) continue;
      const uint32_t id = choose(flow, value, opens);
      if (!lives(id)) return std::nullopt;
      EXPECT_EQ(node_.tables.backends()[id].service_id, value.id);
      return dataplane::address_of(node_.tables.backends()[id]);
    }
    return std::nullopt;
  }

  Node& node_;
  std::mt19937 random_;
  uint32_t last_number_ = 0;
  std::vector<Flow> flows_;
};

TEST(Applier, BreaksNoFlowOfALivingBackend) {
  size_t kept = 0;
  for (unsigned seed = 1; seed <= 40 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("configurations " + std::to_string(seed));
    RandomConfig random(seed);
    Node node;
    Clients clients(node, seed);
    model::Config config;
    for (int i = 0; i < 8; ++i) {
      const model::Config next = random.next();
      if (random.below(4) == 0) {  // a change that fails in its midst, or with which the agent dies
        node.port.fail_write = 1 + random.below(20);
        (void)node.applier->apply(next);
        node.port.fail_write = 0;
        if (random.below(2) == 0) node.restart();
      }
      ASSERT_TRUE(node.applier->apply(next).ok());
      clients.forget_lost(config, next);
      kept += clients.expect_kept();
      clients.begin_flows(next);
      config = next;
    }
  }
  EXPECT_GT(kept, 5000u);
}

}  // namespace
}  // namespace sluice::apply
