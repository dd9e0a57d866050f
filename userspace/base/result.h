// Errors are values: a function that can fail returns Result<T>; nothing throws across our functions.
//
// An Error says what was attempted, why it failed and, where there is one, the way out, in one sentence that
// a person can read; its code is what programs decide by (exit codes, HTTP statuses). Context is added on the
// way up with Error::within().
#pragma once

#include <cassert>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace sluice {

enum class ErrorCode {
  kInvalid,      // the request itself is wrong: it does not parse, or contradicts itself
  kNotFound,     // it names something that does not exist
  kExists,       // it would make something that exists already
  kNoSpace,      // a table is full
  kPermission,   // the caller or the process lacks a privilege
  kUnsupported,  // this kernel, driver or version cannot do it
  kUnavailable,  // the other side is not there (no agent, no interface)
  kInternal,     // a system call failed in a way that the request cannot explain
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  // The same error with what was being done put in front: "attach eth0: <message>".
  [[nodiscard]] Error within(std::string_view what) && {
    message.insert(0, ": ").insert(0, what);
    return std::move(*this);
  }
};

// The error for a system call or libbpf call that returned `error_number` (positive or negative errno).
[[nodiscard]] Error system_error(std::string_view attempted, int error_number);

template <typename T = std::monostate>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::move(value)) {}  // NOLINT(google-explicit-constructor): `return value;` is the idiom
  Result(Error error)
      : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor): likewise `return error;`

  explicit operator bool() const { return ok(); }
  bool ok() const { return std::holds_alternative<T>(state_); }

  T& value() & {
    assert(ok());
    return *std::get_if<T>(&state_);
  }
  const T& value() const& {
    assert(ok());
    return *std::get_if<T>(&state_);
  }
  T&& value() && {
    assert(ok());
    return std::move(*std::get_if<T>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    assert(!ok());
    return *std::get_if<Error>(&state_);
  }
  Error&& error() && {
    assert(!ok());
    return std::move(*std::get_if<Error>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

// What a function that only succeeds or fails returns: `return ok();`.
inline Result<> ok() {
  return std::monostate{};
}

}  // namespace sluice

// The value of a Result, or return its error from the function around it. A GNU statement expression, because
// the alternative is three lines and a name at every call. The counter keeps a nested use from shadowing.
#define SLUICE_TRY(expression) SLUICE_TRY_AS(expression, __COUNTER__)
#define SLUICE_TRY_AS(expression, number) SLUICE_TRY_PASTE(expression, number)
#define SLUICE_TRY_PASTE(expression, number) SLUICE_TRY_NAMED(expression, sluice_try_##number)
#define SLUICE_TRY_NAMED(expression, name)          \
  __extension__({                                   \
    auto name = (expression);                       \
    if (!name.ok()) return std::move(name).error(); \
    std::move(name).value();                        \
  })
