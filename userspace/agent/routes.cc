#include "agent/routes.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <vector>

#include "model/codec.h"

namespace sluice::agent {
namespace {

Error bad(ErrorCode code, std::string message) {
  return Error{code, std::move(message)};
}

// RFC 3986 section 2.1; nullopt for a broken escape.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    uint8_t byte = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
    if (error != std::errc{} || end != text.data() + i + 3) return std::nullopt;
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

Result<std::vector<std::string>> path_of(std::string_view target) {
  std::vector<std::string> path;
  target = target.substr(0, target.find('?'));
  while (!target.empty()) {
    target.remove_prefix(1);  // the '/' in front
    const size_t end = target.find('/');
    const auto segment = percent_decoded(target.substr(0, end));
    if (!segment) return bad(ErrorCode::kInvalid, "the request's path has a broken %-escape");
    path.push_back(*segment);
    target = end == std::string_view::npos ? std::string_view{} : target.substr(end);
  }
  return path;
}

Result<nlohmann::json> json_of(std::string_view body) {
  return model::parse_json_value(body, "request body");
}

Error wrong_method(std::string_view method, std::string_view target) {
  return bad(ErrorCode::kUnsupported, fmt::format("{} does not take {}", target, method));
}

Result<Request> collection_request(std::string_view method, std::string_view target, std::string_view body,
                                   const std::vector<std::string>& path) {
  if (path.size() == 2) {  // /v1/services
    if (method != "POST") return wrong_method(method, target);
    return Request(AddService{SLUICE_TRY(model::decode_service(SLUICE_TRY(json_of(body))))});
  }
  if (path.size() == 3) {  // /v1/services/{name}
    if (method == "DELETE") return Request(DeleteService{path[2]});
    if (method != "PATCH") return wrong_method(method, target);
    return Request(ChangeService{path[2], SLUICE_TRY(api::decode_service_change(SLUICE_TRY(json_of(body))))});
  }
  if (path.size() == 4 && path[3] == "backends") {
    if (method != "POST") return wrong_method(method, target);
    return Request(AddBackend{path[2], SLUICE_TRY(model::decode_backend(SLUICE_TRY(json_of(body))))});
  }
  if (path.size() == 5 && path[3] == "backends") {
    const IpAddress address = SLUICE_TRY(IpAddress::parse(path[4]));
    if (method == "DELETE") return Request(DeleteBackend{path[2], address});
    if (method != "PATCH") return wrong_method(method, target);
    return Request(
        ChangeBackend{path[2], address, SLUICE_TRY(api::decode_backend_change(SLUICE_TRY(json_of(body))))});
  }
  return bad(ErrorCode::kNotFound, fmt::format("the API has no {}", target));
}

}  // namespace

Result<Request> parse_request(std::string_view method, std::string_view target, std::string_view body) {
  if (target.empty() || target.front() != '/')
    return bad(ErrorCode::kInvalid, "the request's path has no '/' in front");
  const auto path = SLUICE_TRY(path_of(target));
  if (path.size() >= 2 && path[0] == "v1" && path[1] == "services")
    return collection_request(method, target, body, path);
  const bool is_status = path == std::vector<std::string>{"v1", "status"};
  if (!is_status && path != std::vector<std::string>{"v1", "config"})
    return bad(ErrorCode::kNotFound, fmt::format("the API has no {}", target));
  if (method != "GET") return wrong_method(method, target);
  return is_status ? Request(GetStatus{}) : Request(GetConfig{});
}

}  // namespace sluice::agent
