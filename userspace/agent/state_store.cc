#include "agent/state_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "agent/read_file.h"
#include "model/codec.h"

namespace sluice::agent {
namespace {

constexpr const char* kCurrent = "/state.json";
constexpr const char* kPrevious = "/state.previous.json";
constexpr const char* kAside = "/state.json.new";
constexpr const char* kLock = "/lock";

Result<StoredState> parse(const std::string& text, const std::string& path) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto torn = [&](std::string_view why) {
    return Error{ErrorCode::kInvalid, fmt::format("{}: {}", path, why)};
  };
  if (!json.is_object() || !json.contains("config")) return torn("cut short or not a state file");
  StoredState state;
  if (json.contains("revision") && json["revision"].is_number_unsigned()) state.revision = json["revision"];
  if (json.contains("file_digest") && json["file_digest"].is_string())
    state.file_digest = json["file_digest"];
  Result<model::Config> config = model::decode(json["config"]);
  if (!config.ok()) return std::move(config).error().within(path);
  state.config = std::move(config).value();
  return state;
}

Result<> write_whole(const std::string& path, const std::string& text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return system_error("write " + path, errno);
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = ::write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return system_error("write " + path, errno);
    done += static_cast<size_t>(wrote);
  }
  if (::fsync(fd.get()) != 0) return system_error("write " + path + " to disk", errno);
  return ok();
}

}  // namespace

Result<StateStore> StateStore::open(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) return system_error("make the state directory " + directory, error.value());
  Fd lock(::open((directory + kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) {
    Error failed = system_error("lock the state directory " + directory, errno);
    if (failed.code == ErrorCode::kPermission)
      failed.message += " (needs root, or ownership of the directory)";
    return failed;
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    char pid[16] = {};
    const ssize_t size = ::pread(lock.get(), pid, sizeof pid - 1, 0);
    return Error{
        ErrorCode::kExists,
        fmt::format("another agent (process {}) holds {}: stop it first, or give this one a --state-dir, "
                    "--socket and --bpffs of its own",
                    size > 0 ? pid : "unknown", directory)};
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(lock.get(), 0) != 0 || ::pwrite(lock.get(), pid.data(), pid.size(), 0) < 0)
    return system_error("write to the state directory " + directory, errno);
  return StateStore(directory, std::move(lock));
}

Result<StateStore::Loaded> StateStore::load() const {
  Loaded loaded;
  const std::string newest = directory_ + kCurrent;
  for (const char* name : {kCurrent, kPrevious}) {
    const std::string path = directory_ + name;
    const auto text = SLUICE_TRY(read_file(path));
    if (!text) continue;
    Result<StoredState> state = parse(*text, path);
    if (state.ok()) {
      loaded.state = std::move(state).value();
      if (path != newest && loaded.warning.empty()) loaded.warning = newest + " is missing";
      if (!loaded.warning.empty()) loaded.warning += fmt::format("; the state before it ({}) is used", path);
      return loaded;
    }
    if (!loaded.warning.empty()) loaded.warning += "; ";
    loaded.warning += state.error().message;
  }
  if (loaded.warning.empty()) return loaded;
  return Error{ErrorCode::kInvalid, fmt::format("no readable state in {} ({}): repair or remove its files",
                                                directory_, loaded.warning)};
}

Result<> StateStore::save(const StoredState& state) const {
  const nlohmann::json json{{"config", model::encode(state.config)},
                            {"revision", state.revision},
                            {"file_digest", state.file_digest}};
  const std::string current = directory_ + kCurrent, previous = directory_ + kPrevious,
                    aside = directory_ + kAside;
  SLUICE_TRY(write_whole(aside, json.dump(2) + "\n"));
  ::unlink(previous.c_str());
  if (::link(current.c_str(), previous.c_str()) != 0 && errno != ENOENT)
    return system_error("keep the previous state as " + previous, errno);
  if (::rename(aside.c_str(), current.c_str()) != 0) return system_error("replace " + current, errno);
  const Fd directory(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0)
    return system_error("write " + directory_ + " to disk", errno);
  return ok();
}

}  // namespace sluice::agent
