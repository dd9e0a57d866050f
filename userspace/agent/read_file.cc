#include "agent/read_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.h"

namespace sluice::agent {

// By hand, because a stream's iterator throws where read() fails: on a directory, say.
Result<std::optional<std::string>> read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return std::optional<std::string>{};
  if (!fd) return system_error("read " + path, errno);
  std::string text;
  std::array<char, 65536> part;
  for (;;) {
    const ssize_t size = ::read(fd.get(), part.data(), part.size());
    if (size == 0) return std::optional(std::move(text));
    if (size > 0)
      text.append(part.data(), static_cast<size_t>(size));
    else if (errno != EINTR)
      return system_error("read " + path, errno);
  }
}

}  // namespace sluice::agent
