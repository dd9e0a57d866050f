// How --help looks: what it is for, the usage, every command below with its arguments, options, examples.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace sluice::cli {

class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter();
  std::string make_description(const CLI::App* app) const override;
  std::string make_subcommands(const CLI::App* app, CLI::AppFormatMode mode) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
};

extern const char* const kExitCodesAndExamples;  // the end of `sluice --help`

}  // namespace sluice::cli
