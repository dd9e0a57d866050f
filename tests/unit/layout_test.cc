// What recovery makes of tables that a former agent, a crash or a fault left.
#include "plan/layout.h"

#include <gtest/gtest.h>

#include "dataplane/backend_entry.h"
#include "dataplane/fake_port.h"

namespace sluice::plan {
namespace {

using dataplane::FakePort;
using dataplane::ServiceKey;

constexpr uint32_t kServices = 8, kBackends = 16, kSlots = 4096;

ServiceKey key(uint16_t port) {
  return {{*IpAddress::parse("192.0.2.1"), port}, model::Protocol::kTcp};
}

class LayoutTest : public testing::Test {
 protected:
  void put_service(uint16_t port, uint32_t id, uint32_t base, uint32_t mask) {
    ASSERT_TRUE(tables_.put_service(key(port), {base, mask, id, 0}));
  }
  void put_backend(uint32_t id, uint32_t service_id, std::string_view address) {
    ASSERT_TRUE(tables_.put_backend(
        id, dataplane::make_backend_entry(service_id, *IpAddress::parse(address), Family::kV4, {}, {})));
  }
  Recovered recover() { return *recover_layout(tables_, kServices); }

  FakePort tables_{kServices, kBackends, kSlots};
};

TEST_F(LayoutTest, EmptyTablesAreAllFree) {
  const Recovered found = recover();
  EXPECT_TRUE(found.layout.services.empty());
  EXPECT_TRUE(found.bad_services.empty());
  EXPECT_TRUE(found.stray_backends.empty());
  EXPECT_EQ(found.layout.service_ids.free_count(), kServices);
  EXPECT_EQ(found.layout.backend_ids.free_count(), kBackends);
  EXPECT_EQ(found.layout.ring.free_count(), kSlots);
}

TEST_F(LayoutTest, FindsServicesTheirBlocksAndTheirBackends) {
  put_service(80, 2, 256, 255);
  put_service(443, 5, 1024, 1023);
  put_backend(1, 2, "10.0.0.1");
  put_backend(4, 5, "10.0.0.1");
  put_backend(16, 5, "10.0.0.2");
  Recovered found = recover();
  EXPECT_TRUE(found.bad_services.empty());
  EXPECT_TRUE(found.stray_backends.empty());
  ASSERT_EQ(found.layout.services.size(), 2u);
  const ServiceLayout& web = found.layout.services.at(key(80));
  EXPECT_EQ(web.value.ring_base, 256u);
  EXPECT_EQ(web.slots(), 256u);
  EXPECT_EQ(web.backends, (std::map<IpAddress, uint32_t>{{*IpAddress::parse("10.0.0.1"), 1}}));
  EXPECT_EQ(found.layout.services.at(key(443)).backends,
            (std::map<IpAddress, uint32_t>{{*IpAddress::parse("10.0.0.1"), 4},
                                           {*IpAddress::parse("10.0.0.2"), 16}}));

  EXPECT_EQ(found.layout.service_ids.free_count(), kServices - 2);
  EXPECT_EQ(found.layout.backend_ids.free_count(), kBackends - 3);
  EXPECT_EQ(found.layout.ring.free_count(), kSlots - 256 - 1024);
  EXPECT_FALSE(found.layout.service_ids.reserve(2, 1));
  EXPECT_FALSE(found.layout.backend_ids.reserve(16, 1));
  EXPECT_FALSE(found.layout.ring.reserve(511, 1));
  EXPECT_TRUE(found.layout.ring.reserve(512, 512));
}

TEST_F(LayoutTest, LiveEntriesThatNoServiceOwnsAreStray) {
  put_service(80, 1, 0, 255);
  put_backend(1, 1, "10.0.0.1");
  put_backend(2, 7, "10.0.0.2");  // of a service that was never published
  put_backend(3, 0, "10.0.0.3");
  put_backend(5, 1, "10.0.0.1");  // a second one of the same address
  const Recovered found = recover();
  EXPECT_EQ(found.stray_backends, (std::vector<uint32_t>{2, 3, 5}));
  EXPECT_EQ(found.layout.backend_ids.free_count(), kBackends - 4) << "not free before they are retired";
}

TEST_F(LayoutTest, UnsetEntriesAreFreeWhateverTheyHold) {
  put_service(80, 1, 0, 255);
  put_backend(3, 1, "10.0.0.1");
  tables_.set_backend_state(3, SL_BACKEND_UNSET);
  Recovered found = recover();
  EXPECT_TRUE(found.layout.services.at(key(80)).backends.empty());
  EXPECT_TRUE(found.stray_backends.empty());
  EXPECT_TRUE(found.layout.backend_ids.reserve(3, 1));
}

TEST_F(LayoutTest, BackendsInEveryLiveStateKeepTheirIds) {
  put_service(80, 1, 0, 255);
  uint32_t id = 1;
  for (const auto state : {SL_BACKEND_UP, SL_BACKEND_UNRESOLVED, SL_BACKEND_UPDATING}) {
    put_backend(id, 1, "10.0.0." + std::to_string(id));
    tables_.set_backend_state(id++, state);
  }
  EXPECT_EQ(recover().layout.services.at(key(80)).backends.size(), 3u);
}

struct Impossible {
  const char* why;
  uint32_t id, base, mask;
};

class ImpossibleService : public LayoutTest, public testing::WithParamInterface<Impossible> {};

TEST_P(ImpossibleService, IsToBeDeletedAndHoldsNothing) {
  const Impossible& bad = GetParam();
  put_service(80, bad.id, bad.base, bad.mask);
  if (bad.id != 0) put_backend(1, bad.id, "10.0.0.1");
  const Recovered found = recover();
  EXPECT_EQ(found.bad_services, (std::vector<ServiceKey>{key(80)})) << bad.why;
  EXPECT_TRUE(found.layout.services.empty());
  EXPECT_EQ(found.layout.service_ids.free_count(), kServices);
  EXPECT_EQ(found.layout.ring.free_count(), kSlots);
  EXPECT_EQ(found.stray_backends.size(), bad.id != 0 ? 1u : 0u);
}

INSTANTIATE_TEST_SUITE_P(Layout, ImpossibleService,
                         testing::Values(Impossible{"id 0 is never valid", 0, 0, 255},
                                         Impossible{"the id is over the limit", kServices + 1, 0, 255},
                                         Impossible{"not a power of two", 1, 0, 191},
                                         Impossible{"less than a line", 1, 0, 7},
                                         Impossible{"no whole lines", 1, 8, 255},
                                         Impossible{"over the end", 1, kSlots - 128, 255},
                                         Impossible{"behind the end", 1, kSlots, 255},
                                         Impossible{"longer than the ring", 1, 0, 2 * kSlots - 1},
                                         Impossible{"2^32 slots", 1, 0, UINT32_MAX}));

TEST_F(LayoutTest, OfTwoServicesThatClaimOneBlockOrIdOneIsKept) {
  put_service(80, 1, 0, 1023);
  put_service(81, 2, 512, 511);   // overlaps
  put_service(82, 1, 2048, 255);  // the same id
  Recovered found = recover();
  EXPECT_EQ(found.bad_services, (std::vector<ServiceKey>{key(81), key(82)}));
  EXPECT_EQ(found.layout.services.size(), 1u);
  EXPECT_TRUE(found.layout.service_ids.reserve(2, 1)) << "a refused service gives its id back";
  EXPECT_EQ(found.layout.ring.free_count(), kSlots - 1024);
}

}  // namespace
}  // namespace sluice::plan
