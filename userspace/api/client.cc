#include "api/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <cerrno>
#include <cstring>
#include <exception>

#include "base/fd.h"
#include "model/codec.h"

namespace sluice::api {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

struct Reply {
  unsigned status = 0;
  std::string body;
};

// ---- the socket ----

Error connect_error(const std::string& path, int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
      return Error{ErrorCode::kUnavailable,
                   fmt::format("no agent answers on {}: start it with 'systemctl start sluiced' (or give its "
                               "socket with --socket)",
                               path)};
    case EAGAIN:  // the backlog stayed full for as long as connect() may wait
      return Error{
          ErrorCode::kUnavailable,
          fmt::format("the agent on {} is too busy to take a call: see 'systemctl status sluiced'", path)};
    case EACCES:
    case EPERM:
      return Error{
          ErrorCode::kPermission,
          fmt::format("the agent's socket {} may not be opened by this user: run the command as root "
                      "('sudo sluice ...'), or join the group that owns the socket",
                      path)};
    default:
      return system_error("connect to " + path, error_number);
  }
}

// By hand, because asio waits without limit for a Unix socket whose backlog is full.
Result<Fd> connect_to(const std::string& path, std::chrono::milliseconds limit) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    return Error{ErrorCode::kInvalid, fmt::format("{} is not a socket's path: it has between 1 and {} bytes",
                                                  model::in_quotes(path), sizeof address.sun_path - 1)};
  std::memcpy(address.sun_path, path.data(), path.size());

  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return system_error("open a Unix socket", errno);
  timeval wait{};
  wait.tv_sec = limit.count() / 1000;
  wait.tv_usec = limit.count() % 1000 * 1000;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0)
    return system_error("limit the time to connect to " + path, errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return connect_error(path, errno);
  return fd;
}

// ---- the exchange ----

std::string way_out(std::string_view method) {
  return method == "GET"
             ? "see 'journalctl -u sluiced'"
             : "whether it made the change is not known: see 'sluice show', and 'journalctl -u sluiced'";
}

Error exchange_error(error_code code, std::string_view method, const std::string& what,
                     const std::string& path) {
  if (code == http::error::end_of_stream || code == http::error::partial_message ||
      code == asio::error::eof || code == asio::error::connection_reset || code == asio::error::broken_pipe)
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("the agent closed the connection before it had answered {}: {}", what, way_out(method))};
  if (code == http::error::body_limit || code == http::error::header_limit)
    return Error{ErrorCode::kInternal,
                 fmt::format("the answer to {} is longer than {} MiB: what listens on {} "
                             "is not this version's agent",
                             what, kMaxReplyBytes >> 20, path)};
  return Error{ErrorCode::kInternal,
               fmt::format("the answer to {} is not HTTP ({}): what listens on {} is not the agent", what,
                           code.message(), path)};
}

// One request and its reply; `error` says why there is none.
struct Exchange {
  asio::io_context io{1};
  asio::local::stream_protocol::socket socket{io};
  http::request<http::string_body> request;
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  error_code error;

  // False: the time is up.
  bool run(Clock::time_point deadline) {
    http::async_write(socket, request, [this](error_code write_error, size_t) {
      // An agent that hung up on a request may have said why before.
      if (write_error && write_error != asio::error::broken_pipe) {
        error = write_error;
        return;
      }
      http::async_read(socket, buffer, parser, [this](error_code read_error, size_t) { error = read_error; });
    });
    io.run_until(deadline);
    return io.stopped();
  }
};

Result<Reply> exchange(Fd fd, http::request<http::string_body> request, const std::string& path,
                       Clock::time_point deadline, std::chrono::milliseconds limit) {
  const std::string method(request.method_string());
  const std::string what = method + " " + std::string(request.target());
  Exchange call;
  call.socket.assign(asio::local::stream_protocol(), fd.release());
  call.request = std::move(request);
  call.parser.body_limit(kMaxReplyBytes);
  if (!call.run(deadline))
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the agent on {} did not answer {} within {:g} s: {}", path, what,
                             static_cast<double>(limit.count()) / 1000, way_out(method))};
  if (call.error) return exchange_error(call.error, method, what, path);
  return Reply{call.parser.get().result_int(), std::move(call.parser.get().body())};
}

// ---- the words ----

