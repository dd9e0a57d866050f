#include "base/result.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace sluice {
namespace {

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case EPERM:
    case EACCES:
      return ErrorCode::kPermission;
    case ENOENT:
    case ENODEV:
    case ESRCH:
      return ErrorCode::kNotFound;
    case EEXIST:
    case EBUSY:
      return ErrorCode::kExists;
    case ENOSPC:
    case E2BIG:
    case ENOMEM:
      return ErrorCode::kNoSpace;
    case EOPNOTSUPP:
    case ENOSYS:
      return ErrorCode::kUnsupported;
    case ECONNREFUSED:
    case ENOTCONN:
      return ErrorCode::kUnavailable;
    default:
      return ErrorCode::kInternal;
  }
}

}  // namespace

Error system_error(std::string_view attempted, int error_number) {
  const int number = std::abs(error_number);
  return Error{code_of(number), std::string(attempted) + ": " + std::strerror(number)};
}

}  // namespace sluice
