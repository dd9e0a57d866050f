// Who wins at the start: the configuration file, the stored state, or the command line.
#include "agent/initial_state.h"

#include <gtest/gtest.h>

#include <fstream>

#include "random_config.h"
#include "scripted_agent.h"

namespace sluice::agent {
namespace {

constexpr const char* kInterfaces = "version: 1\ninterfaces:\n  - {name: eth0}\n";
constexpr const char* kWeb = "services:\n  - {name: web, vip: '192.0.2.1:80', protocol: tcp}\n";

class InitialStateTest : public testing::Test {
 protected:
  void SetUp() override {
    options_.config_path = directory_.path() + "/sluice.yaml";
    auto store = StateStore::open(directory_.path() + "/state");
    ASSERT_TRUE(store.ok());
    store_.emplace(std::move(store).value());
  }

  void write_file(const std::string& text) const { std::ofstream(*options_.config_path) << text; }

  // The agent's start, which ends with the state being saved.
  StoredState start() const {
    auto initial = initial_state(options_, *store_);
    EXPECT_TRUE(initial.ok()) << initial.error().message;
    if (!initial.ok()) return {};
    EXPECT_FALSE(initial->remark.empty());
    EXPECT_TRUE(store_->save(initial->state).ok());
    return initial->state;
  }

  // What the CLI does: a service more.
  void add_service(const std::string& name, std::string_view vip) const {
    StoredState state = *store_->load()->state;
    state.config.services.push_back(test::make_service(name, vip, {}));
    ++state.revision;
    ASSERT_TRUE(store_->save(state).ok());
  }

  static std::string names(const StoredState& state) {
    std::string all;
    for (const auto& service : state.config.services) all += (all.empty() ? "" : " ") + service.name;
    return all;
  }

  void expect_refused(ErrorCode code, const std::string& says) const {
    const auto initial = initial_state(options_, *store_);
    ASSERT_FALSE(initial.ok());
    EXPECT_EQ(initial.error().code, code);
    EXPECT_NE(initial.error().message.find(says), std::string::npos) << initial.error().message;
  }

  test::TemporaryDirectory directory_;
  Options options_;
  std::optional<StateStore> store_;
};

TEST_F(InitialStateTest, ComesFromTheFileWhenNothingIsStored) {
  write_file(std::string(kInterfaces) + kWeb);
  const StoredState state = start();
  EXPECT_EQ(names(state), "web");
  EXPECT_EQ(state.revision, 0u);
  EXPECT_FALSE(state.file_digest.empty());
  ASSERT_EQ(state.config.interfaces.size(), 1u);
  EXPECT_EQ(state.config.interfaces[0].name, "eth0");
}

TEST_F(InitialStateTest, KeepsWhatTheCommandAddedWhileTheFileStaysTheSame) {
  write_file(std::string(kInterfaces) + kWeb);
  start();
  add_service("api", "192.0.2.1:443");
  const StoredState state = start();
  EXPECT_EQ(names(state), "web api");
  EXPECT_EQ(state.revision, 1u);
  EXPECT_EQ(names(start()), "web api") << "and at the next start, too";
}

TEST_F(InitialStateTest, TakesTheServicesOfAFileThatChanged) {
  write_file(std::string(kInterfaces) + kWeb);
  start();
  add_service("api", "192.0.2.1:443");
  write_file(std::string(kInterfaces) + kWeb + "  - {name: dns, vip: '192.0.2.1:53', protocol: udp}\n");
  EXPECT_EQ(names(start()), "web dns");
}

TEST_F(InitialStateTest, TakesAFileThatDeclaresThatThereAreNoServices) {
  write_file(std::string(kInterfaces) + kWeb);
  start();
  write_file(std::string(kInterfaces) + "services: []\n");
  EXPECT_EQ(names(start()), "");
}

TEST_F(InitialStateTest, LeavesServicesAloneWhenTheFileDoesNotSpeakOfThem) {
  write_file(kInterfaces);
  start();
  add_service("api", "192.0.2.1:443");
  write_file(std::string(kInterfaces) + "defaults: {grace: 5m}\n");
  const StoredState state = start();
  EXPECT_EQ(names(state), "api");
  EXPECT_EQ(state.config.defaults.grace_seconds, 300u) << "all but services is the file's";
}

TEST_F(InitialStateTest, TakesAllButServicesFromTheFileEvenWhenItIsTheSame) {
  write_file(std::string(kInterfaces) + kWeb);
  StoredState state = start();
  state.config.defaults.grace_seconds = 7;
  ASSERT_TRUE(store_->save(state).ok());
  EXPECT_EQ(start().config.defaults.grace_seconds, 900u);
}

TEST_F(InitialStateTest, SaysWhenTheHashWillSpreadFlowsAnotherWay) {
  write_file(std::string(kInterfaces) + "defaults: {hash_seed: one}\n");
  EXPECT_FALSE(initial_state(options_, *store_)->hash_changes) << "nothing is there that could change";
  start();
  EXPECT_FALSE(initial_state(options_, *store_)->hash_changes);
  write_file(std::string(kInterfaces) + "defaults: {hash_seed: two}\n");
  EXPECT_TRUE(initial_state(options_, *store_)->hash_changes);
}

TEST_F(InitialStateTest, PutsTheCommandLinesInterfacesFirst) {
  write_file(kInterfaces);
  options_.interfaces = {"eth7", "eth8"};
  const StoredState state = start();
  ASSERT_EQ(state.config.interfaces.size(), 2u);
  EXPECT_EQ(state.config.interfaces[0].name, "eth7");
}

TEST_F(InitialStateTest, NeedsAnInterface) {
  write_file("version: 1\n");
  expect_refused(ErrorCode::kInvalid, "--interface");
}

TEST_F(InitialStateTest, RefusesAnInterfaceTwice) {
  write_file(kInterfaces);
  options_.interfaces = {"eth7", "eth7"};
  expect_refused(ErrorCode::kExists, "eth7");
}

TEST_F(InitialStateTest, RefusesAFileThatIsMissingThoughItWasAskedFor) {
  expect_refused(ErrorCode::kNotFound, *options_.config_path);
}

TEST_F(InitialStateTest, RefusesAFileWithAFaultAndSaysWhere) {
  write_file(std::string(kInterfaces) + "sevices: []\n");
  expect_refused(ErrorCode::kInvalid, *options_.config_path + ":4:");
}

TEST_F(InitialStateTest, RefusesADirectory) {
  options_.config_path = directory_.path();
  EXPECT_FALSE(initial_state(options_, *store_).ok());
}

TEST_F(InitialStateTest, RefusesWhatIsOnlyTogetherTooMuch) {
  write_file(std::string(kInterfaces) + kWeb);
  start();
  write_file(std::string(kInterfaces) + "limits: {services: 1}\n");
  add_service("api", "192.0.2.1:443");
  expect_refused(ErrorCode::kNoSpace, "limits.services");
}

TEST_F(InitialStateTest, DoesNotStartFromDamage) {
  write_file(kInterfaces);
  std::ofstream(directory_.path() + "/state/state.json") << "{";
  EXPECT_FALSE(initial_state(options_, *store_).ok());
}

}  // namespace
}  // namespace sluice::agent
