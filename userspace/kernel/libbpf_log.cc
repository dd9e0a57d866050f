#include "kernel/libbpf_log.h"

#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include <cstdarg>
#include <cstdio>

namespace sluice::kernel {
namespace {

constexpr size_t kKeep = 1 << 20;  // bytes; a verifier log is longer, its end is what matters

// The libraries' callbacks take no context pointer, so this is the one place with state outside an object;
// one set a thread.
struct Log {
  std::string warnings;
  std::string everything;
};
thread_local Log log;

void append(bool is_warning, const char* format, va_list arguments) {
  char line[4096];
  std::vsnprintf(line, sizeof line, format, arguments);
  log.everything += line;
  if (log.everything.size() > kKeep) log.everything.erase(0, log.everything.size() - kKeep);
  if (is_warning && log.warnings.size() < kKeep) log.warnings += line;
}

int from_libbpf(libbpf_print_level level, const char* format, va_list arguments) {
  append(level == LIBBPF_WARN, format, arguments);
  return 0;
}

int from_libxdp(libxdp_print_level level, const char* format, va_list arguments) {
  append(level == LIBXDP_WARN, format, arguments);
  return 0;
}

}  // namespace

void capture_library_log() {
  libbpf_set_print(from_libbpf);
  libxdp_set_print(from_libxdp);
}

std::string take_library_warnings() {
  std::string line;
  for (const char c : log.warnings) line += c == '\n' ? ' ' : c;
  while (!line.empty() && line.back() == ' ') line.pop_back();
  log = {};
  return line;
}

std::string take_library_log() {
  std::string all = std::move(log.everything);
  log = {};
  return all;
}

}  // namespace sluice::kernel
