#include "kernel/pins.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <filesystem>

#include "bpf/abi.h"
#include "kernel/maps.h"

namespace sluice::kernel {
namespace {

Result<bool> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return true;
  if (errno == EEXIST) return false;
  Error failed = system_error("make " + path, errno);
  if (failed.code == ErrorCode::kPermission) failed.message += " (needs root, or ownership of the bpffs)";
  return failed;
}

}  // namespace

Result<PinDirectory> PinDirectory::open(const std::string& bpffs, const std::string& program) {
  struct statfs facts {};
  const bool is_there = ::statfs(bpffs.c_str(), &facts) == 0;
  if (!is_there && errno == EACCES) return system_error("look at " + bpffs, errno);
  if (!is_there || facts.f_type != BPF_FS_MAGIC)
    return Error{
        ErrorCode::kInvalid,
        fmt::format("{0} is not a mounted bpffs: 'mount -t bpf bpf {0}', or name another with --bpffs",
                    bpffs)};
  const std::string parent = bpffs + "/" + program;
  const std::string path = fmt::format("{}/v{}", parent, SL_ABI_VERSION);
  SLUICE_TRY(make_directory(parent));
  const bool is_new = SLUICE_TRY(make_directory(path));
  Fd lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock) return system_error("open " + path, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return Error{ErrorCode::kExists,
                 fmt::format("another process works on the tables in {}: stop it first, or give "
                             "this one a --bpffs of its own",
                             path)};
  return PinDirectory(path, std::move(lock), is_new);
}

std::optional<uint32_t> PinDirectory::id_of_pinned(const std::string& map) const {
  const Fd fd(bpf_obj_get((path_ + "/" + map).c_str()));
  if (!fd) return std::nullopt;
  const auto id = map_id(fd.get());
  return id.ok() ? std::optional(*id) : std::nullopt;
}

Result<> PinDirectory::remove() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  if (error) return system_error("remove " + path_, error.value());
  std::filesystem::remove(std::filesystem::path(path_).parent_path(),
                          error);  // unless another ABI's is there
  return ok();
}

}  // namespace sluice::kernel
