// The API server on a real Unix socket, with clients of every kind. The server has a thread of its own, as in
// the agent; the tests are its clients.
#include "agent/server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "scripted_agent.h"

namespace sluice::agent {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kAnswerLimit = 10s;  // no answer by then: there is none

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  return address;
}

class Client {
 public:
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un address = address_of(path);
    connected_ = ::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

  bool connected() const { return connected_; }
  void hang_up() { fd_.reset(); }

  // False: the server has closed the connection.
  bool send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t size = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (size < 0) return false;
      text.remove_prefix(static_cast<size_t>(size));
    }
    return true;
  }

  // One reply's status line and body; empty: the connection was closed instead.
  std::string reply() {
    const auto until = Clock::now() + kAnswerLimit;
    for (;;) {
      const size_t head = text_.find("\r\n\r\n");
      if (head != std::string::npos) {
        const size_t field = text_.find("Content-Length: ");
        const size_t end = head + 4 + std::stoul(text_.substr(field + 16));
        if (text_.size() >= end) {
          const std::string line = text_.substr(9, text_.find('\r') - 9),
                            body = text_.substr(head + 4, end - head - 5);
          text_.erase(0, end);
          return line + " " + body;
        }
      }
      if (!receive(until)) return "";
    }
  }

  // How long until the server closed the connection; what it sent until then is lost.
  Clock::duration closed_after() {
    const auto start = Clock::now();
    while (receive(start + kAnswerLimit)) text_.clear();
    return Clock::now() - start;
  }

 private:
  bool receive(Clock::time_point until) {
    pollfd wait{fd_.get(), POLLIN, 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) <= 0) {
      ADD_FAILURE() << "neither an answer nor an end";
      return false;
    }
    char part[65536];
    const ssize_t size = ::recv(fd_.get(), part, sizeof part, 0);
    if (size <= 0) return false;
    text_.append(part, static_cast<size_t>(size));
    return true;
  }

  Fd fd_;
  bool connected_ = false;
  std::string text_;
};

std::string request(std::string_view method, std::string_view target, std::string_view body = "",
                    std::string_view fields = "") {
  std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: sluice\r\n";
  text.append(fields);
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + std::string(body);
}

std::string get(std::string_view what) {
  return request("GET", "/v1/" + std::string(what));
}
std::string del(const std::string& name) {
  return request("DELETE", "/v1/services/" + name);
}

// What the handler does is in the name of the service to delete.
asio::awaitable<Result<nlohmann::json>> handle(Request asked) {
  if (std::holds_alternative<GetStatus>(asked)) co_return nlohmann::json("status");
  if (std::holds_alternative<GetConfig>(asked)) co_return nlohmann::json(std::string(8 << 20, 'x'));
  if (const auto* add = std::get_if<AddBackend>(&asked)) co_return nlohmann::json(add->service);
  const auto* gone = std::get_if<DeleteService>(&asked);
  if (gone == nullptr) co_return Error{ErrorCode::kInternal, "not for these tests"};
  if (gone->name == "none") co_return Error{ErrorCode::kNotFound, "no service is named 'none'"};
  if (gone->name == "not-utf8") co_return nlohmann::json("\xff");
  if (gone->name == "throw") throw std::runtime_error("a handler's mistake");
  if (gone->name.starts_with("slow")) {
    asio::steady_timer timer(co_await asio::this_coro::executor, 400ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
  co_return nlohmann::json(gone->name);
}

class ServerTest : public testing::Test {
 protected:
  // Shorter than what a person may take, longer than a busy machine's hiccup.
  static constexpr std::chrono::milliseconds kPatience{250};

  ~ServerTest() override { stop(); }

  void start(std::chrono::milliseconds patience = Server::kPatience) {
    auto server = Server::listen(context_, path_, handle, patience);
    ASSERT_TRUE(server.ok()) << server.error().message;
    server_.emplace(std::move(server).value());
    asio::co_spawn(context_, server_->run(), asio::detached);
    thread_ = std::thread([this] { context_.run(); });
  }
  void stop() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
    server_.reset();
  }
  Client client() const { return Client(path_); }

  void expect_it_still_answers() const {
    Client other = client();
    ASSERT_TRUE(other.send(get("status")));
    EXPECT_EQ(other.reply(), "200 OK \"status\"");
  }

  test::TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/run/sluice.sock";
  asio::io_context context_{1};
  std::optional<Server> server_;
  std::thread thread_;
};

// ---- requests ----

TEST_F(ServerTest, AnswersOneRequestAfterTheOther) {
  start();
  Client one = client();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(one.send(get("status")));
    EXPECT_EQ(one.reply(), "200 OK \"status\"");
    ASSERT_TRUE(one.send(request("POST", "/v1/services/web/backends", R"({"address": "10.0.0.1"})")));
    EXPECT_EQ(one.reply(), "201 Created \"web\"");
  }
}

