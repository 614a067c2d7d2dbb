// Requests go on with another name, answers come back, and the bill is right.
#include "cloud/relay.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

namespace gantry {
namespace {

using nlohmann::json;

class RelayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    start_endpoints();
    char name[] = "/tmp/gantry-relay-XXXXXX";
    dir_ = ::mkdtemp(name);
    endpoint_ = serve([this](http::Exchange& exchange) {
      asked_.push_back(json::parse(exchange.request().body, nullptr, false));
      answer_(exchange);
    });
    options_.endpoint.url = "http://" + endpoint_->addresses()[0].text() + "/v1";
    options_.model = "large";
    options_.price_in = dollars(1);  // a millionth a token
    options_.price_out = dollars(2);
  }
  void TearDown() override {
    near_.reset();
    endpoint_.reset();
    std::filesystem::remove_all(dir_);
  }
  static std::unique_ptr<http::Server> serve(http::Handler handler) {
    http::ServerOptions options;
    options.listen = {*http::parse_address("127.0.0.1:0")};
    return std::move(*http::serve(options, std::move(handler)));
  }
  void start(double cap) {
    ledger_ = std::make_unique<Ledger>(dir_ + "/spent", dollars(cap));
    relay_ = std::make_unique<Relay>(options_, ledger_.get(), clock_);
    near_ = serve([this](http::Exchange& exchange) { relay_->answer(exchange); });
  }
  http::Response ask(const json& body, const std::string& path = "/v1/chat/completions") {
    auto got = http::fetch(near_->addresses()[0], {"POST", path, {}, body.dump()}, {});
    return got ? *got : http::Response{0, {}, got.error().message};
  }
  http::Response get(const std::string& path) {
    return *http::fetch(near_->addresses()[0], {"GET", path, {}, {}}, {});
  }
  int64_t spent() { return ledger_->spent(clock_.wall())->micros; }

  std::string dir_;
  RelayOptions options_;
  http::Handler answer_ = [](http::Exchange& exchange) {
    exchange.reply({200, {{"Content-Type", "application/json"}},
                    R"({"ok":1,"usage":{"prompt_tokens":10,"completion_tokens":5}})"});
  };
  std::vector<json> asked_;
  std::unique_ptr<http::Server> endpoint_, near_;
  const RealClock clock_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Relay> relay_;
};

TEST_F(RelayTest, HandsOnAndCountsWhatWasUsed) {
  start(1);
  const http::Response got = ask({{"model", "near"}, {"max_tokens", 7}});
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(json::parse(got.body)["ok"], 1);
  EXPECT_NE(got.header("X-Gantry-Answered-By").find("model=large"), std::string_view::npos);
  ASSERT_EQ(asked_.size(), 1U);
  EXPECT_EQ(asked_[0]["model"], "large");
  EXPECT_EQ(spent(), 10 + 2 * 5);
}

TEST_F(RelayTest, StreamsAndAsksForTheUsage) {
  answer_ = [](http::Exchange& exchange) {
    ASSERT_TRUE(exchange.begin({200, {{"Content-Type", "text/event-stream"}}, ""}));
    ASSERT_TRUE(exchange.write("data: {\"choices\":[]}\n\n"));
    const json usage = {{"prompt_tokens", 3}, {"completion_tokens", 1}};
    ASSERT_TRUE(exchange.write("data: " + json{{"usage", usage}}.dump() + "\n"));
  };
  start(1);
  const http::Response got = ask({{"stream", true}});
  EXPECT_EQ(got.header("Content-Type"), "text/event-stream");
  EXPECT_TRUE(asked_.at(0)["stream_options"]["include_usage"]);
  EXPECT_EQ(spent(), 3 + 2);
}

TEST_F(RelayTest, NeverSpendsMoreThanTheCap) {
  start(0.0001);  // a hundred millionths
  const http::Response got = ask({{"max_tokens", 1000}});
  EXPECT_EQ(got.status, 402);
  EXPECT_EQ(json::parse(got.body)["error"]["code"], "spending_cap");
  EXPECT_TRUE(asked_.empty()) << "nothing was sent";
  EXPECT_EQ(ask({{"max_tokens", 1}}).status, 200);
}

TEST_F(RelayTest, ChargesAllOfWhatDidNotSay) {
  answer_ = [](http::Exchange& exchange) { exchange.reply({200, {}, "{}"}); };
  start(1);
  const json body = {{"model", "large"}, {"max_tokens", 100}};
  ASSERT_EQ(ask(body).status, 200);
  EXPECT_EQ(spent(), static_cast<int64_t>(body.dump().size()) + 200);
}

TEST_F(RelayTest, RefusalsCostNothingAndComeBackAsTheyAre) {
  answer_ = [](http::Exchange& exchange) {
    exchange.reply({429, {{"Retry-After", "9"}}, R"({"error":{"message":"slow down"}})"});
  };
  start(1);
  const http::Response got = ask({{"max_tokens", 1}});
  EXPECT_EQ(got.status, 429);
  EXPECT_EQ(got.header("Retry-After"), "9");
  EXPECT_NE(got.body.find("slow down"), std::string::npos);
  EXPECT_EQ(spent(), 0);
}

TEST_F(RelayTest, LeavesABrokenEndpointAlone) {
  endpoint_.reset();
  start(1);
  for (int i = 0; i < kBreakerFailures; ++i) {
    EXPECT_EQ(ask({{"max_tokens", 1}}).status, 502);
    EXPECT_EQ(get("/health").status, i + 1 < kBreakerFailures ? 200 : 503);
  }
  const http::Response got = ask({{"max_tokens", 1}});
  EXPECT_EQ(got.status, 503);
  EXPECT_FALSE(got.header("Retry-After").empty());
}

TEST_F(RelayTest, RefusesWhatItDoesNotKnow) {
  start(1);
  EXPECT_EQ(ask({}, "/v1/files").status, 404);
  EXPECT_EQ(get("/v1/chat/completions").status, 404);
  EXPECT_EQ(ask(json::array()).status, 400);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(RelayTest, ARedirectIsAFailure) {
  answer_ = [](http::Exchange& exchange) {
    exchange.reply({307, {{"Location", "http://127.0.0.1:1/"}}, ""});
  };
  start(1);
  EXPECT_EQ(ask({{"max_tokens", 1}}).status, 502);
  EXPECT_EQ(asked_.size(), 1U);
}

TEST(WorstCost, CountsBytesAsTokens) {
  RelayOptions options;
  options.price_in = dollars(3);
  options.price_out = dollars(15);
  EXPECT_EQ(worst_cost(options, 1'000, 2'000).micros, 3'000 + 30'000);
}

TEST_F(RelayTest, WithoutANameOfItsOwnTheRequestsModelGoesOn) {
  options_.model.clear();
  start(1);
  EXPECT_EQ(ask({{"model", "small"}, {"private", false}}).header("X-Gantry-Answered-By"),
            "cloud; host=" + endpoint_->addresses()[0].text() + "; model=small");
  EXPECT_EQ(asked_.back()["model"], "small");
  EXPECT_FALSE(asked_.back().contains("private"));
  EXPECT_EQ(ask({{"messages", json::array()}}).status, 400);
  EXPECT_EQ(ask({{"model", "tts"}, {"input", "Hello."}}, "/v1/audio/speech").status, 200);
}

}  // namespace
}  // namespace gantry
