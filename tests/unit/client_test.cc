// The client against agents that do well, badly or nothing: what it asks, and the error that each fault
// becomes.
#include "api/client.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "scripted_agent.h"

namespace sluice::api {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using test::http_reply;
using test::Request;
using test::ScriptedAgent;

constexpr const char* kChanged = R"({"revision": 3, "slots": 65536, "moved": 10, "tracked": 9})";

// The error of a status call to an agent that answers every call with these bytes.
Error error_of(std::optional<std::string> bytes, milliseconds limit = milliseconds(5000)) {
  const ScriptedAgent agent([&](const Request&) { return bytes; });
  const auto result = Client(agent.socket_path(), limit).status();
  return result ? Error{ErrorCode::kInternal, "it succeeded"} : result.error();
}

bool has(const Error& error, std::string_view part) {
  return error.message.find(part) != std::string::npos;
}

TEST(Client, EveryCallAsksWhatTheContractSays) {
  ScriptedAgent agent([](const Request&) { return http_reply(200, kChanged); });
  const Client client(agent.socket_path());
  model::Service service;
  service.name = "web";
  service.vip = *Endpoint::parse("192.0.2.1:80");
  model::Backend backend;
  backend.address = *IpAddress::parse("10.0.0.11");
  model::BackendChange change;
  change.weight = 2;
  const IpAddress v6 = *IpAddress::parse("2001:db8::11");
  const Changed wanted{.revision = 3, .slots = 65536, .moved = 10, .tracked = 9};
  EXPECT_EQ(*client.add_service(service), wanted);
  EXPECT_EQ(*client.add_backend("web", backend), wanted);
  EXPECT_EQ(*client.change_backend("web", v6, change), wanted);
  EXPECT_EQ(*client.delete_backend("web", v6), wanted);
  EXPECT_EQ(*client.delete_service("a b/../%\xff"), wanted);
  model::ServiceChange service_change;
  service_change.hash = model::FlowHash::kSourceIp;
  EXPECT_EQ(*client.change_service("web", service_change), wanted);

  const auto& asked = agent.requests();
  ASSERT_EQ(asked.size(), 6U);
  EXPECT_EQ(asked[0].line, "POST /v1/services");
  EXPECT_EQ(json::parse(asked[0].body),
            json::parse(R"({"name": "web", "vip": "192.0.2.1:80", "protocol": "tcp"})"));
  EXPECT_EQ(asked[1].line, "POST /v1/services/web/backends");
  EXPECT_EQ(json::parse(asked[1].body), json::parse(R"({"address": "10.0.0.11"})"));
  EXPECT_EQ(asked[2].line, "PATCH /v1/services/web/backends/2001%3Adb8%3A%3A11");
  EXPECT_EQ(json::parse(asked[2].body), json::parse(R"({"weight": 2})"));
  EXPECT_EQ(asked[3].line, "DELETE /v1/services/web/backends/2001%3Adb8%3A%3A11");
  EXPECT_EQ(asked[3].body, "");
  EXPECT_EQ(asked[4].line, "DELETE /v1/services/a%20b%2F..%2F%25%FF");
  EXPECT_EQ(asked[5].line, "PATCH /v1/services/web");
  EXPECT_EQ(json::parse(asked[5].body), json::parse(R"({"hash": "source-ip"})"));
}

TEST(Client, ReadsStatusAndConfig) {
  Status status;
  status.revision = 8;
  const ScriptedAgent agent([&](const Request& request) {
    return http_reply(200, request.line == "GET /v1/status" ? encode(status).dump() : R"({"version": 1})");
  });
  const Client client(agent.socket_path());
  EXPECT_EQ(client.status()->revision, 8U);
  EXPECT_EQ(client.config()->at("version"), 1);
}

TEST(Client, ErrorsOfTheAgentComeAsItSentThem) {
  const Error error = error_of(http_reply(409, encode(Error{ErrorCode::kExists, "it is there"}).dump()));
  EXPECT_EQ(error.code, ErrorCode::kExists);
  EXPECT_EQ(error.message, "it is there");
}

TEST(Client, NoSocketOrNobodyBehindItMeansNoAgent) {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() + "/agent.sock";
  const auto absent = Client(path).status();
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(absent.error().message,
            "no agent answers on " + path +
                ": start it with 'systemctl start sluiced' (or give its socket with --socket)");
  {  // bound, but never listening: what a killed agent leaves behind
    const Fd left_behind(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(left_behind.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  const auto refused = Client(path).status();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, absent.error().message);
}

TEST(Client, SocketThatIsNotForThisUserIsAMatterOfPermission) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  const ScriptedAgent agent([](const Request&) { return std::nullopt; });
  ASSERT_EQ(::chmod(agent.socket_path().c_str(), 0600), 0);
  ASSERT_EQ(::seteuid(65534), 0);
  const auto result = Client(agent.socket_path(), milliseconds(100)).status();
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kPermission);
  EXPECT_TRUE(has(result.error(), "sudo")) << result.error().message;
}

TEST(Client, PathThatFitsNoSocketAddressIsInvalid) {
  for (const std::string& path : {std::string(), std::string(108, 'x')})
    EXPECT_EQ(Client(path).status().error().code, ErrorCode::kInvalid);
}

TEST(Client, AgentThatHangsUpIsUnavailable) {
  for (const char* sent : {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"}) {
    const Error error = error_of(sent);
    EXPECT_EQ(error.code, ErrorCode::kUnavailable) << sent;
    EXPECT_TRUE(has(error, "closed the connection before it had answered GET /v1/status")) << error.message;
  }
}

TEST(Client, ChangeWhoseAnswerWasLostSaysThatItsFateIsUnknown) {
  const ScriptedAgent agent([](const Request&) { return ""; });
  const auto result = Client(agent.socket_path()).delete_service("web");
  ASSERT_FALSE(result.ok());
  EXPECT_TRUE(has(result.error(), "whether it made the change is not known")) << result.error().message;
}

TEST(Client, GarbageIsNamed) {
  for (const auto& [sent, part] : std::vector<std::pair<std::string, std::string>>{
           {"220 mail.example.com ESMTP\r\n\r\n", "is not HTTP"},
           {http_reply(200, "<html>\x01</html>"), "(status 200, no JSON): '<html>?</html>'"},
           {http_reply(200, ""), "no JSON"},
           {http_reply(200, "[1]"), "not a map of keys"},
           {http_reply(200, R"({"version": "1"})"), "GET /v1/status cannot be understood: revision: missing"},
           {http_reply(502, "{}"), "(status 502, no error)"},
           {http_reply(302, encode(Status()).dump()), "(status 302, no error)"}}) {
    const Error error = error_of(sent);
    EXPECT_EQ(error.code, ErrorCode::kInternal) << sent;
    EXPECT_TRUE(has(error, part)) << error.message;
  }
}

TEST(Client, AnswerThatIsTooLongIsRefusedBeforeItIsRead) {
  for (const std::string& sent :
       {"HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kMaxReplyBytes + 1) + "\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nX: " + std::string(20000, 'x')}) {
    const Error error = error_of(sent);
    EXPECT_EQ(error.code, ErrorCode::kInternal);
    EXPECT_TRUE(has(error, "longer than")) << error.message;
  }
}

TEST(Client, SilentAgentIsGivenUpInTime) {
  const auto begin = std::chrono::steady_clock::now();
  const Error error = error_of(std::nullopt, milliseconds(100));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(2000));
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_TRUE(has(error, "did not answer GET /v1/status within 0.1 s")) << error.message;
}

// Nobody accepts, and the backlog is full: connect() itself waits.
TEST(Client, AgentThatAcceptsNobodyIsGivenUpInTime) {
  const test::TemporaryDirectory directory;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (directory.path() + "/agent.sock").c_str(), sizeof address.sun_path - 1);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(::bind(listener.get(), generic, sizeof address), 0);
  ASSERT_EQ(::listen(listener.get(), 0), 0);
  const Fd first(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(::connect(first.get(), generic, sizeof address), 0);

  const auto result = Client(address.sun_path, milliseconds(100)).status();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(has(result.error(), "too busy")) << result.error().message;
}

}  // namespace
}  // namespace sluice::api
