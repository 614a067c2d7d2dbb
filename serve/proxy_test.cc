// Tests of the pieces of the proxy; openai_test drives the whole.
#include "serve/proxy.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(WholeLines, HoldsBackAnUnfinishedLine) {
  WholeLines lines;
  EXPECT_EQ(lines.feed("data: 1\n\nda"), "data: 1\n\n");
  EXPECT_EQ(lines.rest(), "da");
  EXPECT_EQ(lines.feed("ta: 2"), "");
  EXPECT_EQ(lines.feed("\n"), "data: 2\n");
  EXPECT_EQ(lines.feed("\n"), "\n");
  EXPECT_EQ(lines.rest(), "");
}

TEST(WholeLines, AnEndlessLineGoesThrough) {
  WholeLines lines;
  EXPECT_EQ(lines.feed(std::string(WholeLines::kLineMax, 'x')), "");
  EXPECT_EQ(lines.feed("y").size(), WholeLines::kLineMax + 1);
  EXPECT_EQ(lines.rest(), "");
}

TEST(WorkerAnswer, KeepsTheWorkersWords) {
  auto error = worker_answer_error(400, "{\"error\":{\"message\":\"too long\"}}");
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.code, "usage");
  EXPECT_EQ(error.message, "too long");
  EXPECT_EQ(worker_answer_error(500, "{\"error\":\"boom\"}").message, "boom");
  EXPECT_EQ(worker_answer_error(500, "{\"error\":\"boom\"}").status, 502);
  EXPECT_EQ(worker_answer_error(503, "").status, 503);
  EXPECT_EQ(worker_answer_error(402, "").code, "permission");
  EXPECT_EQ(worker_answer_error(302, "<html>").status, 502);
  EXPECT_EQ(worker_answer_error(200, "{\"error\":{\"message\":7}}").code, "worker_failed");
}

}  // namespace
}  // namespace gantry
