// The API server: HTTP/1.1 on a Unix socket, one coroutine a connection, all on the agent's thread.
//
// A client that is slow, silent or sends too much costs one connection until its time is up, never the agent.
// The socket is readable and writable by its owner and group only: who may open it may change the load
// balancer.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/routes.h"

namespace sluice::agent {

using Handler = std::function<boost::asio::awaitable<Result<nlohmann::json>>(Request)>;

class Server {
 public:
  // How long a client may take to send a request, to read the answer, or to be silent in between.
  static constexpr std::chrono::seconds kPatience{30};

  // Binds and listens. A socket file that nobody answers on is replaced; kExists: an agent answers on it, or
  // the path is that of another kind of file.
  static Result<Server> listen(boost::asio::io_context& context, const std::string& path, Handler handler,
                               std::chrono::milliseconds patience = kPatience);
  ~Server();
  Server(Server&&) = default;
  Server(const Server&) = delete;

  // Accepts until the context stops.
  boost::asio::awaitable<void> run();

 private:
  using Protocol = boost::asio::local::stream_protocol;
  Server(Protocol::acceptor acceptor, std::string path, Handler handler, std::chrono::milliseconds patience)
      : acceptor_(std::move(acceptor)),
        path_(std::move(path)),
        handler_(std::move(handler)),
        patience_(patience) {}

  boost::asio::awaitable<void> serve(Protocol::socket socket);

  Protocol::acceptor acceptor_;
  std::string path_;
  Handler handler_;
  std::chrono::milliseconds patience_;
  // Shared with the connections, whose coroutines may end after the server.
  std::shared_ptr<unsigned> connections_ = std::make_shared<unsigned>(0);
};

}  // namespace sluice::agent
