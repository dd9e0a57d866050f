// Netlink sockets: one that asks and waits for the answer, and one that listens to announcements.
//
// Each belongs to the network namespace of the thread that opened it, for good. One thread at a time.
#pragma once

#include <libmnl/libmnl.h>

#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::kernel {

struct MnlClose {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using MnlSocket = std::unique_ptr<mnl_socket, MnlClose>;

// Asks one question at a time. ask() waits for the answer until `patience` is over. What no timeout can
// bound: the kernel works on a request inside send(), and may wait there for the lock under which another
// process configures the network.
class NetlinkRequester {
 public:
  static Result<NetlinkRequester> open(std::chrono::milliseconds patience);

  struct Answer {
    int error = 0;  // a positive errno with which the kernel refused; 0: it did not
    const nlmsghdr* message =
        nullptr;  // the reply, valid until the next ask(); null for an acknowledgement or error
  };
  // `request` must call forth a single reply: a get of one thing, or a change with NLM_F_ACK. A refusal by
  // the kernel is an Answer; an Error is a failure to ask at all or to be answered in time.
  Result<Answer> ask(nlmsghdr& request);

 private:
  NetlinkRequester(MnlSocket socket, std::chrono::milliseconds patience);
  const nlmsghdr* find_answer(size_t received, uint32_t sequence) const;

  MnlSocket socket_;
  std::chrono::milliseconds patience_;
  uint32_t sequence_ = 0;
  std::vector<char> buffer_;
};

// Hears multicast announcements. Non-blocking.
class NetlinkListener {
 public:
  // `wanted` are RTNLGRP_* groups; those in `optional` are joined where the kernel has them.
  static Result<NetlinkListener> open(std::span<const int> wanted, std::span<const int> optional);

  int fd() const { return mnl_socket_get_fd(socket_.get()); }
  // Hands every pending message to `hear`. False if announcements were lost (a full buffer, a broken socket
  // or an unreadable message): whoever keeps state by them must read it anew.
  bool drain(const std::function<void(const nlmsghdr&)>& hear);

 private:
  explicit NetlinkListener(MnlSocket socket);

  MnlSocket socket_;
  std::vector<char> buffer_;
};

}  // namespace sluice::kernel
