#include "packet_balancer.h"

#include <bpf/libbpf.h>

#include <numeric>

#include "dataplane/program_config.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kLoopback = 1;  // in every namespace, and what BPF_PROG_TEST_RUN says packets came in by
constexpr uint32_t kMtu = 1600;    // bytes

std::vector<uint64_t> packets_of(const std::vector<sl_counter>& counters) {
  std::vector<uint64_t> packets;
  packets.reserve(counters.size());
  for (const auto& counter : counters) packets.push_back(counter.packets);
  return packets;
}

void subtract(std::vector<uint64_t>& from, const std::vector<uint64_t>& before) {
  for (size_t i = 0; i < from.size(); ++i) from[i] -= before[i];
}

}  // namespace

uint64_t Counts::forwarded() const {
  uint64_t sum = 0;
  for (const auto& [address, packets] : backends) sum += packets;
  return sum;
}

uint64_t Counts::not_forwarded() const {
  return std::accumulate(reasons.begin(), reasons.end(), uint64_t{0});
}

Counts operator-(const Counts& after, const Counts& before) {
  Counts rise = after;
  for (auto& [address, packets] : rise.backends) packets -= before.backends.at(address);
  subtract(rise.reasons, before.reasons);
  subtract(rise.flow_events, before.flow_events);
  return rise;
}

Result<std::unique_ptr<Balancer>> Balancer::make(const model::Config& config, const Sender& sender) {
  SLUICE_TRY(model::validate(config));
  std::unique_ptr<Balancer> balancer(new Balancer);
  balancer->port_ = SLUICE_TRY(kernel::MapPort::open(config.limits, std::nullopt));
  const dataplane::Path path{kLoopback, sender.source_mac, sender.destination_mac, sender.source, kMtu};
  balancer->applier_.emplace(SLUICE_TRY(apply::Applier::take_over(
      *balancer->port_, config.limits,
      [path](const IpAddress&, const std::optional<MacAddress>&) -> std::optional<dataplane::Path> {
        return path;
      })));
  SLUICE_TRY(balancer->apply(config));
  balancer->program_.emplace(
      SLUICE_TRY(kernel::Program::open(*balancer->port_, dataplane::make_program_config(config))));
  SLUICE_TRY(balancer->program_->load());
  return balancer;
}

Result<> Balancer::apply(const model::Config& config) {
  SLUICE_TRY(applier_->apply(config));
  return ok();
}

int Balancer::program_fd() const {
  return bpf_program__fd(bpf_object__find_program_by_name(program_->object(), "sluice"));
}

Result<Counts> Balancer::counts() const {
  Counts counts;
  for (const auto& service : applied().services)
    for (const auto& [address, id] : applier_->placed(dataplane::ServiceKey::of(service))->backends)
      counts.backends[address] += SLUICE_TRY(port_->backend_counters({&id, 1})).front().packets;
  counts.reasons = packets_of(SLUICE_TRY(port_->reason_counters()));
  counts.flow_events = packets_of(SLUICE_TRY(port_->flow_counters()));
  return counts;
}

Result<size_t> Balancer::flow_entries() {
  size_t entries = 0;
  SLUICE_TRY(port_->erase_flows([&](const sl_flow_key&, const sl_flow&) { return ++entries, false; }));
  return entries;
}

}  // namespace sluice::bench
