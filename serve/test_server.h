// For tests: a real API server over a FakeClient, on loopback and on a unix socket.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "serve/fake_client.h"
#include "serve/serve.h"

namespace gantry {

class ApiTest : public testing::Test {
 protected:
  using json = nlohmann::json;

  void SetUp() override {
    char name[] = "/tmp/gantry-serve-XXXXXX";
    dir_ = ::mkdtemp(name);
    options_.listen = {*http::parse_address("127.0.0.1:0"),
                       *http::parse_address("unix:" + dir_ + "/api.sock")};
    options_.spool_dir = dir_ + "/spool";
    options_.version = "1.2.3";
    options_.on_stop = [this] { ++stops_; };
  }
  void TearDown() override {
    server_.reset();
    (void)os_->remove(dir_);
  }
  void start() {
    auto server = serve_api(options_, foreman_, *os_, clock_, *log_);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  http::Address tcp() const { return server_->addresses()[0]; }
  http::Address local() const { return server_->addresses()[1]; }

  http::Response ask(const http::Address& address, const http::Request& request) {
    auto response = http::fetch(address, request, {});
    EXPECT_TRUE(response) << (response ? "" : response.error().message);
    return response ? *response : http::Response{0, {}, {}};
  }
  http::Response get(const std::string& target) { return ask(tcp(), {"GET", target, {}, {}}); }
  http::Response get_local(const std::string& target) {
    return ask(local(), {"GET", target, {}, {}});
  }
  http::Response post(const std::string& target, const std::string& body) {
    return ask(tcp(), {"POST", target, {{"Content-Type", "application/json"}}, body});
  }
  http::Response post(const std::string& target, const json& body) {
    return post(target, body.dump());
  }
  http::Response post_local(const std::string& target, const json& body) {
    return ask(local(), {"POST", target, {}, body.dump()});
  }
  // Expects an error object; its fields as "status type code param".
  static std::string error_of(const http::Response& response) {
    const json body = json::parse(response.body, nullptr, false);
    if (!body.is_object() || !body.contains("error")) return "no error object: " + response.body;
    const json& error = body["error"];
    EXPECT_FALSE(error["message"].get<std::string>().empty());
    const json& param = error["param"];
    return std::to_string(response.status) + " " + error["type"].get<std::string>() + " " +
           error["code"].get<std::string>() +
           (param.is_null() ? "" : " " + param.get<std::string>());
  }
  static std::string message_of(const http::Response& response) {
    return json::parse(response.body)["error"]["message"].get<std::string>();
  }
  static void wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(Millis{2});
    EXPECT_TRUE(condition());
  }

  std::string dir_;
  ServeOptions options_;
  FakeClient foreman_;
  std::unique_ptr<Os> os_ = make_real_os();
  RealClock clock_;
  std::unique_ptr<Log> log_ = silent_log();
  std::atomic<int> stops_{0};
  std::unique_ptr<ApiServer> server_;
};

}  // namespace gantry
