// The caller's side of the API: one connection a call, blocking, with a time limit. One thread.
#pragma once

#include <chrono>
#include <string>

#include "api/messages.h"

namespace sluice::api {

class Client {
 public:
  explicit Client(std::string socket_path, std::chrono::milliseconds limit = std::chrono::seconds(30))
      : socket_path_(std::move(socket_path)), limit_(limit) {}

  // kUnavailable: no agent answers on the socket; the message says what to do. kPermission: the socket may
  // not be opened by this user. Errors of the agent come as it sent them.
  Result<Status> status() const;
  Result<nlohmann::json> config() const;
  Result<Changed> add_service(const model::Service& service) const;
  Result<Changed> change_service(const std::string& name, const model::ServiceChange& change) const;
  Result<Changed> delete_service(const std::string& name) const;
  Result<Changed> add_backend(const std::string& service, const model::Backend& backend) const;
  Result<Changed> change_backend(const std::string& service, const IpAddress& address,
                                 const model::BackendChange& change) const;
  Result<Changed> delete_backend(const std::string& service, const IpAddress& address) const;

 private:
  Result<nlohmann::json> call(std::string_view method, const std::string& target,
                              const nlohmann::json* body) const;

  std::string socket_path_;
  std::chrono::milliseconds limit_;
};

}  // namespace sluice::api
