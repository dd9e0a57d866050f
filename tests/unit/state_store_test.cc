// The desired state on disk: what a power cut, a full disk or a hand in the directory may do to it.
#include "agent/state_store.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "random_config.h"
#include "scripted_agent.h"

namespace sluice::agent {
namespace {

using test::make_backend;
using test::make_service;

StoredState state(uint64_t revision) {
  model::Config config = test::make_config({make_service(
      "web", "192.0.2.1:80",
      {make_backend("10.0.0.1"), make_backend("2001:db8::1", 0, model::BackendState::kDrain)})});
  config.interfaces = {{"eth0", model::XdpMode::kNative}};
  config.defaults.grace_seconds = static_cast<uint32_t>(revision) + 1;
  return {config, revision, "digest-" + std::to_string(revision)};
}

void expect_same(const StoredState& a, const StoredState& b) {
  EXPECT_EQ(a.config, b.config);
  EXPECT_EQ(a.revision, b.revision);
  EXPECT_EQ(a.file_digest, b.file_digest);
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

class StateStoreTest : public testing::Test {
 protected:
  StateStore open() {
    auto store = StateStore::open(directory_.path());
    EXPECT_TRUE(store.ok()) << store.error().message;
    return std::move(store).value();
  }

  test::TemporaryDirectory directory_;
  const std::string current_ = directory_.path() + "/state.json",
                    previous_ = directory_.path() + "/state.previous.json";
};

TEST_F(StateStoreTest, HasNothingBeforeTheFirstSave) {
  const auto loaded = open().load();
  ASSERT_TRUE(loaded.ok());
  EXPECT_FALSE(loaded->state.has_value());
  EXPECT_EQ(loaded->warning, "");
}

TEST_F(StateStoreTest, GivesBackWhatWasSavedLast) {
  const StateStore store = open();
  for (const uint64_t revision : {1, 2, 3}) {
    ASSERT_TRUE(store.save(state(revision)).ok());
    const auto loaded = store.load();
    ASSERT_TRUE(loaded.ok());
    expect_same(*loaded->state, state(revision));
    EXPECT_EQ(loaded->warning, "");
  }
}

TEST_F(StateStoreTest, KeepsRevisionsThatAJsonNumberOfOthersWouldNot) {
  const StateStore store = open();
  ASSERT_TRUE(store.save({{}, UINT64_MAX, ""}).ok());
  EXPECT_EQ(store.load()->state->revision, UINT64_MAX);
}

TEST_F(StateStoreTest, MakesItsDirectoryAndFilesForItsOwnerAlone) {
  const std::string deep = directory_.path() + "/a/b/c";
  const auto store = StateStore::open(deep);
  ASSERT_TRUE(store.ok()) << store.error().message;
  ASSERT_TRUE(store->save(state(1)).ok());
  struct stat file {};
  ASSERT_EQ(::stat((deep + "/state.json").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST_F(StateStoreTest, SaysWhichDirectoryCannotBe) {
  const auto store = StateStore::open("/proc/nowhere");
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.error().message.find("/proc/nowhere"), std::string::npos);
}

TEST_F(StateStoreTest, IsHeldByOneAgentAtATime) {
  auto first = StateStore::open(directory_.path());
  ASSERT_TRUE(first.ok());
  const auto second = StateStore::open(directory_.path());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
  EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos)
      << second.error().message;
  { const StateStore released = std::move(first).value(); }
  EXPECT_TRUE(StateStore::open(directory_.path()).ok());
}

// ---- damage ----

TEST_F(StateStoreTest, FallsBackOnThePreviousStateWhereverTheFileWasCut) {
  const StateStore store = open();
  ASSERT_TRUE(store.save(state(1)).ok());
  ASSERT_TRUE(store.save(state(2)).ok());
  const std::string whole = read(current_);
  for (size_t size = 0; size + 2 < whole.size(); ++size) {  // the last two are "}\n"
    write(current_, whole.substr(0, size));
    const auto loaded = store.load();
    ASSERT_TRUE(loaded.ok()) << size << ": " << loaded.error().message;
    expect_same(*loaded->state, state(1));
    ASSERT_NE(loaded->warning.find(current_), std::string::npos) << loaded->warning;
    ASSERT_NE(loaded->warning.find(previous_), std::string::npos) << loaded->warning;
  }
}

TEST_F(StateStoreTest, FallsBackOnThePreviousStateWhateverTheFileHolds) {
  const StateStore store = open();
  ASSERT_TRUE(store.save(state(1)).ok());
  ASSERT_TRUE(store.save(state(2)).ok());
  for (const std::string text : {"null", "[]", "{}", R"({"revision": 2})", R"({"config": 3})",
                                 R"({"config": {"version": 1, "no_such_key": 1}})",
                                 R"({"config": {"version": 1, "services": [{"name": "?"}]}})"}) {
    write(current_, text);
    const auto loaded = store.load();
    ASSERT_TRUE(loaded.ok()) << text;
    expect_same(*loaded->state, state(1));
    EXPECT_NE(loaded->warning.find(current_), std::string::npos) << text;
  }
  write(current_, std::string(4096, '\0'));  // as some file systems leave a file that was not synced
  EXPECT_EQ(store.load()->state->revision, 1u);
}

TEST_F(StateStoreTest, SaysSoWhenTheNewestFileIsMissing) {
  const StateStore store = open();
  ASSERT_TRUE(store.save(state(1)).ok());
  ASSERT_TRUE(store.save(state(2)).ok());
  std::filesystem::remove(current_);
  const auto loaded = store.load();
  ASSERT_TRUE(loaded.ok());
  expect_same(*loaded->state, state(1));
  EXPECT_NE(loaded->warning.find(current_), std::string::npos) << loaded->warning;
}

TEST_F(StateStoreTest, DoesNotStartFromNothingWhenBothFilesAreBad) {
  const StateStore store = open();
  ASSERT_TRUE(store.save(state(1)).ok());
  for (const bool has_previous : {false, true}) {
    write(current_, "{");
    if (has_previous) write(previous_, "{");
    const auto loaded = store.load();
    ASSERT_FALSE(loaded.ok());
    EXPECT_EQ(loaded.error().code, ErrorCode::kInvalid);
    EXPECT_NE(loaded.error().message.find(directory_.path()), std::string::npos);
  }
}

TEST_F(StateStoreTest, SavesOverDamage) {
  const StateStore store = open();
  write(current_, "{");
  write(directory_.path() + "/state.json.new", "what a former save left");
  ASSERT_TRUE(store.save(state(5)).ok());
  const auto loaded = store.load();
  ASSERT_TRUE(loaded.ok());
  expect_same(*loaded->state, state(5));
}

// ---- saves that fail ----

TEST_F(StateStoreTest, ReportsASaveIntoADirectoryThatIsGone) {
  const StateStore store = open();
  std::filesystem::remove_all(directory_.path());
  const auto saved = store.save(state(1));
  ASSERT_FALSE(saved.ok());
  EXPECT_NE(saved.error().message.find(directory_.path()), std::string::npos);
}

// On a file system of its own, which vanishes with the process.
class SmallDiskTest : public StateStoreTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=64k") != 0)
      GTEST_SKIP() << "cannot mount here";
    is_mounted_ = true;
  }
  void TearDown() override {
    if (is_mounted_) ::umount2(directory_.path().c_str(), MNT_DETACH);
  }
  bool remount(unsigned long flags) const {
    return ::mount("none", directory_.path().c_str(), nullptr, MS_REMOUNT | flags, "size=64k") == 0;
  }

  bool is_mounted_ = false;
};

StoredState too_large() {
  StoredState large = state(3);
  for (uint16_t port = 1000; port < 2000; ++port)
    large.config.services.push_back(make_service(
        "s" + std::to_string(port), "192.0.2.1:" + std::to_string(port), {make_backend("10.0.0.1")}));
  return large;
}

TEST_F(SmallDiskTest, KeepsTheOldStateWhenTheDiskIsFull) {
  const StateStore store = open();
  ASSERT_TRUE(store.save(state(1)).ok());
  ASSERT_TRUE(store.save(state(2)).ok());
  for (int attempt = 0; attempt < 2; ++attempt) {
    ASSERT_FALSE(store.save(too_large()).ok());
    const auto loaded = store.load();
    ASSERT_TRUE(loaded.ok());
    expect_same(*loaded->state, state(2));
    EXPECT_EQ(loaded->warning, "");
  }
  ASSERT_TRUE(store.save(state(4)).ok()) << "the half that was written does not stay in the way";
  EXPECT_EQ(store.load()->state->revision, 4u);
}

TEST_F(SmallDiskTest, KeepsTheOldStateWhenTheDiskIsReadOnly) {
  const StateStore store = open();
  ASSERT_TRUE(store.save(state(1)).ok());
  ASSERT_TRUE(store.save(state(2)).ok());
  {
    // The lock's descriptor is open for writing, which keeps a file system from turning read-only.
    const std::string whole = read(current_), older = read(previous_);
    ::umount2(directory_.path().c_str(), MNT_DETACH);
    ASSERT_EQ(::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=64k"), 0);
    write(current_, whole);
    write(previous_, older);
    ASSERT_TRUE(remount(MS_RDONLY));
  }
  EXPECT_FALSE(store.save(state(3)).ok());
  const auto loaded = store.load();
  ASSERT_TRUE(loaded.ok());
  expect_same(*loaded->state, state(2));
  EXPECT_EQ(loaded->warning, "");
}

}  // namespace
}  // namespace sluice::agent
