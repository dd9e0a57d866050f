// A whole file as text.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace sluice::agent {

// nullopt: there is no such file.
Result<std::optional<std::string>> read_file(const std::string& path);

}  // namespace sluice::agent
