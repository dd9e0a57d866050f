#include "cli/drain_wait.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/text.h"

namespace sluice::cli {
namespace {

using namespace std::chrono_literals;
using Instant = std::chrono::steady_clock::time_point;

constexpr auto kPollEvery = 500ms;
constexpr auto kPatience = 30s;  // for an agent that restarts

double seconds_between(Instant begin, Instant end) {
  return std::chrono::duration<double>(end - begin).count();
}

// One line on `err` that is written over and over, and gone at the end.
class ProgressLine {
 public:
  ProgressLine(const Session& session, const BackendName& name) : session_(session), name_(name) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() {
    if (width_ > 0) session_.err << '\r' << std::string(width_, ' ') << '\r' << std::flush;
  }

  void show(std::string_view what, double waited_seconds) {
    if (!session_.progress) return;
    std::string line = fmt::format("{}: {}, {}", name_.address.to_string(), what, duration(waited_seconds));
    // A line as long as the terminal would wrap, and \r return to the second half of it.
    if (name_.service.size() + 2 + line.size() < kColumns) line = name_.service + ": " + line;
    session_.err << fmt::format("\r{:<{}}", line, width_) << std::flush;
    width_ = line.size();
  }

 private:
  const Session& session_;
  const BackendName& name_;
  size_t width_ = 0;  // of what stands there
};

struct Found {
  const api::ServiceStatus* service;
  const api::BackendStatus* backend;
};

// The backend in a status, if it still drains or is down.
Result<Found> ending_backend(const api::Status& status, const BackendName& name) {
  const auto service = std::ranges::find(
      status.services, name.service,
      [](const api::ServiceStatus& each) -> const auto& { return each.wanted.name; });
  if (service == status.services.end())
    return Error{ErrorCode::kNotFound,
                 fmt::format("service '{}' was deleted while its backend {} drained: its flows have ended",
                             name.service, name.address.to_string())};
  const auto backend = std::ranges::find(
      service->backends, name.address,
      [](const api::BackendStatus& each) -> const auto& { return each.wanted.address; });
  if (backend == service->backends.end())
    return Error{ErrorCode::kNotFound,
                 fmt::format("{}: backend {} was deleted while it drained: its flows have ended",
                             name.service, name.address.to_string())};
  if (backend->wanted.state == model::BackendState::kUp)
    return Error{ErrorCode::kInvalid,
                 fmt::format("{0}: backend {1} was put up again while it drained, and gets new flows: to go "
                             "on, 'sluice backend drain {0} {1}'",
                             name.service, name.address.to_string())};
  return Found{&*service, &*backend};
}

bool may_have_flows_in_the_table(const api::ServiceStatus& service) {
  const bool tracks_all = service.wanted.flows == model::FlowTracking::kTracked ||
                          (service.wanted.flows == model::FlowTracking::kAuto &&
                           service.wanted.protocol == model::Protocol::kUdp);
  return tracks_all || service.tracked_slots > 0;
}

// Whether the flows that a status, asked for at `asked`, shows of the service's backends are all there are of
// those that spoke until `settled`.
bool shows_all_until(Instant settled, Instant asked, const api::FlowTableStatus& table,
                     const api::ServiceStatus& service) {
  // Age 0 is nothing to read, but also an agent that has begun and not been through the table yet.
  if (table.age_seconds == 0 && may_have_flows_in_the_table(service)) return false;
  // The reading was `age_seconds` old when the agent answered, so it began no earlier than this.
  return seconds_between(settled, asked) >= table.age_seconds;
}

std::string progress_text(uint64_t flows) {
  return flows == 0 ? "listening for its flows" : flows_remain(flows);
}

Error gave_up(Error error, const BackendName& name) {
  return std::move(error).within(fmt::format("{}: backend {} drains on, but waiting for its flows failed",
                                             name.service, name.address.to_string()));
}

}  // namespace

Result<Drained> wait_until_drained(const Session& session, const BackendName& name,
                                   std::chrono::seconds quiet) {
  const Clock& clock = session.clock;
  const Instant start = clock.now();
  Instant heard = start;  // of the agent, last
  ProgressLine progress(session, name);
  for (Drained drained;; clock.sleep(kPollEvery)) {
    const Instant asked = clock.now();
    auto status = session.agent.status();
    drained.waited_seconds = seconds_between(start, clock.now());
    if (!status) {
      if (status.error().code != ErrorCode::kUnavailable || clock.now() - heard >= kPatience)
        return gave_up(std::move(status).error(), name);
      progress.show("the agent does not answer", drained.waited_seconds);
      continue;
    }
    heard = clock.now();
    const Found found = SLUICE_TRY(ending_backend(*status, name));
    const api::BackendStatus& backend = *found.backend;
    drained.down = backend.wanted.state == model::BackendState::kDown;
    if (drained.down) return drained;
    const bool all_shown = shows_all_until(start + quiet, asked, status->flow_table, *found.service);
    drained.flows = all_shown || backend.flows > 0 ? std::optional(backend.flows) : std::nullopt;
    if (all_shown && backend.flows == 0) return drained;
    progress.show(progress_text(backend.flows), drained.waited_seconds);
  }
}

}  // namespace sluice::cli
