// What is known of the paths to backends: asked of the kernel once, remembered until something may have
// changed. One thread.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "dataplane/backend_entry.h"
#include "kernel/route_socket.h"

namespace sluice::agent {

class PathTable {
 public:
  explicit PathTable(kernel::RouteSocket& routes) : routes_(&routes) {}

  const kernel::NextHop& next_hop(const IpAddress& backend, const std::optional<MacAddress>& fixed);
  // nullopt unless the next hop is resolved. While the kernel asks again for a MAC that it has forgotten, the
  // last one stands: packets must not be lost for a question that nearly always has the same answer.
  std::optional<dataplane::Path> path_to(const IpAddress& backend, const std::optional<MacAddress>& fixed);

  // Everything is to be asked again.
  void forget() { known_.clear(); }
  void ask_again(const IpAddress& backend, const std::optional<MacAddress>& fixed) {
    known_.erase({backend, fixed});
  }

 private:
  using Question = std::pair<IpAddress, std::optional<MacAddress>>;
  kernel::RouteSocket* routes_;
  std::map<Question, kernel::NextHop> known_;
};

}  // namespace sluice::agent
