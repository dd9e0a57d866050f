#include "cli/run.h"

#include <sys/un.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>

#include "base/version.h"
#include "cli/commands.h"
#include "cli/help.h"

namespace sluice::cli {
namespace {

struct GlobalOptions {
  std::string socket;
  bool json = false;
};

std::string check_socket_path(const std::string& path) {
  const size_t limit = sizeof sockaddr_un{}.sun_path - 1;
  return !path.empty() && path.size() <= limit
             ? ""
             : "a socket's path has 1 to " + std::to_string(limit) + " bytes";
}

void add_global_options(CLI::App& root, GlobalOptions& options) {
  root.set_help_flag("-h,--help", "print this help");
  root.add_option("--socket", options.socket, "the agent's socket")
      ->type_name("PATH")
      ->check(check_socket_path);
  root.add_flag("--json", options.json, "one JSON document instead of text");
  root.set_version_flag("--version", kVersion, "print the version");
}

void add_commands(CLI::App& root, Actions& actions) {
  CLI::App* show = add_show(root, actions);
  add_show_drops(*show, actions);
  add_show_flows(*show, actions);
  add_show_config(*show, actions);

  CLI::App* service = root.add_subcommand("service", "add, change and delete services; alone: shows them");
  service->footer(
      "Examples:\n  sluice service\n  sluice service add web tcp 192.0.2.1:80\n  sluice service del web");
  add_service_add(*service, actions);
  add_service_set(*service, actions);
  add_service_del(*service, actions);

  CLI::App* backend = root.add_subcommand("backend", "add, change and delete backends; alone: shows them");
  backend->footer(
      "Examples:\n  sluice backend add web 10.0.0.11 --weight 2\n  sluice backend drain web 10.0.0.11");
  add_backend_add(*backend, actions);
  add_backend_set(*backend, actions);
  add_backend_drain(*backend, actions);
  add_backend_down(*backend, actions);
  add_backend_up(*backend, actions);
  add_backend_undrain(*backend, actions);
  add_backend_del(*backend, actions);

  for (const CLI::App* noun : {static_cast<const CLI::App*>(&root), static_cast<const CLI::App*>(service),
                               static_cast<const CLI::App*>(backend)})
    actions[noun] = actions[show];
  for (CLI::App* noun : {&root, show, service, backend}) noun->require_subcommand(0, 1);
}

// The command that the line names, and its path: "sluice backend add".
std::pair<const CLI::App*, std::string> named_command(const CLI::App& root) {
  const CLI::App* app = &root;
  std::string path = "sluice";
  for (auto below = app->get_subcommands(); !below.empty(); below = app->get_subcommands()) {
    app = below.front();
    path += " " + app->get_name();
  }
  return {app, path};
}

// A line that does not parse may end before its --json is understood.
bool asks_for_json(const std::vector<std::string>& args) {
  const auto end = std::ranges::find(args, "--");
  return std::find(args.begin(), end, "--json") != end;
}

// An argument that nobody takes is the likeliest reason for one that is missing.
Error parse_error(const CLI::App& root, const CLI::ParseError& error) {
  const std::vector<std::string> strangers = root.remaining(true);
  return Error{ErrorCode::kInvalid, strangers.empty()
                                        ? error.what()
                                        : model::in_quotes(strangers.front()) + " is not understood here"};
}

}  // namespace

int run(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
        const Environment& environment) {
  CLI::App root("sluice shows and changes what the load balancer on this machine does.", "sluice");
  GlobalOptions options{.socket = environment.socket};
  Actions actions;
  root.fallthrough();  // global options may stand behind the command
  root.formatter(std::make_shared<HelpFormatter>());
  root.footer(kExitCodesAndExamples);
  add_global_options(root, options);
  add_commands(root, actions);

  const auto session = [&](const std::string& command, bool json) {
    return Session{.agent = api::Client(options.socket, environment.limit),
                   .command = command,
                   .out = out,
                   .err = err,
                   .json = json,
                   .colours = environment.colours,
                   .progress = environment.progress && !json,
                   .clock = environment.clock};
  };
  try {
    root.parse(std::vector<std::string>(args.rbegin(), args.rend()));  // the last argument first
  } catch (const CLI::CallForHelp&) {
    out << root.help();
    return kDone;
  } catch (const CLI::CallForVersion&) {
    if (asks_for_json(args)) return session("sluice", true).document({{"version", kVersion}});
    out << "sluice " << kVersion << '\n';
    return kDone;
  } catch (const CLI::ParseError& error) {
    return session(named_command(root).second, asks_for_json(args)).wrong_usage(parse_error(root, error));
  }
  const auto [app, command] = named_command(root);
  return actions.at(app)(session(command, options.json));
}

}  // namespace sluice::cli
