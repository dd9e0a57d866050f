#include "agent/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <filesystem>

namespace sluice::agent {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr unsigned kMaxConnections = 128;
constexpr uint32_t kMaxHeaderBytes = 8192;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

using Response = http::response<http::string_body>;

Response make_response(const Result<nlohmann::json>& result, bool created, unsigned version,
                       bool keep_alive) {
  const unsigned failed = result.ok() ? 0 : api::http_status(result.error().code);
  Response response(
      result.ok() ? (created ? http::status::created : http::status::ok) : http::int_to_status(failed),
      version);
  response.set(http::field::content_type, "application/json");
  response.keep_alive(keep_alive);
  const nlohmann::json body = result.ok() ? *result : api::encode(result.error());
  response.body() = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  response.prepare_payload();
  return response;
}

bool somebody_answers(asio::io_context& context, const std::string& path) {
  asio::local::stream_protocol::socket probe(context);
  boost::system::error_code error;
  probe.connect(path, error);
  return !error;
}

}  // namespace

Result<Server> Server::listen(asio::io_context& context, const std::string& path, Handler handler,
                              std::chrono::milliseconds patience) {
  std::error_code made;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), made);
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return Error{ErrorCode::kInvalid, fmt::format("socket {}: the path is longer than {} bytes", path,
                                                  sizeof(sockaddr_un::sun_path) - 1)};
  if (somebody_answers(context, path))
    return Error{ErrorCode::kExists,
                 fmt::format("another agent answers on {}: stop it first, or give this one a "
                             "--socket, --state-dir and --bpffs of its own",
                             path)};
  struct stat present {};
  if (::lstat(path.c_str(), &present) == 0) {
    if (!S_ISSOCK(present.st_mode))
      return Error{ErrorCode::kExists,
                   fmt::format("{} is there and is no socket: name another with --socket", path)};
    ::unlink(path.c_str());
  }
  Protocol::acceptor acceptor(context);
  boost::system::error_code error;
  const mode_t before = ::umask(0117);  // 0660 from the first moment on
  acceptor.open(Protocol(), error);
  if (!error) acceptor.bind(path, error);
  ::umask(before);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return system_error("listen on " + path, error.value());
  return Server(std::move(acceptor), path, std::move(handler), patience);
}

Server::~Server() {
  if (acceptor_.is_open()) ::unlink(path_.c_str());
}

asio::awaitable<void> Server::run() {
  for (;;) {
    auto [error, socket] = co_await acceptor_.async_accept(kAwait);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors, say: it passes
      asio::steady_timer pause(acceptor_.get_executor(), std::chrono::milliseconds(100));
      co_await pause.async_wait(kAwait);
      continue;
    }
    if (*connections_ >= kMaxConnections) continue;  // closed at once: the caller may try again
    asio::co_spawn(acceptor_.get_executor(), serve(std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> Server::serve(Protocol::socket socket) {
  struct Count {
    std::shared_ptr<unsigned> connections;
    explicit Count(std::shared_ptr<unsigned> all) : connections(std::move(all)) { ++*connections; }
    ~Count() { --*connections; }
  } const count(connections_);

  beast::basic_stream<Protocol> stream(std::move(socket));
  beast::flat_buffer buffer(kMaxHeaderBytes + api::kMaxBodyBytes);
  for (bool keep_alive = true; keep_alive;) {
    http::request_parser<http::string_body> parser;
    parser.header_limit(kMaxHeaderBytes);
    parser.body_limit(api::kMaxBodyBytes);
    stream.expires_after(patience_);
    auto [read_error, read] = co_await http::async_read(stream, buffer, parser, kAwait);
    if (read_error == http::error::end_of_stream || read_error == beast::error::timeout) co_return;

    Result<nlohmann::json> result = nlohmann::json();
    bool created = false;
    unsigned version = 11;
    if (read_error) {
      keep_alive = false;
      result =
          Error{ErrorCode::kInvalid, "the request is not HTTP as this API takes it: " + read_error.message()};
    } else {
      const auto& message = parser.get();
      keep_alive = message.keep_alive();
      version = message.version();
      Result<Request> request = parse_request(std::string_view(message.method_string()),
                                              std::string_view(message.target()), message.body());
      if (!request.ok()) {
        result = std::move(request).error();
      } else {
        created = message.method() == http::verb::post;
        stream.expires_never();
        result = co_await handler_(std::move(request).value());
      }
    }
    Response response = make_response(result, created, version, keep_alive);
    stream.expires_after(patience_);
    auto [write_error, written] = co_await http::async_write(stream, response, kAwait);
    if (write_error) co_return;
  }
}

}  // namespace sluice::agent
