#include "agent/agent.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <thread>

#include "agent/controller.h"
#include "agent/initial_state.h"
#include "agent/interfaces.h"
#include "agent/server.h"
#include "base/version.h"
#include "kernel/map_port.h"
#include "kernel/pins.h"
#include "model/codec.h"

namespace sluice::agent {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kTick{1};
constexpr unsigned kTicksPerFullRefresh = 10;
constexpr std::chrono::milliseconds kReadingPause{1000};  // between two readings of the flow table
constexpr int kSweepShare = 200;                          // one part in so many of a core may go into them
constexpr std::chrono::milliseconds kRouteBurst{20};      // events of one change come together
constexpr std::chrono::milliseconds kNeighbourWait{1000};
constexpr std::chrono::milliseconds kNeighbourPoll{5};

class Agent {
 public:
  static Result<std::unique_ptr<Agent>> start(const Options& options);
  Result<> run();

 private:
  Agent(StateStore store, kernel::PinDirectory pins, kernel::RouteSocket routes)
      : store_(std::move(store)), pins_(std::move(pins)), routes_(std::move(routes)), paths_(routes_) {}

  Result<> bring_up(const Options& options, InitialState initial);
  asio::awaitable<Result<nlohmann::json>> handle(Request request);
  bool is_pending(const IpAddress& backend, const std::optional<MacAddress>& next_hop,
                  const model::Defaults& defaults);
  void wait_for_neighbours(const model::Config& config);
  asio::awaitable<void> wait_for_neighbour(IpAddress backend, std::optional<MacAddress> next_hop,
                                           Clock::time_point give_up);
  asio::awaitable<void> follow_routes();
  asio::awaitable<void> tick();
  asio::awaitable<void> sweep();
  asio::awaitable<void> feed_watchdog();
  Result<nlohmann::json> status() const;
  Result<nlohmann::json> change(const std::string& what, const Controller::Edit& edit);
  bool has_unresolved() const;
  void refresh_paths();
  void check_attachments();
  void end_drains();
  bool settle();

