// Counting by a worker that tells, and by one that does not.
#include "pipe/tokens.h"

#include <gtest/gtest.h>

#include "pipe/fake_job.h"

namespace gantry {
namespace {

class TokensTest : public ::testing::Test {
 protected:
  FakeForemanForPipes foreman_;
  http::Cancel cancel_{false};
  std::unique_ptr<Session> session_ = *foreman_.open("m", cancel_, true, false);
  TokenCounter counter_{*session_, cancel_};
};

TEST_F(TokensTest, AsksTheWorker) {
  EXPECT_EQ(*counter_.text("three little words"), 3U);
  EXPECT_EQ(*counter_.text(""), 0U);
  EXPECT_EQ(*counter_.prompt("be kind", "three little words"), 6U);  // one for the beginning
  EXPECT_TRUE(counter_.exact());
}

TEST_F(TokensTest, IsCarefulWhereNobodyTells) {
  foreman_.worker.tokenizes = false;
  EXPECT_EQ(*counter_.text(std::string(100, 'x')), 51U);
  EXPECT_GT(*counter_.prompt("", std::string(100, 'x')), 51U);
  EXPECT_FALSE(counter_.exact());
}

TEST_F(TokensTest, ADeadWorkerIsNamed) {
  cancel_ = true;
  EXPECT_EQ(counter_.text("x").error().code, Code::kCancelled);
  foreman_.worker.dead = Error{Code::kWorkerFailed, "it was killed", ""};
  EXPECT_EQ(counter_.text("x").error().message, "it was killed");
}

}  // namespace
}  // namespace gantry
