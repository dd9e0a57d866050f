// The commands: each file adds one to the parser and says what it does.
//
// A noun without a verb (`sluice service`) never changes anything: it shows.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>

#include "cli/session.h"

namespace sluice::cli {

// What a node of the parser does once the whole line is understood. Returns the exit code.
using Action = std::function<int(const Session&)>;
using Actions = std::map<const CLI::App*, Action>;

CLI::App* add_show(CLI::App& root, Actions& actions);
void add_show_drops(CLI::App& show, Actions& actions);
void add_show_flows(CLI::App& show, Actions& actions);
void add_show_config(CLI::App& show, Actions& actions);
void add_service_add(CLI::App& service, Actions& actions);
void add_service_set(CLI::App& service, Actions& actions);
void add_service_del(CLI::App& service, Actions& actions);
void add_backend_add(CLI::App& backend, Actions& actions);
void add_backend_set(CLI::App& backend, Actions& actions);
void add_backend_drain(CLI::App& backend, Actions& actions);
void add_backend_down(CLI::App& backend, Actions& actions);
void add_backend_up(CLI::App& backend, Actions& actions);
void add_backend_undrain(CLI::App& backend, Actions& actions);
void add_backend_del(CLI::App& backend, Actions& actions);

}  // namespace sluice::cli