  asio::io_context context_{1};
  StateStore store_;
  kernel::PinDirectory pins_;
  kernel::RouteSocket routes_;
  PathTable paths_;
  std::unique_ptr<kernel::MapPort> port_;
  std::optional<Controller> controller_;
  std::vector<kernel::Attachment> attachments_;
  std::optional<Server> server_;
  Clock::time_point started_ = Clock::now();
};

Result<std::unique_ptr<Agent>> Agent::start(const Options& options) {
  // libxdp keeps its own pins, of dispatchers, beside ours.
  ::setenv("LIBXDP_BPFFS", options.bpffs.c_str(), 1);
  StateStore store = SLUICE_TRY(StateStore::open(options.state_directory));
  InitialState initial = SLUICE_TRY(initial_state(options, store));
  kernel::RouteSocket routes = SLUICE_TRY(kernel::RouteSocket::open());
  SLUICE_TRY(find_interfaces(routes, initial.state.config));
  kernel::PinDirectory pins = SLUICE_TRY(kernel::PinDirectory::open(options.bpffs, "sluice"));

  std::unique_ptr<Agent> agent(new Agent(std::move(store), std::move(pins), std::move(routes)));
  Result<> up = agent->bring_up(options, std::move(initial));
  if (up.ok()) return agent;
  if (agent->pins_.is_new()) SLUICE_TRY(agent->pins_.remove());
  return std::move(up).error();
}

Result<> Agent::bring_up(const Options& options, InitialState initial) {
  const model::Config config = initial.state.config;
  server_.emplace(SLUICE_TRY(Server::listen(context_, options.socket,
                                            [this](Request request) { return handle(std::move(request)); })));
  port_ = SLUICE_TRY(kernel::MapPort::open(config.limits, pins_.path()));
  if (initial.hash_changes) {
    spdlog::warn("hash_seed has changed: most connections find another backend now");
    SLUICE_TRY(port_->erase_flows([](const sl_flow_key&, const sl_flow&) { return true; }));
  }
  wait_for_neighbours(config);
  controller_.emplace(SLUICE_TRY(Controller::start(*port_, store_, paths_, std::move(initial.state))));
  const auto interfaces = SLUICE_TRY(find_interfaces(routes_, config));
  attachments_ = SLUICE_TRY(attach_interfaces(*port_, pins_, config, interfaces));
  SLUICE_TRY(detach_interfaces(pins_, interfaces));  // those of an earlier configuration

  spdlog::info("sluiced {}: {} services from {}", kVersion, config.services.size(), initial.remark);
  for (const auto& attached : attachments_)
    spdlog::info("{}: {} XDP{}{}", attached.interface.name, attached.native ? "native" : "generic",
                 attached.shared ? ", shared through libxdp's dispatcher" : "",
                 attached.remark.empty() ? "" : " (" + attached.remark + ")");
  return ok();
}

Result<> Agent::run() {
  asio::signal_set signals(context_, SIGTERM, SIGINT);
  signals.async_wait([this](const boost::system::error_code& error, int) {
    if (!error) context_.stop();
  });
  // A task that ends with an exception ends the agent: half an agent that looks well is worse than a restart.
  const auto on_end = [](const std::exception_ptr& failure) {
    if (failure) std::rethrow_exception(failure);
  };
  asio::co_spawn(context_, server_->run(), on_end);
  asio::co_spawn(context_, follow_routes(), on_end);
  asio::co_spawn(context_, tick(), on_end);
  asio::co_spawn(context_, sweep(), on_end);
  asio::co_spawn(context_, feed_watchdog(), on_end);
  ::sd_notify(0, "READY=1");
  try {
    context_.run();
  } catch (const std::exception& failure) {
    return Error{ErrorCode::kInternal, fmt::format("the agent's loop ended: {}", failure.what())};
  }
  ::sd_notify(0, "STOPPING=1");
  spdlog::info("stopped; packets keep flowing ('sluiced --detach' ends that)");
  return ok();
}

// --- the API ---

Result<nlohmann::json> Agent::status() const {
  api::Status status;
  status.version = kVersion;
  status.revision = controller_->revision();
  status.uptime_seconds = std::chrono::duration<double>(Clock::now() - started_).count();
  for (const auto& attached : attachments_)
    status.interfaces.push_back({attached.interface.name, attached.native, attached.shared, attached.remark});
  status.services = SLUICE_TRY(controller_->services());
  status.reasons = SLUICE_TRY(controller_->reasons());
  status.flow_table = SLUICE_TRY(controller_->flow_table());
  return api::encode(status);
}

Result<nlohmann::json> Agent::change(const std::string& what, const Controller::Edit& edit) {
  const api::Changed changed = SLUICE_TRY(controller_->change(edit));
  spdlog::info("revision {}: {}, {} slots moved", changed.revision, what, changed.moved);
  return api::encode(changed);
}

// Asks again.
bool Agent::is_pending(const IpAddress& backend, const std::optional<MacAddress>& next_hop,
                       const model::Defaults& defaults) {
  const auto& fixed = next_hop ? next_hop : defaults.next_hop;
  paths_.ask_again(backend, fixed);
  return paths_.next_hop(backend, fixed).state == kernel::NextHopState::kNeighbourPending;
}

// Since nobody looks up a MAC while the agent is away, the kernel may have forgotten those that the tables
// hold; they must not be overwritten with nothing. All are asked for together, so the dead ones cost one
// wait.
void Agent::wait_for_neighbours(const model::Config& config) {
  const auto give_up = Clock::now() + kNeighbourWait;
  for (const auto& service : config.services)
    for (const auto& backend : service.backends)
      is_pending(backend.address, backend.next_hop, config.defaults);
  for (const auto& service : config.services)
    for (const auto& backend : service.backends)
      while (is_pending(backend.address, backend.next_hop, config.defaults) && Clock::now() < give_up)
        std::this_thread::sleep_for(kNeighbourPoll);
}

// A new backend gets packets as soon as it is in the ring, so the kernel is given a moment to find its MAC
// first.
asio::awaitable<void> Agent::wait_for_neighbour(IpAddress backend, std::optional<MacAddress> next_hop,
                                                Clock::time_point give_up) {
  asio::steady_timer timer(context_);
  while (is_pending(backend, next_hop, controller_->wanted().defaults) && Clock::now() < give_up) {
    timer.expires_after(kNeighbourPoll);
    co_await timer.async_wait(kAwait);
  }
}

asio::awaitable<Result<nlohmann::json>> Agent::handle(Request request) {
  if (std::holds_alternative<GetStatus>(request)) co_return status();
  if (std::holds_alternative<GetConfig>(request)) co_return model::encode(controller_->wanted());
  const auto give_up = Clock::now() + kNeighbourWait;
  model::Config trial = controller_->wanted();
  if (const auto* add = std::get_if<AddService>(&request)) {
    if (const Result<> fits = model::add_service(trial, add->service); !fits.ok()) co_return fits.error();
    for (const auto& backend : add->service.backends)
      co_await wait_for_neighbour(backend.address, backend.next_hop, give_up);
    co_return change("added service " + add->service.name,
                     [&](model::Config& config) { return model::add_service(config, add->service); });
  }
  if (const auto* edit = std::get_if<ChangeService>(&request))
    co_return change("changed service " + edit->name, [&](model::Config& config) {
      return model::change_service(config, edit->name, edit->change);
    });
  if (const auto* gone = std::get_if<DeleteService>(&request))
    co_return change("deleted service " + gone->name,
                     [&](model::Config& config) { return model::delete_service(config, gone->name); });
  if (const auto* add = std::get_if<AddBackend>(&request)) {
    if (const Result<> fits = model::add_backend(trial, add->service, add->backend); !fits.ok())
      co_return fits.error();
    co_await wait_for_neighbour(add->backend.address, add->backend.next_hop, give_up);
    co_return change(
        fmt::format("added backend {} to {}", add->backend.address.to_string(), add->service),
        [&](model::Config& config) { return model::add_backend(config, add->service, add->backend); });
  }
  if (const auto* edit = std::get_if<ChangeBackend>(&request))
    co_return change(fmt::format("changed backend {} of {}", edit->address.to_string(), edit->service),
                     [&](model::Config& config) {
                       return model::change_backend(config, edit->service, edit->address, edit->change);
                     });
  const auto& gone = std::get<DeleteBackend>(request);
  co_return change(
      fmt::format("deleted backend {} of {}", gone.address.to_string(), gone.service),
      [&](model::Config& config) { return model::delete_backend(config, gone.service, gone.address); });
}

// --- what happens by itself ---

void Agent::refresh_paths() {
  const auto changed = controller_->refresh_paths();
  if (!changed.ok())
    spdlog::error("paths to backends: {}", changed.error().message);
  else if (*changed != 0)
    spdlog::info("paths of {} backends changed", *changed);
}

// Somebody took the program off, or the interface went and came back: without this the node would look well
// and balance nothing.
void Agent::check_attachments() {
  for (auto& attached : attachments_) {
    const auto link = routes_.link(attached.interface.name);
    const kernel::Interface now{attached.interface.name, link.ok() ? link->ifindex : 0};
    const uint32_t program = link.ok() ? kernel::program_on(now) : 0;
    const bool same_as_before =
        program != 0 && program == attached.program_id && now.ifindex == attached.interface.ifindex;
    if (same_as_before) continue;
    attached.program_id = program;
    if (link.ok() && is_attached(pins_, now)) continue;
    const std::string before = attached.remark;
    attached.native = attached.shared = false;
    attached.remark = "not attached: the interface is gone";
    if (link.ok()) {
      auto again = attach_interfaces(*port_, pins_, controller_->wanted(), {now});
      if (again.ok()) {
        attached = std::move(again->front());
        spdlog::warn("{}: Sluice's program was gone; attached again", attached.interface.name);
        continue;
      }
      attached.remark = "not attached: " + again.error().message;
    }
    if (attached.remark != before) spdlog::error("{}: {}", attached.interface.name, attached.remark);
  }
}

void Agent::end_drains() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ended = controller_->end_drains(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count()));
  if (!ended.ok()) spdlog::error("ending drains: {}", ended.error().message);
  for (const auto& backend : ended.ok() ? *ended : std::vector<std::string>{})
    spdlog::info("revision {}: backend {} is down, its drain's deadline has passed", controller_->revision(),
                 backend);
}

