#include "connect.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <optional>
#include <random>
#include <vector>

#include "message.h"
#include "tally.h"

namespace sluice::bench {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::milliseconds kTick{10};    // of opening
constexpr std::chrono::milliseconds kSweep{250};  // how late impatience may come
constexpr std::chrono::seconds kBeforeRetry{1};
constexpr Clock::time_point kNever{};

struct Connection {
  uint64_t number;
  tcp::socket socket;
  asio::steady_timer pause;
  std::string backend{};                  // whom it is on; empty while it is being opened
  Clock::time_point waits_since{kNever};  // for an answer
  bool is_overdue = false;                // and the answer came too late
};

Cause cause_of(const error_code& error, const Connection& connection) {
  if (connection.is_overdue) return Cause::kSilent;
  if (error == asio::error::connection_reset || error == asio::error::broken_pipe) return Cause::kReset;
  if (error == asio::error::connection_refused) return Cause::kRefused;
  if (error == asio::error::eof) return Cause::kClosed;
  return Cause::kOther;
}

class Client {
 public:
  explicit Client(const ConnectOptions& options)
      : options_(options),
        vip_(asio::ip::make_address(options.vip.address.to_string()), options.vip.port),
        ends_(std::min(1.0, options.interval / options.lifetime)) {}
  Result<> run();

 private:
  asio::awaitable<void> open_all();
  asio::awaitable<void> keep_open(Connection& connection);
  asio::awaitable<error_code> open(Connection& connection);
  // Until it breaks; nothing when it has come to the end of its life.
  asio::awaitable<std::optional<Cause>> talk(Connection& connection);
  asio::awaitable<void> end_overdue();
  asio::awaitable<void> obey();
  void report();
  Seconds next_pause() { return options_.interval * pauses_(random_); }
  bool has_lived() { return ends_(random_); }  // asked after each message
  static void pause_for(Connection& connection, Seconds pause) {
    connection.pause.expires_after(std::chrono::duration_cast<Clock::duration>(pause));
  }

  const ConnectOptions options_;
  const tcp::endpoint vip_;
  asio::io_context context_{1};
  std::vector<Connection> connections_;  // all of them from the start: coroutines hold references
  Tally tally_;
  std::minstd_rand random_{std::random_device{}()};
  std::uniform_real_distribution<double> pauses_{0.5, 1.5};
  std::bernoulli_distribution ends_;
};

asio::awaitable<void> Client::open_all() {
  asio::steady_timer timer(context_, Clock::now());
  double due = 0;
  for (auto& connection : connections_) {
    while (due < 1) {
      timer.expires_at(timer.expiry() + kTick);
      co_await timer.async_wait(kAwait);
      due += options_.opened_per_second * Seconds(kTick).count();
    }
    due -= 1;
    co_spawn(context_, keep_open(connection), asio::detached);
  }
}

asio::awaitable<void> Client::keep_open(Connection& connection) {
  for (;;) {
    connection.is_overdue = false;
    connection.waits_since = Clock::now();
    const error_code error = co_await open(connection);
    if (error) {
      ++tally_.not_opened[cause_of(error, connection)];
      pause_for(connection, kBeforeRetry);
      co_await connection.pause.async_wait(kAwait);
    } else {
      ++tally_.opened;
      if (const auto cause = co_await talk(connection))
        ++tally_.broken[connection.backend][*cause];
      else
        ++tally_.ended;
    }
    connection.backend.clear();
    connection.socket = tcp::socket(context_);
  }
}

asio::awaitable<error_code> Client::open(Connection& connection) {
  auto [error] = co_await connection.socket.async_connect(vip_, kAwait);
  if (error) co_return error;
  connection.socket.set_option(tcp::no_delay(true), error);
  std::string greeting;
  size_t length = 0;
  std::tie(error, length) = co_await asio::async_read_until(
      connection.socket, asio::dynamic_buffer(greeting, kMaxNameLength + 1), '\n', kAwait);
  if (!error) connection.backend = greeting.substr(0, length - 1);
  co_return error;
}

asio::awaitable<std::optional<Cause>> Client::talk(Connection& connection) {
  Message said{.connection = connection.number}, heard;
  for (;;) {
    connection.waits_since = kNever;
    pause_for(connection, next_pause());
    co_await connection.pause.async_wait(kAwait);

    ++said.number;
    connection.waits_since = Clock::now();
    auto [error, size] =
        co_await asio::async_write(connection.socket, asio::buffer(&said, sizeof said), kAwait);
    if (error) co_return cause_of(error, connection);
    std::tie(error, size) =
        co_await asio::async_read(connection.socket, asio::buffer(&heard, sizeof heard), kAwait);
    if (error) co_return cause_of(error, connection);
    Message right = said;
    sign(right, connection.backend);
    if (heard != right) co_return Cause::kWrongEcho;
    ++tally_.echoes;
    tally_.slowest_echo = std::max(tally_.slowest_echo, Clock::now() - connection.waits_since);
    if (has_lived()) co_return std::nullopt;
  }
}

// One sweep over all of them instead of a timer for each.
asio::awaitable<void> Client::end_overdue() {
  asio::steady_timer timer(context_);
  for (;;) {
    timer.expires_after(kSweep);
    co_await timer.async_wait(kAwait);
    const auto now = Clock::now();
    for (auto& connection : connections_) {
      if (connection.waits_since == kNever || now - connection.waits_since < options_.patience) continue;
      connection.is_overdue = true;
      error_code ignored;
      connection.socket.cancel(ignored);
    }
  }
}

void Client::report() {
  std::map<std::string, uint64_t> open;
  const auto now = Clock::now();
  for (const auto& connection : connections_) {
    if (connection.backend.empty()) continue;
    ++open[connection.backend];
    if (connection.waits_since != kNever)
      tally_.slowest_echo = std::max(tally_.slowest_echo, now - connection.waits_since);
  }
  uint64_t opening = connections_.size();
  for (const auto& [backend, count] : open) opening -= count;
  std::cout << bench::report(tally_, open, opening).dump() << std::endl;
  tally_ = {};
}

asio::awaitable<void> Client::obey() {
  asio::posix::stream_descriptor input(context_, ::dup(STDIN_FILENO));
  std::string text;
  for (;;) {
    const auto [error, length] =
        co_await asio::async_read_until(input, asio::dynamic_buffer(text), '\n', kAwait);
    if (error) break;
    if (text.substr(0, length) == "report\n") report();
    text.erase(0, length);
  }
  context_.stop();
}

Result<> Client::run() {
  connections_.reserve(options_.connections);
  for (uint64_t number = 1; number <= options_.connections; ++number)
    connections_.push_back({number, tcp::socket(context_), asio::steady_timer(context_)});
  asio::signal_set signals(context_, SIGTERM, SIGINT);
  signals.async_wait([&](const auto&, int) { context_.stop(); });
  co_spawn(context_, open_all(), asio::detached);
  co_spawn(context_, end_overdue(), asio::detached);
  co_spawn(context_, obey(), asio::detached);
  context_.run();
  return ok();
}

}  // namespace

Result<> connect(const ConnectOptions& options) {
  return Client(options).run();
}

}  // namespace sluice::bench
