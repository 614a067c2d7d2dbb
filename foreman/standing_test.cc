// Up, down, up again.
#include "foreman/standing.h"

#include <gtest/gtest.h>

#include <thread>

namespace gantry {
namespace {

class MortalWorker final : public Worker {
 public:
  int pid() const override { return 1; }
  [[nodiscard]] Result<void> ready(const http::Cancel&) override { return {}; }
  const http::Address& address() const override { return nowhere_; }
  [[nodiscard]] Result<std::vector<Segment>> transcribe(
      const Hearing&, const http::Cancel&,
      const std::function<void(const Segment&, Progress)>&) override {
    return fail(Code::kUnsupported, "no");
  }
  [[nodiscard]] Result<void> alive() override {
    if (!dead) return {};
    return fail(Code::kWorkerFailed, "killed by signal 9");
  }
  void stop() override {}

  std::atomic<bool> dead{false};

 private:
  http::Address nowhere_;
};

class LentSession final : public Session {
 public:
  LentSession(MortalWorker& worker, std::atomic<int>& lent) : worker_(worker), lent_(lent) {
    ++lent_;
  }
  ~LentSession() override { --lent_; }
  const std::string& model() const override { return name_; }
  const std::string& device() const override { return name_; }
  Worker& worker() override { return worker_; }
  Bytes predicted() const override { return {}; }
  Bytes measured() const override { return {}; }
  double load_s() const override { return 0; }
  void decoded(uint64_t, double) override {}
  void heard(double, double) override {}

 private:
  MortalWorker& worker_;
  std::atomic<int>& lent_;
  const std::string name_ = "npu-worker";
};

class StandingTest : public testing::Test {
 protected:
  StandingOptions options() {
    StandingOptions out;
    out.clock = &clock_;
    out.log = log_.get();
    out.model = "npu-worker";
    out.look = out.rest_first = Millis(1);
    out.may_start = [this]() -> Result<void> {
      if (free) return {};
      return fail(Code::kBusy, "port 8081 is taken", "end who has it");
    };
    out.open = [this](const http::Cancel&) -> Result<std::unique_ptr<Session>> {
      ++opened;
      if (refuses > 0 && refuses-- > 0) return fail(Code::kDoesNotFit, "too big", "less");
      worker_.dead = false;
      return std::make_unique<LentSession>(worker_, lent);
    };
    return out;
  }
  static void wait_for(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000 && !condition(); ++i) std::this_thread::sleep_for(Millis(1));
    EXPECT_TRUE(condition());
  }

  RealClock clock_;
  std::unique_ptr<Log> log_ = silent_log();
  MortalWorker worker_;
  std::atomic<bool> free{true};
  std::atomic<int> opened{0}, lent{0}, refuses{0};
};

TEST_F(StandingTest, IsOpenedAgainWhenItsWorkerDies) {
  Standing standing(options());
  wait_for([&] { return lent == 1; });
  wait_for([&] { return standing.trouble().empty(); });
  EXPECT_EQ(standing.holds(), 1U);
  worker_.dead = true;
  wait_for([&] { return opened >= 2 && lent == 1; });
  standing.stop();
  EXPECT_EQ(lent, 0);
  EXPECT_EQ(standing.holds(), 0U);
  const int before = opened;
  standing.stop();
  EXPECT_EQ(opened, before);
}

TEST_F(StandingTest, WhatHindersItIsToldAndTriedAgain) {
  free = false;
  Standing standing(options());
  wait_for([&] { return standing.trouble() == "port 8081 is taken (end who has it)"; });
  EXPECT_EQ(opened, 0);
  EXPECT_EQ(standing.holds(), 0U);
  std::vector<ModelStatus> models(2);
  models[0].name = "other";
  models[1].name = "npu-worker";
  models[0].state = models[1].state = "unloaded";
  standing.tell(&models);
  EXPECT_EQ(models[1].state, "resting");
  EXPECT_NE(models[1].waits.find("is taken"), std::string::npos);
  EXPECT_EQ(models[0].state, "unloaded");
  refuses = 2;
  free = true;
  wait_for([&] { return lent == 1; });
  wait_for([&] { return standing.trouble().empty(); });
  EXPECT_EQ(opened, 3);
}

TEST(PortIsFree, SaysWhoseItIs) {
  http::ServerOptions options;
  options.listen = {{.host = "127.0.0.1"}};
  options.threads = 1;
  auto server = http::serve(std::move(options), [](http::Exchange&) {});
  ASSERT_TRUE(server);
  const std::string port = std::to_string((*server)->addresses().front().port);
  const std::string command = "gantry-npu --listen 127.0.0.1 --port " + port + " --model 'a=/b'";
  const auto taken = port_is_free(command);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::kBusy);
  EXPECT_NE(taken.error().message.find(port), std::string::npos);
  server->reset();
  EXPECT_TRUE(port_is_free(command));
  EXPECT_FALSE(port_is_free("gantry-npu"));
  EXPECT_FALSE(port_is_free("'"));
}

TEST_F(StandingTest, AStopEndsARest) {
  free = false;
  StandingOptions slow = options();
  slow.rest_first = Millis(3'600'000);
  Standing standing(slow);
  wait_for([&] { return !standing.trouble().empty(); });
  standing.stop();
  EXPECT_EQ(opened, 0);
}

}  // namespace
}  // namespace gantry