TEST_F(ServerTest, AnswersPipelinedRequestsInTheirOrder) {
  start();
  Client one = client();
  std::string all;
  for (const char* name : {"a", "slow", "none", "b"}) all += del(name);
  ASSERT_TRUE(one.send(all + request("POST", "/v1/services/web/backends", R"({"address": "10.0.0.1"})") +
                       get("status")));
  EXPECT_EQ(one.reply(), "200 OK \"a\"");
  EXPECT_EQ(one.reply(), "200 OK \"slow\"");
  EXPECT_TRUE(one.reply().starts_with("404 Not Found "));
  EXPECT_EQ(one.reply(), "200 OK \"b\"");
  EXPECT_EQ(one.reply(), "201 Created \"web\"");
  EXPECT_EQ(one.reply(), "200 OK \"status\"");
}

TEST_F(ServerTest, PutsARequestTogetherFromSingleBytes) {
  start();
  Client one = client();
  const std::string text = request("POST", "/v1/services/web/backends", R"({"address": "10.0.0.1"})");
  for (const char byte : text) ASSERT_TRUE(one.send({&byte, 1}));
  EXPECT_EQ(one.reply(), "201 Created \"web\"");
}

TEST_F(ServerTest, TakesABodyInChunks) {
  start();
  Client one = client();
  ASSERT_TRUE(one.send(request("POST", "/v1/services/web/backends", "", "Transfer-Encoding: chunked\r\n") +
                       "c\r\n{\"address\": \r\na\r\n\"10.0.0.1\"\r\n1\r\n}\r\n0\r\n\r\n"));
  EXPECT_EQ(one.reply(), "201 Created \"web\"");
}

TEST_F(ServerTest, ClosesWhenTheClientAsksForIt) {
  start();
  Client one = client();
  ASSERT_TRUE(one.send(request("GET", "/v1/status", "", "Connection: close\r\n")));
  EXPECT_EQ(one.reply(), "200 OK \"status\"");
  EXPECT_LT(one.closed_after(), 5s);
  Client old = client();
  ASSERT_TRUE(old.send("GET /v1/status HTTP/1.0\r\n\r\n"));
  EXPECT_EQ(old.reply(), "200 OK \"status\"");
  EXPECT_LT(old.closed_after(), 5s);
}

TEST_F(ServerTest, TellsErrorsByStatusCodeAndMessage) {
  start();
  Client one = client();
  const auto answer = [&](const std::string& text) {
    EXPECT_TRUE(one.send(text));
    return one.reply();
  };
  EXPECT_EQ(answer(del("none")),
            "404 Not Found {\"error\":{\"code\":\"not_found\",\"message\":\"no service is named 'none'\"}}");
  EXPECT_TRUE(answer(get("nothing")).starts_with("404 Not Found {\"error\":"));
  EXPECT_TRUE(answer(request("POST", "/v1/services", "{")).starts_with("400 Bad Request {\"error\":"));
  EXPECT_TRUE(answer(request("BREW", "/v1/status")).starts_with("501 Not Implemented {\"error\":"));
  EXPECT_EQ(answer(get("status")), "200 OK \"status\"") << "the connection outlives them";
}

TEST_F(ServerTest, WritesJsonWhateverTheBytes) {
  start();
  Client one = client();
  ASSERT_TRUE(one.send(del("not-utf8")));
  EXPECT_EQ(one.reply(), "200 OK \"\xef\xbf\xbd\"");
}

// ---- clients that do not behave ----

