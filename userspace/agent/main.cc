// sluiced: the agent.
#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "agent/agent.h"

int main(int argc, char** argv) {
  const auto [options, exit_code] = sluice::agent::parse_options(argc, argv);
  if (exit_code) return *exit_code;

  auto logger = spdlog::stderr_logger_st("sluiced");
  // journald stamps the time itself.
  logger->set_pattern(std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v" : "%Y-%m-%d %H:%M:%S.%e %l: %v");
  logger->set_level(spdlog::level::from_str(options.log_level));
  spdlog::set_default_logger(std::move(logger));

  try {
    const auto done = options.detach ? sluice::agent::detach(options) : sluice::agent::run(options);
    if (done.ok()) return 0;
    spdlog::error("{}", done.error().message);
  } catch (const std::exception& failure) {  // of a library, out of memory say: nothing of ours throws
    spdlog::critical("{}", failure.what());
  }
  return 1;
}
