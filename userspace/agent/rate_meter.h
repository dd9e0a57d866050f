// Turns counters that only grow into rates: packets and bytes a second between the last two samples. One
// thread.
#pragma once

#include <chrono>
#include <map>
#include <vector>

#include "api/messages.h"
#include "bpf/abi.h"

namespace sluice::agent {

class RateMeter {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // One round of samples: of each id its counter. Ids that are missing are forgotten.
  void sample(const std::vector<uint32_t>& ids, const std::vector<sl_counter>& counters, Time now);
  // `counter` is the present one; the rate is that of the last round.
  api::Traffic traffic(uint32_t id, const sl_counter& counter) const;

 private:
  struct Entry {
    sl_counter last{};
    double packets_per_second = 0;
    double bytes_per_second = 0;
  };
  std::map<uint32_t, Entry> entries_;
  Time sampled_{};
};

}  // namespace sluice::agent
