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

// In llama-server's own words.
TEST(WorkerAnswer, ATextLongerThanTheModelTakesIsTheClientsFault) {
  const auto said = [](const std::string& message, int status = 500) {
    return worker_answer_error(status, "{\"error\":{\"code\":500,\"message\":\"" + message +
                                           "\",\"type\":\"server_error\"}}");
  };
  const std::string words = "input (202 tokens) is too large to process. increase the physical "
                            "batch size (current batch size: 128)";
  const ApiError error = said(words);
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.code, "usage");
  EXPECT_EQ(error.param, "input");
  EXPECT_EQ(error.message,
            "a text of 202 tokens is too long, the model takes 128 (send it in parts, or give the "
            "model a larger context if it was trained with one)");
  EXPECT_EQ(said(words, 503).status, 503);
  for (const char* other :
       {"input (x tokens) is too large to process", "input (202 tokens) is too large to process.",
        "input (99999999999 tokens) is too large to process. increase the physical batch size "
        "(current batch size: 128)",
        "input (202 tokens) is too large to process. increase the physical batch size (current "
        "batch size: 128", "input (", ""}) {
    EXPECT_EQ(said(other).status, 502) << other;
    EXPECT_EQ(said(other).message, other);
  }
}

}  // namespace
}  // namespace gantry
