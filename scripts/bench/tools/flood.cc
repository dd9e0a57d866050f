// bench-flood: TCP packets of random flows to one or more VIPs at a given rate, past this host's own TCP.
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "flood_frame.h"

namespace {

using namespace sluice;
using Clock = std::chrono::steady_clock;

constexpr size_t kBatch = 64;  // frames a system call

struct Options {
  std::string interface;
  std::string mac;
  std::vector<std::string> vips;
  std::string kind;
  uint64_t rate = 10000;  // packets a second
  double seconds = 5;
};

struct Sent {
  uint64_t packets = 0;
  uint64_t refused = 0;  // by the interface
};

volatile std::sig_atomic_t is_asked_to_end = 0;

class Flood {
 public:
  static Result<Flood> open(const std::string& interface);
  void fill(const MacAddress& to, bench::FloodKind kind);
  // Goes on where the last batch ended, round and round the VIPs.
  Result<> send(size_t count, const std::vector<Endpoint>& vips, Sent& sent);

 private:
  Fd socket_;
  MacAddress own_;
  bench::Random random_{std::random_device{}()};
  size_t next_vip_ = 0;
  std::array<bench::FloodFrame, kBatch> frames_{};
};

Result<Flood> Flood::open(const std::string& interface) {
  Flood flood;
  flood.socket_ = Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));  // protocol 0: receives nothing
  if (!flood.socket_) return system_error("open a packet socket", errno);
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(flood.socket_.get(), SIOCGIFHWADDR, &request) != 0)
    return system_error("ask for the address of " + interface, errno);
  std::copy_n(request.ifr_hwaddr.sa_data, flood.own_.bytes.size(), flood.own_.bytes.begin());
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(::if_nametoindex(interface.c_str()));
  if (::bind(flood.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return system_error("bind to " + interface, errno);
  const int yes = 1;
  if (::setsockopt(flood.socket_.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes) != 0)
    return system_error("pass by the queue of " + interface, errno);
  return flood;
}

void Flood::fill(const MacAddress& to, bench::FloodKind kind) {
  frames_.fill(bench::make_flood_frame(own_, to, kind));
}

Result<> Flood::send(size_t count, const std::vector<Endpoint>& vips, Sent& sent) {
  std::array<iovec, kBatch> pieces{};
  std::array<mmsghdr, kBatch> messages{};
  for (size_t i = 0; i < count; ++i) {
    bench::aim(frames_[i], vips[next_vip_++ % vips.size()], random_);
    pieces[i] = {&frames_[i], sizeof frames_[i]};
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (size_t done = 0; done < count;) {
    const int some = ::sendmmsg(socket_.get(), &messages[done], static_cast<unsigned>(count - done), 0);
    if (some > 0) {
      done += static_cast<size_t>(some);
      sent.packets += static_cast<uint64_t>(some);
    } else if (errno == ENOBUFS || errno == EAGAIN) {  // the first of them
      ++done;
      ++sent.refused;
    } else if (errno != EINTR) {
      return system_error("send", errno);
    }
  }
  return ok();
}

Result<std::vector<Endpoint>> parse_vips(const std::vector<std::string>& texts) {
  std::vector<Endpoint> vips;
  for (const auto& text : texts) {
    vips.push_back(SLUICE_TRY(Endpoint::parse(text)));
    if (vips.back().address.family != Family::kV4)
      return Error{ErrorCode::kUnsupported, fmt::format("{}: floods are IPv4 only", text)};
  }
  return vips;
}

Result<> run(const Options& options) {
  const auto vips = SLUICE_TRY(parse_vips(options.vips));
  const auto mac = SLUICE_TRY(MacAddress::parse(options.mac));
  Flood flood = SLUICE_TRY(Flood::open(options.interface));
  flood.fill(mac, options.kind == "syn" ? bench::FloodKind::kSyn : bench::FloodKind::kAck);

  Sent sent;
  const auto began = Clock::now();
  std::chrono::duration<double> passed{};
  for (; passed.count() < options.seconds && is_asked_to_end == 0; passed = Clock::now() - began) {
    const auto due = static_cast<uint64_t>(passed.count() * static_cast<double>(options.rate));
    const uint64_t behind = due - std::min(due, sent.packets + sent.refused);
    if (behind > 0)
      SLUICE_TRY(flood.send(std::min<uint64_t>(behind, kBatch), vips, sent));
    else
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const nlohmann::json report{
      {"kind", options.kind}, {"sent", sent.packets}, {"refused", sent.refused}, {"seconds", passed.count()}};
  std::cout << report.dump() << "\n";
  return ok();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app{"Floods VIPs with TCP packets of random flows from 198.18.0.0/15."};
  app.footer(
      "Example:\n"
      "  bench-flood eth0 02:00:5e:00:53:01 192.0.2.1:80 --kind syn --rate 50000 --seconds 10\n"
      "It ends early on SIGTERM. Exit codes: 0 done, 1 failed, 2 wrong usage.");
  app.add_option("INTERFACE", options.interface, "where to send")->required();
  app.add_option("MAC", options.mac, "the load balancer's")->required();
  app.add_option("VIP:PORT", options.vips, "IPv4; of several each gets its share")->required();
  app.add_option("--kind", options.kind)->required()->check(CLI::IsMember({"syn", "ack"}));
  app.add_option("--rate", options.rate, "packets a second, in all")->capture_default_str();
  app.add_option("--seconds", options.seconds)->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::signal(SIGTERM, [](int) { is_asked_to_end = 1; });
  const auto done = run(options);
  if (done.ok()) return 0;
  fmt::print(stderr, "bench-flood: {}\n", done.error().message);
  return 1;
}
