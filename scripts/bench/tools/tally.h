// What happened to bench-peer's connections since it was last asked.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace sluice::bench {

// Why a connection ended that nobody had ended.
enum class Cause {
  kReset,      // RST
  kClosed,     // FIN
  kSilent,     // no echo for as long as the client is patient
  kWrongEcho,  // another message, or another backend's
  kRefused,    // connect: RST
  kOther,      // any other error of the socket
};

struct Tally {
  uint64_t opened = 0;
  uint64_t ended = 0;  // closed by the client, as it should be
  uint64_t echoes = 0;
  std::chrono::steady_clock::duration slowest_echo{};  // of those that came, and of those still waited for
  std::map<std::string, std::map<Cause, uint64_t>> broken;  // by the backend that it was on
  std::map<Cause, uint64_t> not_opened;                     // attempts that did not become a connection
};

// The tally and the present state as one JSON object:
//   {"open": {"b1": 2500}, "opening": 0, "opened": 0, "ended": 0, "echoes": 81, "slowest_echo_ms": 1.5,
//    "broken": {"b1": {"reset": 3}}, "not_opened": {}}
nlohmann::json report(const Tally& tally, const std::map<std::string, uint64_t>& open, uint64_t opening);

}  // namespace sluice::bench
