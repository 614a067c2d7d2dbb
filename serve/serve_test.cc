// Tests of what holds for every route: security rules, routing, the gate, stopping.
#include "serve/serve.h"

#include <sys/stat.h>

#include "serve/test_server.h"

namespace gantry {
namespace {

class Serve : public ApiTest {
 protected:
  http::Response with(http::Headers headers, const std::string& target = "/v1/models") {
    return ask(tcp(), {"GET", target, std::move(headers), {}});
  }
};

TEST_F(Serve, ForeignOriginsGetNothing) {
  options_.api_key = "secret";
  start();
  // Before anything else: even where the key is missing, the target unknown or the body huge.
  EXPECT_EQ(error_of(with({{"Origin", "http://evil.example"}}, "/nowhere")),
            "403 permission_error origin_not_allowed");
  EXPECT_EQ(error_of(with({{"Origin", "null"}})), "403 permission_error origin_not_allowed");
  const auto own = with({{"Origin", "http://" + tcp().text()}, {"x-api-key", "secret"}});
  EXPECT_EQ(own.status, 200);
  EXPECT_EQ(own.header("Access-Control-Allow-Origin"), "http://" + tcp().text());
  EXPECT_EQ(with({{"x-api-key", "secret"}}).header("Access-Control-Allow-Origin"), "");
  const http::Request local_request{"GET", "/health", {{"Origin", "http://evil.example"}}, {}};
  EXPECT_EQ(ask(local(), local_request).status, 403);
}

TEST_F(Serve, ListedOriginsGetCorsAndPreflights) {
  options_.allowed_origins = {"https://app.example"};
  options_.api_key = "secret";
  start();
  http::Request preflight{"OPTIONS",
                          "/v1/chat/completions",
                          {{"Origin", "https://app.example"},
                           {"Access-Control-Request-Method", "POST"}},
                          {}};
  auto response = ask(tcp(), preflight);
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(response.header("Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_NE(response.header("Access-Control-Allow-Headers").find("Authorization"),
            std::string::npos);
  preflight.headers[0].second = "https://app.example.evil";
  response = ask(tcp(), preflight);
  EXPECT_EQ(response.status, 403);
  EXPECT_EQ(response.header("Access-Control-Allow-Origin"), "");
  EXPECT_EQ(with({{"Origin", "https://app.example"}}).status, 401);
}

TEST_F(Serve, OnlyOurOwnNamesAreAnswered) {
  options_.allowed_hosts = {"gantry.lan"};
  start();
  const std::string port = ':' + std::to_string(tcp().port);
  for (const std::string& host : {"127.0.0.1" + port, "localhost" + port, "LOCALHOST" + port,
                                  "[::1]" + port, "gantry.lan" + port, std::string("gantry.lan")}) {
    EXPECT_EQ(with({{"Host", host}}).status, 200) << host;
  }
  for (const std::string& host :
       {std::string("evil.example"), "evil.example" + port, std::string("localhost"),
        std::string("127.0.0.1:1"), "localhost.evil.example" + port,
        "127.0.0.1" + port + ".evil"}) {
    EXPECT_EQ(error_of(with({{"Host", host}})), "403 permission_error host_not_allowed") << host;
  }
  const http::Request local_request{"GET", "/health", {{"Host", "whatever"}}, {}};
  EXPECT_EQ(ask(local(), local_request).status, 200);
}

TEST_F(Serve, TheKeyIsAskedForEverywhereButOverTheUnixSocket) {
  options_.api_key = "secret";
  start();
  for (const char* target : {"/health", "/metrics", "/v1/models", "/v1/jobs", "/nowhere"}) {
    EXPECT_EQ(error_of(with({}, target)), "401 authentication_error invalid_api_key") << target;
  }
  EXPECT_EQ(with({{"Authorization", "Bearer secret"}}).status, 200);
  EXPECT_EQ(with({{"Authorization", "bearer secret"}}).status, 200);
  EXPECT_EQ(with({{"x-api-key", "secret"}}).status, 200);
  for (const char* wrong : {"Bearer secreT", "Bearer secre", "Bearer secrets", "Bearer ", "secret",
                            "Basic secret"}) {
    EXPECT_EQ(with({{"Authorization", wrong}}).status, 401) << wrong;
  }
  EXPECT_EQ(get_local("/v1/models").status, 200);
}

TEST_F(Serve, OffLoopbackNothingStartsWithoutAKey) {
  for (const char* address : {"0.0.0.0:0", "[::]:0", "192.0.2.1:0"}) {
    options_.listen = {*http::parse_address(address)};
    auto server = serve_api(options_, foreman_, *os_, clock_, *log_);
    ASSERT_FALSE(server) << address;
    EXPECT_EQ(server.error().code, Code::kUsage);
    EXPECT_NE(server.error().remedy.find("GANTRY_API_KEY"), std::string::npos);
  }
  options_.listen = {*http::parse_address("0.0.0.0:0")};
  options_.api_key = "secret";
  EXPECT_TRUE(serve_api(options_, foreman_, *os_, clock_, *log_));
}

TEST_F(Serve, ATakenAddressIsBusy) {
  start();
  options_.listen = {tcp()};
  auto second = serve_api(options_, foreman_, *os_, clock_, *log_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kBusy);
}

TEST_F(Serve, LocalRoutesAnswer403OverTcp) {
  start();
  EXPECT_EQ(error_of(get("/v1/logs/chat")), "403 permission_error permission");
  EXPECT_EQ(error_of(post("/v1/stop", json::object())), "403 permission_error permission");
  EXPECT_EQ(stops_, 0);
  EXPECT_EQ(post_local("/v1/stop", json::object()).status, 202);
  wait_for([&] { return stops_ == 1; });  // after the answer, so that it gets out
}

TEST_F(Serve, UnknownPathsAndMethods) {
  start();
  EXPECT_EQ(error_of(get("/nowhere")), "404 invalid_request_error not_found");
  EXPECT_EQ(error_of(get("/v1/models/")), "404 invalid_request_error not_found");
  auto response = get("/v1/chat/completions");
  EXPECT_EQ(error_of(response), "405 invalid_request_error method_not_allowed");
  EXPECT_EQ(response.header("Allow"), "POST");
  response = ask(tcp(), {"DELETE", "/v1/jobs", {}, {}});
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(response.header("Allow"), "POST, GET");
  response = ask(tcp(), {"HEAD", "/health", {}, {}});
  EXPECT_EQ(response.status, 200);
}

TEST_F(Serve, TheTransportsRefusalsAreErrorObjects) {
  options_.transport.body_max = Bytes{10};
  start();
  EXPECT_EQ(error_of(post("/v1/chat/completions", std::string(11, ' '))),
            "413 invalid_request_error too_large");
  http::RawPeer peer(tcp());
  peer.send("nonsense\r\n\r\n");
  EXPECT_NE(peer.read_all().find("\"invalid_request_error\""), std::string::npos);
}

TEST_F(Serve, TheGateAtNAndNPlusOne) {
  options_.long_requests_max = 2;
  foreman_.hold_open = true;
  start();
  const std::string body =
      "{\"model\":\"chat\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}";
  const std::string request = "POST /v1/chat/completions HTTP/1.1\r\nHost: " + tcp().text() +
                              "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                              body;
  http::RawPeer first(tcp());
  http::RawPeer second(tcp());
  first.send(request);
  second.send(request);
  wait_for([&] { return foreman_.waiting == 2; });
  const auto third = post("/v1/chat/completions", body);
  EXPECT_EQ(error_of(third), "503 server_error busy");
  EXPECT_FALSE(third.header("Retry-After").empty());
  EXPECT_EQ(get("/health").status, 200) << "who only looks is served all the same";
  wait_for([&] { return server_->working() == 2; });
  first.close();
  wait_for([&] { return server_->working() == 1; });
  http::RawPeer fourth(tcp());
  fourth.send(request);
  wait_for([&] { return foreman_.waiting == 2; });
}

TEST_F(Serve, LookingDoesNotCountAsWork) {
  start();
  const Millis before = server_->last_worked();
  for (const char* target : {"/health", "/metrics", "/v1/models", "/running"}) get(target);
  EXPECT_EQ(server_->last_worked(), before);
  EXPECT_EQ(foreman_.opened, 0);
  wait_for([&] { return clock_.steady() > before; });
  get("/v1/jobs");
  wait_for([&] { return server_->last_worked() > before; });
}

TEST_F(Serve, StoppingEndsRequestsThatWait) {
  foreman_.hold_open = true;
  start();
  const std::string body =
      "{\"model\":\"chat\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}";
  http::RawPeer peer(tcp());
  peer.send("POST /v1/chat/completions HTTP/1.1\r\nHost: " + tcp().text() +
            "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  wait_for([&] { return foreman_.waiting == 1; });
  server_->stop();
  EXPECT_EQ(foreman_.waiting, 0);
  EXPECT_EQ(server_->working(), 0u);
}

TEST_F(Serve, TheSpoolIsPrivateAndEmptiedAtTheStart) {
  ASSERT_TRUE(os_->make_dirs(options_.spool_dir, 0700));
  ASSERT_TRUE(os_->write_file(options_.spool_dir + "/left.wav", "old", 0600));
  start();
  EXPECT_TRUE(os_->list(options_.spool_dir)->empty());
  EXPECT_EQ(os_->stat(options_.spool_dir)->mode & 0777, 0700u);
}

}  // namespace
}  // namespace gantry
