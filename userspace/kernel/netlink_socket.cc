#include "kernel/netlink_socket.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

namespace sluice::kernel {
namespace {

// A link's description grows with its kind and its kernel; none we ask for comes near this.
constexpr size_t kBufferBytes = 64 * 1024;
// Some ten thousand announcements: a burst while the agent builds a large ring.
constexpr int kListenerBufferBytes = 8 * 1024 * 1024;

Result<MnlSocket> open_socket(int flags) {
  MnlSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | flags));
  if (socket == nullptr) return system_error("open rtnetlink socket", errno);
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return system_error("bind rtnetlink socket", errno);
  return socket;
}

// Best effort: a smaller buffer overflows sooner, which drain() reports.
void raise_receive_buffer(int fd) {
  const int bytes = kListenerBufferBytes;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0) return;
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

int join(mnl_socket* socket, int group) {
  return mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0 ? 0 : errno;
}

}  // namespace

NetlinkRequester::NetlinkRequester(MnlSocket socket, std::chrono::milliseconds patience)
    : socket_(std::move(socket)), patience_(patience), buffer_(kBufferBytes) {}

Result<NetlinkRequester> NetlinkRequester::open(std::chrono::milliseconds patience) {
  MnlSocket socket = SLUICE_TRY(open_socket(0));
  const timeval timeout{.tv_sec = patience.count() / 1000, .tv_usec = patience.count() % 1000 * 1000};
  if (setsockopt(mnl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0) {
    return system_error("set the rtnetlink socket's receive timeout", errno);
  }
  return NetlinkRequester(std::move(socket), patience);
}

// Answers to earlier questions, given up by then, may still come: the sequence number tells.
const nlmsghdr* NetlinkRequester::find_answer(size_t received, uint32_t sequence) const {
  const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
  int left = static_cast<int>(received);
  while (mnl_nlmsg_ok(message, left)) {
    if (message->nlmsg_seq == sequence && message->nlmsg_type != NLMSG_NOOP) return message;
    message = mnl_nlmsg_next(message, &left);
  }
  return nullptr;
}

Result<NetlinkRequester::Answer> NetlinkRequester::ask(nlmsghdr& request) {
  if (++sequence_ == 0) ++sequence_;  // 0 is what announcements carry
  request.nlmsg_seq = sequence_;
  if (mnl_socket_sendto(socket_.get(), &request, request.nlmsg_len) < 0) {
    return system_error("send rtnetlink request", errno);
  }
  const auto deadline = std::chrono::steady_clock::now() + patience_;
  do {
    const ssize_t received = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && errno == EAGAIN) break;
    if (received < 0) return system_error("receive rtnetlink answer", errno);
    const nlmsghdr* message = find_answer(static_cast<size_t>(received), sequence_);
    if (message == nullptr) continue;
    if (message->nlmsg_type != NLMSG_ERROR) return Answer{.error = 0, .message = message};
    if (mnl_nlmsg_get_payload_len(message) < sizeof(nlmsgerr)) {
      return Error{ErrorCode::kInternal, "receive rtnetlink answer: an error message is cut short"};
    }
    return Answer{.error = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error,
                  .message = nullptr};
  } while (std::chrono::steady_clock::now() < deadline);
  return Error{ErrorCode::kUnavailable,
               "receive rtnetlink answer: none within " + std::to_string(patience_.count()) + " ms"};
}

NetlinkListener::NetlinkListener(MnlSocket socket) : socket_(std::move(socket)), buffer_(kBufferBytes) {}

Result<NetlinkListener> NetlinkListener::open(std::span<const int> wanted, std::span<const int> optional) {
  MnlSocket socket = SLUICE_TRY(open_socket(SOCK_NONBLOCK));
  raise_receive_buffer(mnl_socket_get_fd(socket.get()));
  for (const int group : wanted) {
    if (const int error = join(socket.get(), group); error != 0) {
      return system_error("join rtnetlink group " + std::to_string(group), error);
    }
  }
  for (const int group : optional) {
    if (const int error = join(socket.get(), group); error != 0 && error != EINVAL) {
      return system_error("join rtnetlink group " + std::to_string(group), error);
    }
  }
  return NetlinkListener(std::move(socket));
}

bool NetlinkListener::drain(const std::function<void(const nlmsghdr&)>& hear) {
  bool complete = true;
  for (;;) {
    const ssize_t received = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return complete;
    // ENOBUFS: the buffer overflowed; ENOSPC: a message larger than ours. What follows them is intact.
    if (received < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
      complete = false;
      continue;
    }
    if (received <= 0) return false;
    const auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.data());
    int left = static_cast<int>(received);
    for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) hear(*message);
  }
}

}  // namespace sluice::kernel
