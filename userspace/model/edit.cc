#include "model/edit.h"

#include <fmt/format.h>

namespace sluice::model {
namespace {

// Edits a copy, so that an invalid result leaves no trace.
template <typename Edit>
Result<> edited(Config& config, Edit edit) {
  Config next = config;
  SLUICE_TRY(edit(next));
  SLUICE_TRY(validate(next));
  config = std::move(next);
  return ok();
}

Result<Service*> named_service(Config& config, std::string_view name) {
  Service* service = config.find_service(name);
  if (service != nullptr) return service;
  return Error{ErrorCode::kNotFound, fmt::format("no service is named '{}': 'sluice show' lists them", name)};
}

Result<Backend*> named_backend(Config& config, std::string_view name, const IpAddress& address) {
  Service* service = SLUICE_TRY(named_service(config, name));
  Backend* backend = service->find_backend(address);
  if (backend != nullptr) return backend;
  return Error{ErrorCode::kNotFound,
               fmt::format("service '{0}' has no backend {1}: 'sluice show {0}' lists them", name,
                           address.to_string())};
}

}  // namespace

Result<> add_service(Config& config, const Service& service) {
  return edited(config, [&](Config& next) -> Result<> {
    if (next.find_service(service.name) != nullptr)
      return Error{
          ErrorCode::kExists,
          fmt::format("a service named '{0}' exists already: choose another name, or remove it first with "
                      "'sluice service del {0}'",
                      service.name)};
    next.services.push_back(service);
    return ok();
  });
}

Result<> change_service(Config& config, std::string_view name, const ServiceChange& change) {
  return edited(config, [&](Config& next) -> Result<> {
    Service* service = SLUICE_TRY(named_service(next, name));
    if (change.hash) service->hash = *change.hash;
    if (change.flows) service->flows = *change.flows;
    if (change.ring_slots) service->ring_slots = *change.ring_slots;
    return ok();
  });
}

Result<> delete_service(Config& config, std::string_view name) {
  return edited(config, [&](Config& next) -> Result<> {
    SLUICE_TRY(named_service(next, name));
    std::erase_if(next.services, [&](const Service& service) { return service.name == name; });
    return ok();
  });
}

Result<> add_backend(Config& config, std::string_view name, const Backend& backend) {
  return edited(config, [&](Config& next) -> Result<> {
    Service* service = SLUICE_TRY(named_service(next, name));
    if (service->find_backend(backend.address) != nullptr)
      return Error{ErrorCode::kExists,
                   fmt::format("service '{0}' has a backend {1} already: change it with 'sluice "
                               "backend set {0} {1}'",
                               name, backend.address.to_string())};
    service->backends.push_back(backend);
    return ok();
  });
}

Result<> change_backend(Config& config, std::string_view name, const IpAddress& address,
                        const BackendChange& change) {
  return edited(config, [&](Config& next) -> Result<> {
    Backend* backend = SLUICE_TRY(named_backend(next, name, address));
    if (change.weight) backend->weight = *change.weight;
    if (change.state) {
      backend->state = *change.state;
      backend->drain_until.reset();
    }
    if (change.drain_until) backend->drain_until = change.drain_until;
    if (change.next_hop) backend->next_hop = *change.next_hop;
    return ok();
  });
}

Result<> delete_backend(Config& config, std::string_view name, const IpAddress& address) {
  return edited(config, [&](Config& next) -> Result<> {
    SLUICE_TRY(named_backend(next, name, address));
    std::erase_if(next.find_service(name)->backends,
                  [&](const Backend& backend) { return backend.address == address; });
    return ok();
  });
}

}  // namespace sluice::model
