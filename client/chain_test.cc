// Tests of the chain against real HTTP servers, one for each door.
#include "client/chain.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <nlohmann/json.hpp>

namespace gantry {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// A door that answers embeddings until it is told otherwise, and remembers what it heard.
class FakeDoor {
 public:
  FakeDoor() {
    server_ = std::move(*http::serve({.listen = {{"", "127.0.0.1", 0}}},
                                     [this](http::Exchange& exchange) { answer(exchange); }));
  }
  std::string address() const { return server_->addresses().front().text(); }
  void close() { server_->stop(); }
  std::atomic<int> status{200}, asked{0}, spent_tokens{10};
  std::atomic<bool> breaks_off{false};
  std::string last, key, stays;

 private:
  void answer(http::Exchange& exchange) {
    ++asked;
    last = exchange.request().body;
    key = exchange.request().header("Authorization");
    stays = exchange.request().header("X-Gantry-Private");
    if (breaks_off) {
      (void)exchange.begin({200, {{"Content-Type", "text/event-stream"}}, ""});
      (void)exchange.write("data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n");
      return;
    }
    const json body = {{"data", {{{"embedding", {1, 2}}}}},
                       {"device", "CPU"},
                       {"usage", {{"prompt_tokens", spent_tokens.load()}}}};
    exchange.reply({status, {{"Content-Type", "application/json"}}, body.dump()});
  }
  std::unique_ptr<http::Server> server_;
};

class ChainTest : public testing::Test {
 protected:
  void SetUp() override {
    start_endpoints();
    options_.npu = npu_.address();
    options_.local = local_.address();
    options_.cloud = "http://" + cloud_.address() + "/v1";
    options_.key = "near";
    options_.cloud_key = "far";
    order_.model = "m";
    order_.texts = {"hello"};
  }
  Chain& chain() {
    if (!chain_) chain_ = std::make_unique<Chain>(options_, clock_);
    return *chain_;
  }
  std::string by() {
    const Result<Given> given = chain().ask(order_);
    return given ? given->by : describe(given.error());
  }

  FakeDoor npu_, local_, cloud_;
  ClientOptions options_;
  Order order_;
  const RealClock clock_;
  std::unique_ptr<Chain> chain_;
};

TEST_F(ChainTest, TheFirstThatAnswersIsTheOnlyOneAsked) {
  const Result<Given> given = chain().ask(order_);
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->by, "npu");
  EXPECT_EQ(given->why, "");
  EXPECT_EQ(npu_.key, "Bearer near");
  EXPECT_EQ(local_.asked + cloud_.asked, 0);
}

TEST_F(ChainTest, EachStepDownSaysWhy) {
  npu_.status = 404;
  EXPECT_EQ(by(), "local");
  local_.close();
  const Result<Given> given = chain().ask(order_);
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->by, "cloud");
  EXPECT_EQ(given->device, "cloud");
  EXPECT_THAT(given->why, HasSubstr("npu: status 404; local: "));
  EXPECT_EQ(cloud_.key, "Bearer far") << "the key of here stays here";
  cloud_.status = 500;
  const Result<Given> nobody = chain().ask(order_);
  EXPECT_THAT(nobody.error().message, HasSubstr("; cloud: status 500"));
}

TEST_F(ChainTest, WhatIsPrivateOrDeniedStays) {
  npu_.status = local_.status = 500;
  order_.stays = true;
  EXPECT_THAT(by(), HasSubstr("cloud: the request is private"));
  EXPECT_EQ(local_.stays, "true") << "the daemon has relays of its own";
  order_.stays = false;
  options_.cloud_deny = {"m"};
  options_.cloud_allow = {"m"};
  chain_.reset();
  EXPECT_THAT(by(), HasSubstr("cloud: m is denied"));
  options_.cloud_deny.clear();
  chain_.reset();
  EXPECT_EQ(by(), "cloud");
  options_.cloud_allow = {"other"};
  chain_.reset();
  EXPECT_THAT(by(), HasSubstr("cloud: m is not allowed"));
  EXPECT_EQ(cloud_.asked, 1);
}

