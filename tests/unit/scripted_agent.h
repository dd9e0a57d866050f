// An agent for tests: listens on a Unix socket in a directory of its own, keeps what it was asked, and sends
// back the bytes that a script chooses. One thread of its own; one connection at a time.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace sluice::test {

struct Request {
  std::string line;  // "GET /v1/status"
  std::string body;
};

inline std::string http_reply(unsigned status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " Whatever\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    char name[] = "/tmp/sluice-test-XXXXXX";
    if (!::mkdtemp(name)) throw std::runtime_error("no temporary directory");
    path_ = name;
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class ScriptedAgent {
 public:
  // The bytes to send back, after which the connection is closed; nothing: keep it open and silent.
  using Script = std::function<std::optional<std::string>(const Request&)>;

  explicit ScriptedAgent(Script script) : script_(std::move(script)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_path().c_str(), sizeof address.sun_path - 1);
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 8) != 0)
      throw std::runtime_error("no socket to listen on");
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedAgent() { stop(); }

  std::string socket_path() const { return directory_.path() + "/agent.sock"; }

  // Stops serving. What was asked until then.
  const std::vector<Request>& requests() {
    stop();
    return requests_;
  }

 private:
  void stop() {
    ::eventfd_write(stop_.get(), 1);
    if (thread_.joinable()) thread_.join();
  }

  // False once the agent is to stop.
  bool wait_for(int fd) const {
    pollfd both[2]{{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    while (::poll(both, 2, -1) < 0) {
    }
    return both[1].revents == 0;
  }

  void serve() {
    while (wait_for(listener_.get())) {
      const Fd connection(::accept(listener_.get(), nullptr, nullptr));
      const auto request = receive(connection.get());
      if (!request) continue;
      requests_.push_back(*request);
      const auto reply = script_(*request);
      if (!reply) {
        while (wait_for(-1)) {
        }
        return;
      }
      for (size_t sent = 0; sent < reply->size();) {
        const ssize_t n = ::send(connection.get(), reply->data() + sent, reply->size() - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += static_cast<size_t>(n);
      }
    }
  }

  std::optional<Request> receive(int fd) const {
    std::string text;
    char buffer[4096];
    while (wait_for(fd)) {
      const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) return std::nullopt;
      text.append(buffer, static_cast<size_t>(n));
      const size_t head = text.find("\r\n\r\n");
      if (head == std::string::npos) continue;
      const size_t length_at = text.find("Content-Length: ");
      const size_t length = length_at < head ? std::stoul(text.substr(length_at + 16)) : 0;
      if (text.size() < head + 4 + length) continue;
      return Request{text.substr(0, text.find(" HTTP/")), text.substr(head + 4)};
    }
    return std::nullopt;
  }

  Script script_;
  TemporaryDirectory directory_;
  Fd listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  Fd stop_{::eventfd(0, EFD_CLOEXEC)};
  std::vector<Request> requests_;
  std::thread thread_;
};

}  // namespace sluice::test
