// The API's routes: from an HTTP method, target and body to what is asked for. Pure.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "api/messages.h"
#include "model/config.h"
#include "model/edit.h"

namespace sluice::agent {

// A request, understood. The names are the caller's words and may name nothing.
struct GetStatus {};
struct GetConfig {};
struct AddService {
  model::Service service;
};
struct ChangeService {
  std::string name;
  model::ServiceChange change;
};
struct DeleteService {
  std::string name;
};
struct AddBackend {
  std::string service;
  model::Backend backend;
};
struct ChangeBackend {
  std::string service;
  IpAddress address;
  model::BackendChange change;
};
struct DeleteBackend {
  std::string service;
  IpAddress address;
};
using Request = std::variant<GetStatus, GetConfig, AddService, ChangeService, DeleteService, AddBackend,
                             ChangeBackend, DeleteBackend>;

// kNotFound: no such route; kUnsupported: the route does not take this method; kInvalid: the body.
Result<Request> parse_request(std::string_view method, std::string_view target, std::string_view body);

}  // namespace sluice::agent