http::request<http::string_body> make_request(http::verb method, const std::string& target,
                                              const json* body) {
  http::request<http::string_body> request(method, target, 11);
  request.set(http::field::host, "sluice");
  request.set(http::field::accept, "application/json");
  request.set(http::field::connection, "close");
  if (body) {
    request.set(http::field::content_type, "application/json");
    request.body() = body->dump(-1, ' ', false, json::error_handler_t::replace);
  }
  request.prepare_payload();
  return request;
}

Error garbage(const std::string& what, std::string_view fault, const std::string& body) {
  return Error{ErrorCode::kInternal, fmt::format("the agent's answer to {} cannot be understood ({}): {}",
                                                 what, fault, model::in_quotes(body))};
}

Result<json> understand(const Reply& reply, const std::string& what) {
  json body = json::parse(reply.body, nullptr, false);
  if (body.is_discarded()) return garbage(what, fmt::format("status {}, no JSON", reply.status), reply.body);
  if (reply.status / 100 == 2) return body;
  if (!body.is_object() || !body.contains("error"))
    return garbage(what, fmt::format("status {}, no error", reply.status), reply.body);
  return decode_error(body);
}

// One segment of a target: all but the unreserved characters of RFC 3986 section 2.3 are percent-encoded.
std::string segment(std::string_view text) {
  std::string encoded;
  for (const char c : text) {
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                            c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved)
      encoded.push_back(c);
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string service_target(const std::string& service) {
  return "/v1/services/" + segment(service);
}

std::string backend_target(const std::string& service, const IpAddress& address) {
  return service_target(service) + "/backends/" + segment(address.to_string());
}

template <typename T>
Result<T> decoded(Result<T> value, std::string_view what) {
  if (value) return value;
  return Error{ErrorCode::kInternal,
               fmt::format("the agent's answer to {} cannot be understood: {}", what, value.error().message)};
}

}  // namespace

// Asio and Beast report running out of memory or descriptors by throwing: it ends here.
Result<json> Client::call(std::string_view method, const std::string& target, const json* body) const try {
  const Clock::time_point deadline = Clock::now() + limit_;
  Fd fd = SLUICE_TRY(connect_to(socket_path_, limit_));
  const Reply reply =
      SLUICE_TRY(exchange(std::move(fd), make_request(http::string_to_verb(method), target, body),
                          socket_path_, deadline, limit_));
  return understand(reply, fmt::format("{} {}", method, target));
} catch (const std::exception& exception) {
  return Error{ErrorCode::kInternal, fmt::format("{} {}: {}", method, target, exception.what())};
}

Result<Status> Client::status() const {
  return decoded(decode_status(SLUICE_TRY(call("GET", "/v1/status", nullptr))), "GET /v1/status");
}

Result<json> Client::config() const {
  json config = SLUICE_TRY(call("GET", "/v1/config", nullptr));
  if (!config.is_object()) return garbage("GET /v1/config", "not a map of keys", config.type_name());
  return config;
}

Result<Changed> Client::add_service(const model::Service& service) const {
  const json body = model::encode(service);
  return decoded(decode_changed(SLUICE_TRY(call("POST", "/v1/services", &body))), "POST /v1/services");
}

Result<Changed> Client::change_service(const std::string& name, const model::ServiceChange& change) const {
  const std::string target = service_target(name);
  const json body = encode(change);
  return decoded(decode_changed(SLUICE_TRY(call("PATCH", target, &body))), "PATCH " + target);
}

Result<Changed> Client::delete_service(const std::string& name) const {
  const std::string target = service_target(name);
  return decoded(decode_changed(SLUICE_TRY(call("DELETE", target, nullptr))), "DELETE " + target);
}

Result<Changed> Client::add_backend(const std::string& service, const model::Backend& backend) const {
  const std::string target = service_target(service) + "/backends";
  const json body = model::encode(backend);
  return decoded(decode_changed(SLUICE_TRY(call("POST", target, &body))), "POST " + target);
}

Result<Changed> Client::change_backend(const std::string& service, const IpAddress& address,
                                       const model::BackendChange& change) const {
  const std::string target = backend_target(service, address);
  const json body = encode(change);
  return decoded(decode_changed(SLUICE_TRY(call("PATCH", target, &body))), "PATCH " + target);
}

Result<Changed> Client::delete_backend(const std::string& service, const IpAddress& address) const {
  const std::string target = backend_target(service, address);
  return decoded(decode_changed(SLUICE_TRY(call("DELETE", target, nullptr))), "DELETE " + target);
}

}  // namespace sluice::api
