// Where the kernel's tables are pinned: <bpffs>/<program>/v<ABI version>, one directory an ABI, so that
// nobody takes over tables of another layout.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace sluice::kernel {

class PinDirectory {
 public:
  // Makes the directory if needed and locks it. kExists: another process works on these tables. kInvalid:
  // `bpffs` is not a mounted bpffs.
  static Result<PinDirectory> open(const std::string& bpffs, const std::string& program);

  const std::string& path() const { return path_; }
  bool is_new() const { return is_new_; }
  // The kernel's id of a map that is pinned here; nullopt: none.
  std::optional<uint32_t> id_of_pinned(const std::string& map) const;
  // Removes all pins and the directory.
  Result<> remove();

 private:
  PinDirectory(std::string path, Fd lock, bool is_new)
      : path_(std::move(path)), lock_(std::move(lock)), is_new_(is_new) {}
  std::string path_;
  Fd lock_;
  bool is_new_;
};

}  // namespace sluice::kernel
