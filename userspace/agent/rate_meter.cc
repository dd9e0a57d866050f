#include "agent/rate_meter.h"

namespace sluice::agent {

void RateMeter::sample(const std::vector<uint32_t>& ids, const std::vector<sl_counter>& counters, Time now) {
  const double seconds = std::chrono::duration<double>(now - sampled_).count();
  std::map<uint32_t, Entry> next;
  for (size_t i = 0; i < ids.size(); ++i) {
    Entry& entry = next[ids[i]];
    entry.last = counters[i];
    const auto before = entries_.find(ids[i]);
    // A counter that shrank was cleared: its id belongs to another backend now.
    if (before == entries_.end() || seconds <= 0 || counters[i].packets < before->second.last.packets ||
        counters[i].bytes < before->second.last.bytes)
      continue;
    entry.packets_per_second =
        static_cast<double>(counters[i].packets - before->second.last.packets) / seconds;
    entry.bytes_per_second = static_cast<double>(counters[i].bytes - before->second.last.bytes) / seconds;
  }
  entries_ = std::move(next);
  sampled_ = now;
}

api::Traffic RateMeter::traffic(uint32_t id, const sl_counter& counter) const {
  api::Traffic traffic{counter.packets, counter.bytes, 0, 0};
  const auto entry = entries_.find(id);
  if (entry == entries_.end()) return traffic;
  traffic.packets_per_second = entry->second.packets_per_second;
  traffic.bytes_per_second = entry->second.bytes_per_second;
  return traffic;
}

}  // namespace sluice::agent
