#include "serve.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <csignal>

#include "message.h"

namespace sluice::bench {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr int kBacklog = 65535;  // the kernel takes net.core.somaxconn of it

// A connection whose client was led to another backend is never closed from there, and would stay for ever.
void end_when_abandoned(tcp::socket& socket) {
  const auto set = [&](int level, int option, int value) {
    ::setsockopt(socket.native_handle(), level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 30);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

asio::awaitable<void> answer(tcp::socket socket, const std::string& name) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  end_when_abandoned(socket);
  const std::string greeting = name + "\n";
  auto [error, size] = co_await asio::async_write(socket, asio::buffer(greeting), kAwait);
  Message message;
  while (!error) {
    std::tie(error, size) = co_await asio::async_read(socket, asio::buffer(&message, sizeof message), kAwait);
    if (error) break;
    sign(message, name);
    std::tie(error, size) =
        co_await asio::async_write(socket, asio::buffer(&message, sizeof message), kAwait);
  }
}

asio::awaitable<void> accept_on(tcp::acceptor acceptor, const std::string& name) {
  for (;;) {
    auto [error, socket] = co_await acceptor.async_accept(kAwait);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors, say: it passes
      asio::steady_timer pause(acceptor.get_executor(), std::chrono::milliseconds(10));
      co_await pause.async_wait(kAwait);
      continue;
    }
    co_spawn(acceptor.get_executor(), answer(std::move(socket), name), asio::detached);
  }
}

Result<tcp::acceptor> listen(asio::io_context& context, uint16_t port) {
  tcp::acceptor acceptor(context);
  boost::system::error_code error;
  acceptor.open(tcp::v6(), error);
  if (!error) acceptor.set_option(asio::ip::v6_only(false), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind({tcp::v6(), port}, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error) return system_error(fmt::format("listen on port {}", port), error.value());
  return acceptor;
}

}  // namespace

Result<> serve(const ServeOptions& options) {
  asio::io_context context(1);
  for (const uint16_t port : options.ports)
    co_spawn(context, accept_on(SLUICE_TRY(listen(context, port)), options.name), asio::detached);
  asio::signal_set signals(context, SIGTERM, SIGINT);
  signals.async_wait([&](const auto&, int) { context.stop(); });
  context.run();
  return ok();
}

}  // namespace sluice::bench
