// What was observed, as text for people: no line longer than kColumns. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "api/messages.h"

namespace sluice::cli {

struct Look {
  bool colours = false;
  uint64_t now = 0;  // Unix time in seconds
};

std::string status_text(const api::Status& status, const Look& look);
std::string service_text(const api::ServiceStatus& service, const Look& look);          // with every detail
std::string reasons_text(const std::vector<api::ReasonStatus>& reasons, bool colours);  // in their order
std::string flow_table_text(const api::FlowTableStatus& table, bool colours);

}  // namespace sluice::cli
