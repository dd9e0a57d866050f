// What identifies a service in the data plane: VIP, port and protocol. Names are the control plane's.
#pragma once

#include <compare>
#include <string>

#include "base/address.h"
#include "bpf/abi.h"
#include "model/config.h"

namespace sluice::dataplane {

struct ServiceKey {
  Endpoint vip;  // port 0: any port
  model::Protocol protocol = model::Protocol::kTcp;

  static ServiceKey of(const model::Service& service) { return {service.vip, service.protocol}; }
  static ServiceKey from(const sl_service_key4& key);
  static ServiceKey from(const sl_service_key6& key);
  sl_service_key4 to_key4() const;  // the VIP is IPv4
  sl_service_key6 to_key6() const;  // the VIP is IPv6
  std::string to_string() const;    // "tcp 192.0.2.1:80"

  auto operator<=>(const ServiceKey&) const = default;
};

}  // namespace sluice::dataplane
