#include "cli/help.h"

#include <sstream>

namespace sluice::cli {
namespace {

// "backend add SERVICE ADDRESS"; a node that only groups others has no line of its own.
void list_commands(std::ostream& out, const CLI::App* app, const std::string& path, size_t width) {
  std::string line = path;
  const auto positionals =
      app->get_options([](const CLI::Option* option) { return option->get_positional(); });
  for (const CLI::Option* positional : positionals)
    line += " " + (positional->get_required() ? positional->get_name() : "[" + positional->get_name() + "]");

  const auto commands = app->get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty() || !positionals.empty())
    CLI::detail::format_help(out, line, app->get_description(), width);
  for (const CLI::App* command : commands)
    list_commands(out, command, path + " " + command->get_name(), width);
}

}  // namespace

HelpFormatter::HelpFormatter() {
  label("SUBCOMMAND", "COMMAND");
  label("Positionals", "Arguments");
  column_width(36);
}

std::string HelpFormatter::make_description(const CLI::App* app) const {
  return app->get_description() + "\n\n";
}

std::string HelpFormatter::make_subcommands(const CLI::App* app, CLI::AppFormatMode) const {
  const auto commands = app->get_subcommands([](const CLI::App*) { return true; });
  if (commands.empty()) return {};
  std::ostringstream out;
  out << "\nCommands:\n";
  for (const CLI::App* command : commands) list_commands(out, command, command->get_name(), column_width_);
  return out.str();
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  const bool takes_value = option->nonpositional() && option->get_type_size() != 0;
  return takes_value ? " " + option->get_type_name() : "";
}

const char* const kExitCodesAndExamples = R"(A command's own help: sluice backend add --help

Exit codes:
  0  done
  1  the agent refused, or failed
  2  wrong usage; the agent was not called
  3  no agent answers
  4  no such service or backend
  5  it exists already
  6  permission denied

Environment:
  SLUICE_SOCKET  the agent's socket, where --socket does not give it
  NO_COLOR       if not empty: no colours

Examples:
  sluice
  sluice service add web tcp 192.0.2.1:80
  sluice backend add web 10.0.0.11 --weight 2
  sluice backend drain web 10.0.0.11 --wait
  sluice --json show web | jq '.backends[].traffic')";

}  // namespace sluice::cli