// Returns whether there is more to read.
bool Agent::settle() {
  const auto progress = controller_->settle();
  if (!progress.ok()) {
    spdlog::error("settling: {}", progress.error().message);
    return false;
  }
  if (progress->settled_slots != 0) spdlog::info("{} slots are stable again", progress->settled_slots);
  return progress->is_reading;
}

asio::awaitable<void> Agent::follow_routes() {
  asio::posix::stream_descriptor events(context_, ::dup(routes_.event_fd()));
  asio::steady_timer burst(context_);
  for (;;) {
    const auto [error] = co_await events.async_wait(asio::posix::stream_descriptor::wait_read, kAwait);
    if (error) co_return;
    if (!routes_.drain_events()) continue;
    burst.expires_after(kRouteBurst);
    co_await burst.async_wait(kAwait);
    routes_.drain_events();
    refresh_paths();
  }
}

bool Agent::has_unresolved() const {
  for (const auto& entry : port_->backends())
    if (entry.state == SL_BACKEND_UNRESOLVED) return true;
  return false;
}

asio::awaitable<void> Agent::tick() {
  asio::steady_timer timer(context_);
  for (unsigned count = 1;; ++count) {
    timer.expires_after(kTick);
    const auto [error] = co_await timer.async_wait(kAwait);
    if (error) co_return;
    controller_->sample_rates();
    check_attachments();
    if (count % kTicksPerFullRefresh == 0 || has_unresolved()) refresh_paths();
    end_drains();
  }
}

