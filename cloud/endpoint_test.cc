// The client against servers on this machine: answers, silence, nobody there.
#include "cloud/endpoint.h"

#include <gtest/gtest.h>

#include <thread>

namespace gantry {
namespace {

class EndpointTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { start_endpoints(); }

  void serve(http::Handler handler) {
    http::ServerOptions options;
    options.listen = {*http::parse_address("127.0.0.1:0")};
    auto server = http::serve(options, std::move(handler));
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    options_.url = "http://" + server_->addresses()[0].text() + "/v1/";
  }
  Result<void> post(const std::string& body) {
    return post_to_endpoint(options_, "/chat", body, cancel_,
                            {[this](const EndpointHead& head) {
                               head_ = head;
                               return true;
                             },
                             [this](std::string_view piece) {
                               got_ += piece;
                               return true;
                             }});
  }

  std::unique_ptr<http::Server> server_;
  EndpointOptions options_;
  http::Cancel cancel_{false};
  EndpointHead head_;
  std::string got_;
};

TEST_F(EndpointTest, PostsWithTheKeyAndReadsTheAnswer) {
  serve([](http::Exchange& exchange) {
    const http::Request& request = exchange.request();
    EXPECT_EQ(request.target, "/v1/chat");
    EXPECT_EQ(request.header("Authorization"), "Bearer secret");
    exchange.reply({429, {{"Retry-After", "7"}, {"Content-Type", "text/x"}}, request.body});
  });
  options_.key = "secret";
  ASSERT_TRUE(post("{\"a\":1}"));
  EXPECT_EQ(got_, "{\"a\":1}");
  EXPECT_EQ(head_.status, 429);
  EXPECT_EQ(head_.retry_after, "7");
  EXPECT_EQ(head_.content_type, "text/x");
}

TEST_F(EndpointTest, DoesNotFollowRedirects) {
  int asked = 0;
  serve([&asked](http::Exchange& exchange) {
    ++asked;
    exchange.reply({302, {{"Location", "/elsewhere"}}, ""});
  });
  ASSERT_TRUE(post("{}"));
  EXPECT_EQ(head_.status, 302);
  EXPECT_EQ(asked, 1);
}

TEST_F(EndpointTest, SaysWhatWentWrong) {
  options_.url = "http://127.0.0.1:1/v1";
  EXPECT_EQ(post("{}").error().code, Code::kUnavailable);
  std::atomic<bool> over{false};
  serve([&over](http::Exchange&) {
    while (!over) std::this_thread::yield();
  });
  options_.silent = Millis(1'000);
  EXPECT_EQ(post("{}").error().code, Code::kTimeout);
  std::thread canceller([this] { cancel_ = true; });
  EXPECT_EQ(post("{}").error().code, Code::kCancelled);
  canceller.join();
  over = true;
}

TEST(CheckEndpoint, KeepsTheKeyOffTheNetwork) {
  const auto check = [](const std::string& url) {
    EndpointOptions options;
    options.url = url;
    return check_endpoint(options).has_value();
  };
  EXPECT_TRUE(check("https://api.example.com/v1"));
  EXPECT_TRUE(check("http://127.0.0.1:8080/v1"));
  EXPECT_TRUE(check("http://localhost:8080/v1"));
  EXPECT_TRUE(check("http://[::1]:8080/v1"));
  for (const char* url : {"http://api.example.com/v1", "http://127.example.com/v1", "ftp://x/",
                          "file:///etc/passwd", "https://user:word@x/v1", "https://x/v1?key=3",
                          "https://x/#f", "", "x"}) {
    EXPECT_FALSE(check(url)) << url;
  }
}

}  // namespace
}  // namespace gantry
