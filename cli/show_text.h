// What was observed, as text for people: no line longer than kColumns. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "api/messages.h"

namespace sluice::cli {

std::string status_text(const api::Status& status, bool colours);
std::string service_text(const api::ServiceStatus& service, bool colours);              // with every detail
std::string reasons_text(const std::vector<api::ReasonStatus>& reasons, bool colours);  // in their order

}  // namespace sluice::cli
