// Time as a command sees it: the process's own, or one that a test lets pass at will.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

namespace sluice::cli {

struct Clock {
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
  std::function<uint64_t()> unix_time = [] {  // in seconds
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
  };
  std::function<void(std::chrono::milliseconds)> sleep = [](std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
  };
};

}  // namespace sluice::cli