TEST_F(ChainTest, ADoorThatFailsAgainAndAgainIsLeftAlone) {
  npu_.status = 500;
  for (int i = 0; i < kBreakerFailures; ++i) EXPECT_EQ(by(), "local");
  EXPECT_EQ(npu_.asked, kBreakerFailures);
  EXPECT_THAT(chain().ask(order_)->why, HasSubstr("left alone"));
  EXPECT_EQ(npu_.asked, kBreakerFailures);
  // A refusal is no failure: whoever says no is there.
  local_.status = 404;
  for (int i = 0; i <= kBreakerFailures; ++i) EXPECT_EQ(by(), "cloud");
  EXPECT_EQ(local_.asked, 2 * kBreakerFailures + 2);
}

TEST_F(ChainTest, ADoorThatIsSilentHasALimit) {
  http::Cancel over{false};
  auto silent = std::move(*http::serve({.listen = {{"", "127.0.0.1", 0}}},
                                       [&over](http::Exchange& exchange) {
                                         while (!over && !exchange.gone()) {
                                           std::this_thread::yield();
                                         }
                                       }));
  options_.npu = silent->addresses().front().text();
  options_.npu_limit = Millis(50);
  const Result<Given> given = chain().ask(order_);
  over = true;
  ASSERT_TRUE(given);
  EXPECT_EQ(given->by, "local");
  EXPECT_THAT(given->why, HasSubstr("npu: "));
}

TEST_F(ChainTest, TheCloudHasItsOwnNamesAndACap) {
  const std::string ledger = testing::TempDir() + "client-ledger";
  std::filesystem::remove(ledger);
  options_.npu = options_.local = "";
  options_.cloud_models = {{"m", "large"}};
  options_.price_in = 1;  // a millionth a token
  options_.ledger = ledger;
  options_.spend_max = 200e-6;
  EXPECT_EQ(by(), "cloud");
  EXPECT_EQ(json::parse(cloud_.last)["model"], "large");
  EXPECT_EQ(Ledger(ledger, dollars(1)).spent(clock_.wall())->micros, 10);
  cloud_.spent_tokens = 185;
  EXPECT_EQ(by(), "cloud");
  EXPECT_THAT(by(), HasSubstr("of today's $0.00 are spent"));
  EXPECT_EQ(cloud_.asked, 2);
  std::filesystem::remove(ledger);
}

TEST_F(ChainTest, AnAnswerThatHasBegunIsNobodyElses) {
  order_.work = Work::kInfer;
  options_.npu = "";
  local_.breaks_off = true;
  std::string seen;
  order_.on_piece = [&seen](std::string_view text) {
    seen += text;
    return true;
  };
  EXPECT_THAT(by(), HasSubstr("broke off"));
  EXPECT_EQ(seen, "half");
  EXPECT_EQ(cloud_.asked, 0);
  order_.on_piece = nullptr;  // nobody has seen the half
  (void)by();
  EXPECT_EQ(cloud_.asked, 1);
}

TEST_F(ChainTest, WrongOrdersAskNobody) {
  order_.model = "";
  EXPECT_EQ(chain().ask(order_).error().code, Code::kUsage);
  order_.model = "m";
  for (const std::vector<std::string>& bad : {std::vector<std::string>{}, {"a", ""}}) {
    order_.texts = bad;
    EXPECT_EQ(chain().ask(order_).error().code, Code::kUsage);
  }
  order_.work = Work::kTranscribe;
  EXPECT_EQ(chain().ask(order_).error().code, Code::kUsage);
  EXPECT_EQ(npu_.asked + local_.asked + cloud_.asked, 0);
  order_.recording = "RIFF";
  options_ = {};
  options_.npu = options_.local = "";
  chain_.reset();
  EXPECT_THAT(by(), HasSubstr("name nobody"));
}

}  // namespace
}  // namespace gantry
