// The program on the interfaces: attach to those that are wanted, take off the others.
#pragma once

#include <vector>

#include "kernel/attachment.h"
#include "kernel/map_port.h"
#include "kernel/pins.h"
#include "kernel/route_socket.h"
#include "model/config.h"

namespace sluice::agent {

// The wanted interfaces as the kernel knows them. kUnavailable: one of them does not exist.
Result<std::vector<kernel::Interface>> find_interfaces(kernel::RouteSocket& routes,
                                                       const model::Config& config);

// Attaches to these. When one cannot be attached, those that were attached anew are taken off again.
Result<std::vector<kernel::Attachment>> attach_interfaces(const kernel::MapPort& port,
                                                          const kernel::PinDirectory& pins,
                                                          const model::Config& config,
                                                          const std::vector<kernel::Interface>& interfaces);

bool is_attached(const kernel::PinDirectory& pins, const kernel::Interface& interface);

// Takes the program off every interface of this network namespace but these; returns the names of those it
// was on.
Result<std::vector<std::string>> detach_interfaces(const kernel::PinDirectory& pins,
                                                   const std::vector<kernel::Interface>& except);

}  // namespace sluice::agent