std::chrono::nanoseconds cpu_time() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

// Each piece of reading is followed by a pause so much longer that the table's size costs time, not the core.
asio::awaitable<void> Agent::sweep() {
  asio::steady_timer timer(context_);
  for (;;) {
    const auto before = cpu_time();
    const bool is_reading = settle();
    const std::chrono::nanoseconds pause = (cpu_time() - before) * kSweepShare;
    timer.expires_after(is_reading ? pause : std::max<std::chrono::nanoseconds>(pause, kReadingPause));
    const auto [error] = co_await timer.async_wait(kAwait);
    if (error) co_return;
  }
}

asio::awaitable<void> Agent::feed_watchdog() {
  uint64_t microseconds = 0;
  if (::sd_watchdog_enabled(0, &microseconds) <= 0) co_return;
  asio::steady_timer timer(context_);
  for (;;) {
    ::sd_notify(0, "WATCHDOG=1");
    timer.expires_after(std::chrono::microseconds(microseconds / 2));
    const auto [error] = co_await timer.async_wait(kAwait);
    if (error) co_return;
  }
}

}  // namespace

Result<> run(const Options& options) {
  const auto agent = SLUICE_TRY(Agent::start(options));
  return agent->run();
}

Result<> detach(const Options& options) {
  ::setenv("LIBXDP_BPFFS", options.bpffs.c_str(), 1);
  kernel::PinDirectory pins = SLUICE_TRY(kernel::PinDirectory::open(options.bpffs, "sluice"));
  auto names = detach_interfaces(pins, {});
  if (!names.ok() && names.error().code != ErrorCode::kNotFound) return std::move(names).error();
  SLUICE_TRY(pins.remove());
  if (names.ok() && !names->empty())
    spdlog::info("detached from {}", fmt::join(*names, ", "));
  else
    spdlog::info("Sluice was on no interface with tables in {} ('ip link' shows programs with others)",
                 options.bpffs);
  return ok();
}

}  // namespace sluice::agent
