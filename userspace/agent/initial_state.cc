#include "agent/initial_state.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>

#include "agent/read_file.h"
#include "base/fnv.h"
#include "model/codec.h"

namespace sluice::agent {
namespace {

// nullopt: there is no file, and none was asked for.
Result<std::optional<std::string>> read_config_file(const Options& options) {
  const std::string path = options.config_path.value_or(kDefaultConfig);
  Result<std::optional<std::string>> text = read_file(path);
  if (!text.ok()) return std::move(text).error().within("the configuration");
  if (!text->has_value() && options.config_path)
    return system_error("read the configuration " + path, ENOENT);
  return text;
}

}  // namespace

Result<InitialState> initial_state(const Options& options, const StateStore& store) {
  StateStore::Loaded stored = SLUICE_TRY(store.load());
  if (!stored.warning.empty()) spdlog::warn("{}", stored.warning);
  InitialState initial{stored.state.value_or(StoredState{}),
                       stored.state ? "the stored state" : "nothing stored", false};
  model::Config& config = initial.state.config;

  if (const auto text = SLUICE_TRY(read_config_file(options))) {
    const std::string path = options.config_path.value_or(kDefaultConfig);
    model::Document document = SLUICE_TRY(model::parse_yaml(*text, path));
    const std::string digest = fmt::format("{:016x}", fnv1a64(*text));
    const bool takes_services = document.declares_services && digest != initial.state.file_digest;
    if (!takes_services) document.config.services = std::move(config.services);
    initial.hash_changes =
        stored.state && stored.state->config.defaults.hash_seed != document.config.defaults.hash_seed;
    config = std::move(document.config);
    initial.state.file_digest = digest;
    initial.remark = takes_services ? path : path + " and services from " + initial.remark;
  }
  if (!options.interfaces.empty()) {
    config.interfaces.clear();
    for (const auto& name : options.interfaces) config.interfaces.push_back({name, model::XdpMode::kAuto});
  }
  if (config.interfaces.empty())
    return Error{
        ErrorCode::kInvalid,
        fmt::format("no interface to attach to: name one under 'interfaces:' in {}, or with --interface",
                    options.config_path.value_or(kDefaultConfig))};
  SLUICE_TRY(model::validate(config));
  return initial;
}

}  // namespace sluice::agent
