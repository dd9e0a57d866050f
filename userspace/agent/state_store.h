// The desired state on disk, so that it survives restarts and power loss.
//
// A save is atomic: write aside, fsync, keep the old one as "previous", rename, fsync the directory. A load
// takes the newest file that reads and validates, and says so when that is not the newest. One process at a
// time holds the directory's lock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/fd.h"
#include "model/config.h"

namespace sluice::agent {

struct StoredState {
  model::Config config;
  uint64_t revision = 0;
  std::string file_digest;  // of the configuration file that was last taken in; empty: none
};

class StateStore {
 public:
  // Creates the directory if needed and locks it. kExists: another agent holds it.
  static Result<StateStore> open(const std::string& directory);

  struct Loaded {
    std::optional<StoredState> state;  // nullopt: nothing was ever saved
    std::string warning;               // what was wrong with the newest file; empty: nothing
  };
  Result<Loaded> load() const;
  Result<> save(const StoredState& state) const;

 private:
  StateStore(std::string directory, Fd lock) : directory_(std::move(directory)), lock_(std::move(lock)) {}
  std::string directory_;
  Fd lock_;
};

}  // namespace sluice::agent
