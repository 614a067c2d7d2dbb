// The way to the daemon: joined when it runs, started when not, and clear words when neither works.
#include "apps/daemon_link.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/paths.h"

namespace gantry {
namespace {

class DaemonLinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    base_ = std::filesystem::temp_directory_path() / ("gl" + std::to_string(::getpid()));
    std::filesystem::create_directories(base_);
    ::setenv("XDG_RUNTIME_DIR", base_.c_str(), 1);
    options_.state_dir = join_path(base_, "state");
  }
  void TearDown() override {
    server_.reset();
    ::unsetenv("XDG_RUNTIME_DIR");
    std::filesystem::remove_all(base_);
  }
  void listen(http::Handler handler) {
    const std::string door = socket_path(*runtime_directory(*os_, options_.state_dir));
    http::ServerOptions options;
    options.listen = {{door, {}, 0}};
    auto server = http::serve(options, std::move(handler));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }

  std::string base_;
  std::unique_ptr<Os> os_ = make_real_os();
  LinkOptions options_;
  std::unique_ptr<http::Server> server_;
};

TEST_F(DaemonLinkTest, NobodyThere) {
  const Result<DaemonLink> link = DaemonLink::join(*os_, options_);
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().code, Code::kUnavailable);
}

TEST_F(DaemonLinkTest, AnInterruptedStartGivesUp) {
  const http::Cancel cancel{true};
  options_.cancel = &cancel;
  const Result<DaemonLink> link = DaemonLink::open(*os_, options_);
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().code, Code::kCancelled);
  EXPECT_FALSE(std::filesystem::exists(options_.state_dir));
}

TEST_F(DaemonLinkTest, SpeaksJsonAndKeepsErrorCodes) {
  listen([](http::Exchange& exchange) {
    const std::string path(exchange.request().path());
    if (path == "/health") return exchange.reply({200, {}, "{\"status\":\"ok\"}"});
    if (path == "/bytes") return exchange.reply({200, {}, "raw"});
    if (path == "/bad") return exchange.reply({200, {}, "not json"});
    exchange.reply({507, {}, "{\"error\":{\"code\":\"does_not_fit\",\"message\":\"no room\"}}"});
  });
  const Result<DaemonLink> link = DaemonLink::join(*os_, options_);
  ASSERT_TRUE(link) << link.error().message;
  EXPECT_TRUE(link->local());
  EXPECT_EQ(*link->bytes("/bytes"), "raw");
  EXPECT_EQ(link->call("GET", "/bad", "").error().code, Code::kCorrupt);
  const Result<nlohmann::json> refused = link->call("POST", "/x", "{}");
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  EXPECT_EQ(refused.error().message, "no room");
}

TEST_F(DaemonLinkTest, EventsComeWholeAndCanBeLeft) {
  listen([](http::Exchange& exchange) {
    if (exchange.request().path() == "/health") {
      return exchange.reply({200, {}, "{\"status\":\"ok\"}"});
    }
    if (!exchange.begin({200, {}, {}})) return;
    for (const char* piece : {"data: {\"a\"", ":1}\n\nda", "ta: 2\r\n\n", ": x\n\ndata: 3\n\n"}) {
      if (!exchange.write(piece)) return;
    }
  });
  const Result<DaemonLink> link = DaemonLink::join(*os_, options_);
  ASSERT_TRUE(link);
  std::vector<std::string> seen;
  ASSERT_TRUE(link->events("/e", [&](std::string_view e) {
    seen.emplace_back(e);
    return true;
  }));
  EXPECT_EQ(seen, (std::vector<std::string>{"{\"a\":1}", "2", "3"}));
  seen.clear();
  ASSERT_TRUE(link->events("/e", [&](std::string_view e) {
    seen.emplace_back(e);
    return false;
  }));
  EXPECT_EQ(seen.size(), 1U);
}

TEST_F(DaemonLinkTest, AnotherBudgetIsAConflict) {
  listen([](http::Exchange& exchange) {
    exchange.reply({200, {}, "{\"status\":\"ok\",\"ram_budget\":\"1GiB\"}"});
  });
  options_.ram_budget = "1GiB";
  EXPECT_TRUE(DaemonLink::open(*os_, options_));
  options_.ram_budget = "2GiB";
  EXPECT_EQ(DaemonLink::open(*os_, options_).error().code, Code::kConflict);
}

}  // namespace
}  // namespace gantry
