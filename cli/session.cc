#include "cli/session.h"

#include <fmt/format.h>

#include "cli/text.h"

namespace sluice::cli {
namespace {

// Foreign text may hold bytes that are no UTF-8, at which dump() would throw.
std::string printed(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string moved_text(const api::Changed& changed) {
  if (changed.moved == 0) return {};
  return fmt::format("; {} of {} slots moved{}", changed.moved, changed.slots,
                     changed.tracked > 0 ? ", older flows stay where they are" : "");
}

}  // namespace

ExitCode exit_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnavailable:
      return kNoAgent;
    case ErrorCode::kNotFound:
      return kNotFound;
    case ErrorCode::kExists:
      return kExists;
    case ErrorCode::kPermission:
      return kPermission;
    case ErrorCode::kInvalid:
    case ErrorCode::kNoSpace:
    case ErrorCode::kUnsupported:
    case ErrorCode::kInternal:
      break;
  }
  return kFailed;
}

void Session::say(const Error& error, std::string_view hint) const {
  if (json)
    err << printed(api::encode(error), 2) << '\n';
  else
    err << "sluice: " << printable(error.message) << '\n' << hint;
}

int Session::wrong_usage(const Error& error) const {
  say(error, fmt::format("see '{} --help'\n", command));
  return kWrongUsage;
}

int Session::failed(const Error& error) const {
  say(error, "");
  return exit_code(error.code);
}

int Session::changed(const Result<api::Changed>& result, std::string_view what) const {
  if (!result) return failed(result.error());
  if (json) return document(api::encode(*result));
  out << what << moved_text(*result) << '\n';
  return kDone;
}

int Session::document(const nlohmann::json& value) const {
  out << printed(value, 2) << '\n';
  return kDone;
}

}  // namespace sluice::cli