TEST_F(ServerTest, RefusesWhatIsNotHttp) {
  start();
  for (const std::string& garbage :
       {std::string("what?\r\n\r\n"), std::string("GET /v1/status\r\n\r\n"), std::string(64, '\0'),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
        std::string("GET /v1/status HTTP/1.1\r\nContent-Length: many\r\n\r\n"),
        std::string("POST /v1/services HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")}) {
    Client one = client();
    ASSERT_TRUE(one.send(garbage));
    EXPECT_TRUE(one.reply().starts_with("400 Bad Request {\"error\":")) << garbage;
    EXPECT_LT(one.closed_after(), 5s);
  }
  expect_it_still_answers();
}

TEST_F(ServerTest, RefusesAHeaderThatIsTooLong) {
  start();
  Client one = client();
  (void)one.send(request("GET", "/v1/status", "", "X: " + std::string(10'000, 'x') + "\r\n"));
  EXPECT_TRUE(one.reply().starts_with("400 Bad Request {\"error\":"));
  Client endless = client();
  const std::string field = "Field: " + std::string(100, 'x') + "\r\n";
  bool is_open = endless.send("GET /v1/status HTTP/1.1\r\n");
  for (int i = 0; i < 100'000 && is_open; ++i) is_open = endless.send(field);
  EXPECT_FALSE(is_open);
  expect_it_still_answers();
}

TEST_F(ServerTest, RefusesABodyThatIsTooLongBeforeItIsSent) {
  start();
  Client one = client();
  ASSERT_TRUE(one.send("POST /v1/services HTTP/1.1\r\nContent-Length: " +
                       std::to_string(api::kMaxBodyBytes + 1) + "\r\n\r\n{"));
  EXPECT_TRUE(one.reply().starts_with("400 Bad Request {\"error\":"));
  EXPECT_LT(one.closed_after(), 5s);
}

TEST_F(ServerTest, RefusesABodyThatGrowsTooLong) {
  start();
  Client one = client();
  bool is_open = one.send(request("POST", "/v1/services", "", "Transfer-Encoding: chunked\r\n"));
  const std::string chunk = "10000\r\n" + std::string(0x10000, ' ') + "\r\n";
  unsigned sent = 0;
  for (; sent < 1000 && is_open; ++sent) is_open = one.send(chunk);
  EXPECT_FALSE(is_open);
  EXPECT_GE(sent, api::kMaxBodyBytes / 0x10000 - 1);
  expect_it_still_answers();
}

TEST_F(ServerTest, TakesABodyOfTheGreatestLength) {
  start();
  Client one = client();
  const std::string backend = R"({"address": "10.0.0.1"})";
  ASSERT_TRUE(one.send(request("POST", "/v1/services/web/backends",
                               backend + std::string(api::kMaxBodyBytes - backend.size(), ' '))));
  EXPECT_EQ(one.reply(), "201 Created \"web\"");
}

TEST_F(ServerTest, SurvivesClientsThatDisappearAnywhere) {
  start();
  const std::string text = request("POST", "/v1/services/web/backends", R"({"address": "10.0.0.1"})");
  for (size_t size = 0; size <= text.size(); size += 3) {
    Client one = client();
    ASSERT_TRUE(one.send(text.substr(0, size)));
    one.hang_up();
  }
  Client waiting = client();
  ASSERT_TRUE(waiting.send(del("slow")));
  waiting.hang_up();
  Client reading = client();
  ASSERT_TRUE(reading.send(get("config")));  // longer than the socket's buffer
  std::this_thread::sleep_for(50ms);
  reading.hang_up();
  std::this_thread::sleep_for(500ms);
  expect_it_still_answers();
}

TEST_F(ServerTest, SurvivesAHandlerThatThrows) {
  start();
  Client one = client();
  ASSERT_TRUE(one.send(del("throw")));
  EXPECT_EQ(one.reply(), "");
  expect_it_still_answers();
}

TEST_F(ServerTest, GivesUpOnClientsWhoseTimeIsUp) {
  start(kPatience);
  Client silent = client(), slow = client(), idle = client(), deaf = client();
  ASSERT_TRUE(slow.send("GET /v1/sta"));
  ASSERT_TRUE(idle.send(get("status")));
  EXPECT_EQ(idle.reply(), "200 OK \"status\"");
  ASSERT_TRUE(deaf.send(get("config")));
  expect_it_still_answers();

  // A byte now and then does not buy more time.
  const auto start = Clock::now();
  while (slow.send("x") && Clock::now() - start < 5s) std::this_thread::sleep_for(20ms);
  EXPECT_LT(Clock::now() - start, 5s);
  for (Client* one : {&silent, &slow, &idle}) EXPECT_LT(one->closed_after(), 5s);
  std::this_thread::sleep_for(2 * kPatience);
  EXPECT_EQ(deaf.reply(), "") << "the rest of the answer was not kept for it";
}

TEST_F(ServerTest, DoesNotCountTheTimeThatItTakesItself) {
  start(kPatience);
  Client one = client();
  ASSERT_TRUE(one.send(del("slow")));
  EXPECT_EQ(one.reply(), "200 OK \"slow\"");
}

TEST_F(ServerTest, ServesOthersWhileOneWaits) {
  start();
  Client waiting = client();
  ASSERT_TRUE(waiting.send(del("slow")));
  const auto start = Clock::now();
  expect_it_still_answers();
  EXPECT_LT(Clock::now() - start, 300ms);
  EXPECT_EQ(waiting.reply(), "200 OK \"slow\"");
}

TEST_F(ServerTest, AnswersOrClosesEachOfTwoHundredConnections) {
  start();
  for (int round = 0; round < 2; ++round) {
    std::vector<Client> all;
    for (int i = 0; i < 200; ++i) {
      all.push_back(client());
      ASSERT_TRUE(all.back().connected());
    }
    unsigned answered = 0, closed = 0;
    for (Client& one : all) {
      const std::string reply = one.send(get("status")) ? one.reply() : "";
      ++(reply.empty() ? closed : answered);
      EXPECT_TRUE(reply.empty() || reply == "200 OK \"status\"");
    }
    EXPECT_GE(answered, 100u);
    EXPECT_GT(closed, 0u) << "the limit is no limit";
    EXPECT_EQ(answered + closed, 200u);
    all.clear();
    // The places are free again once the server has seen that they are gone.
    std::this_thread::sleep_for(200ms);
  }
  expect_it_still_answers();
}

// ---- the socket ----

TEST_F(ServerTest, OpensItsSocketToOwnerAndGroupAlone) {
  const mode_t before = ::umask(0);
  start();
  ::umask(before);
  struct stat file {};
  ASSERT_EQ(::stat(path_.c_str(), &file), 0);
  EXPECT_TRUE(S_ISSOCK(file.st_mode));
  EXPECT_EQ(file.st_mode & 0777, 0660u);
  EXPECT_EQ(::umask(before), before) << "the process's own mask is back";
}

TEST_F(ServerTest, RefusesToTakeALivingAgentsPlace) {
  start();
  const auto second = Server::listen(context_, path_, handle);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kExists);
  EXPECT_NE(second.error().message.find(path_), std::string::npos);
  expect_it_still_answers();
}

TEST_F(ServerTest, ReplacesTheSocketFileOfADeadAgent) {
  std::filesystem::create_directories(directory_.path() + "/run");
  {
    const Fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    const sockaddr_un address = address_of(path_);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(path_));
  start();
  expect_it_still_answers();
}

TEST_F(ServerTest, DeletesNoFileThatIsNoSocket) {
  std::filesystem::create_directories(directory_.path() + "/run");
  std::ofstream(path_) << "precious";
  const auto server = Server::listen(context_, path_, handle);
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.error().code, ErrorCode::kExists);
  EXPECT_EQ(std::filesystem::file_size(path_), 8u);
}

TEST_F(ServerTest, RefusesAPathThatNoSocketCanHave) {
  const auto server = Server::listen(context_, directory_.path() + "/" + std::string(120, 'x'), handle);
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.error().code, ErrorCode::kInvalid);
  EXPECT_FALSE(Server::listen(context_, "/proc/nowhere/sluice.sock", handle).ok());
}

TEST_F(ServerTest, LeavesNoSocketFileBehind) {
  start();
  stop();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(ServerTest, EndsWithConnectionsOpen) {
  start();
  Client idle = client(), waiting = client();
  ASSERT_TRUE(idle.send(get("status")));
  EXPECT_EQ(idle.reply(), "200 OK \"status\"");
  ASSERT_TRUE(waiting.send(del("slow")));
  std::this_thread::sleep_for(50ms);
  stop();
}

}  // namespace
}  // namespace sluice::agent
