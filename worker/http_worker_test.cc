// Readiness of HTTP workers: loading, dead, cancelled.
#include "worker/http_worker.h"

#include <gtest/gtest.h>

#include <atomic>

#include "worker/test_bench.h"

namespace gantry {
namespace {

class HttpWorkerTest : public testing::Test {
 protected:
  std::unique_ptr<Worker> worker(const std::string& script) {
    ProcessSpec spec = worker_process(bench_context(folder_), "m");
    spec.argv = {"sh", "-c", script};
    auto child = Child::start(*os_, spec, "the worker for m");
    address_.unix_path = folder_.file("a.sock");
    return child ? make_http_worker(*os_, std::move(*child), {address_, "/health"}) : nullptr;
  }

  TestFolder folder_;
  std::unique_ptr<Os> os_ = make_real_os();
  http::Address address_;
  http::Cancel cancel_{false};
};

TEST_F(HttpWorkerTest, WaitsWhileTheModelLoads) {
  auto w = worker("sleep 100");
  std::atomic<int> asked{0};
  auto server = http::serve({.listen = {address_}}, [&asked](http::Exchange& exchange) {
    EXPECT_EQ(exchange.request().path(), "/health");
    exchange.reply({.status = asked++ < 2 ? 503 : 200});
  });
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_TRUE(w->ready(cancel_));
  EXPECT_EQ(asked, 3);
  EXPECT_TRUE(w->alive());
}

TEST_F(HttpWorkerTest, SeesItDieBeforeItIsReady) {
  auto w = worker("echo bad weights >&2; sleep 0.1; exit 1");
  const Result<void> ready = w->ready(cancel_);
  ASSERT_FALSE(ready);
  EXPECT_EQ(ready.error().code, Code::kWorkerFailed);
  EXPECT_NE(ready.error().message.find("exit status 1: bad weights"), std::string::npos);
}

TEST_F(HttpWorkerTest, CanBeCancelled) {
  auto w = worker("sleep 100");
  cancel_ = true;
  EXPECT_EQ(w->ready(cancel_).error().code, Code::kCancelled);
}

}  // namespace
}  // namespace gantry
