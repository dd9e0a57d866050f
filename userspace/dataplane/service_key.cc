#include "dataplane/service_key.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <cstring>

namespace sluice::dataplane {

ServiceKey ServiceKey::from(const sl_service_key4& key) {
  return {{IpAddress::v4(key.vip), ntohs(key.port)}, static_cast<model::Protocol>(key.protocol)};
}

ServiceKey ServiceKey::from(const sl_service_key6& key) {
  IpAddress address{Family::kV6, {}};
  std::memcpy(address.bytes.data(), key.vip, sizeof key.vip);
  return {{address, ntohs(key.port)}, static_cast<model::Protocol>(key.protocol)};
}

sl_service_key4 ServiceKey::to_key4() const {
  sl_service_key4 key{};
  std::memcpy(&key.vip, vip.address.bytes.data(), sizeof key.vip);
  key.port = htons(vip.port);
  key.protocol = static_cast<uint8_t>(protocol);
  return key;
}

sl_service_key6 ServiceKey::to_key6() const {
  sl_service_key6 key{};
  std::memcpy(key.vip, vip.address.bytes.data(), sizeof key.vip);
  key.port = htons(vip.port);
  key.protocol = static_cast<uint8_t>(protocol);
  return key;
}

std::string ServiceKey::to_string() const {
  return fmt::format("{} {}", model::to_string(protocol), vip.to_string());
}

}  // namespace sluice::dataplane
