// Questions: the request's shape, the stream in any cutting, and every way an answer breaks off.
#include "pipe/ask.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/fake_os.h"
#include "pipe/fake_job.h"

namespace gantry {
namespace {

TEST(Ask, BodyCarriesPicturesFirst) {
  FakeOs os;
  os.files["/p.png"] = "\x89PNG\r\n\x1a\nrest";
  const Question question{"be brief", "what is this", {"/p.png"}, 7, 0.5, 3};
  const nlohmann::json body = nlohmann::json::parse(*chat_body(os, "m", question));
  EXPECT_EQ(body["messages"][0]["role"], "system");
  const nlohmann::json& content = body["messages"][1]["content"];
  EXPECT_TRUE(content[0]["image_url"]["url"].get<std::string>().starts_with(
      "data:image/png;base64,iVBORw0KGgpyZXN0"));
  EXPECT_EQ(content[1]["text"], "what is this");
  EXPECT_EQ(body["max_tokens"], 7);
}

TEST(Ask, RefusesWhatIsNoPicture) {
  FakeOs os;
  os.files["/x"] = "#!/bin/sh";
  EXPECT_EQ(chat_body(os, "m", {.prompt = "?", .images = {"/x"}}).error().code, Code::kUnsupported);
  EXPECT_EQ(chat_body(os, "m", {.prompt = "?", .images = {"/y"}}).error().code, Code::kNotFound);
}

TEST(Ask, StreamIsTheSameInAnyCutting) {
  const std::string events = ": comment\n" + chat_events("hello world\n- x").body;
  for (size_t size = 1; size < 40; ++size) {
    ChatStream stream;
    std::string text;
    for (size_t at = 0; at < events.size(); at += size) {
      const Result<std::string> got = stream.feed(std::string_view(events).substr(at, size));
      ASSERT_TRUE(got);
      text += *got;
    }
    EXPECT_EQ(text, "hello world\n- x") << size;
    EXPECT_TRUE(stream.done());
  }
}

TEST(Ask, AWorkersOwnPace) {
  const auto pace = [](const char* text) { return pace_of(nlohmann::json::parse(text)); };
  const auto known = pace(R"({"timings":{"predicted_n":30,"predicted_ms":1500.0}})");
  ASSERT_TRUE(known);
  EXPECT_EQ(known->tokens, 30U);
  EXPECT_EQ(known->seconds, 1.5);
  for (const char* none : {"{}", R"({"timings":3})", R"({"timings":{"predicted_n":30}})",
                           R"({"timings":{"predicted_n":-1,"predicted_ms":2}})",
                           R"({"timings":{"predicted_n":1,"predicted_ms":0}})"}) {
    EXPECT_FALSE(pace(none)) << none;
  }
}

TEST(Ask, StreamErrorsAreErrors) {
  ChatStream stream;
  const Result<std::string> got =
      stream.feed("data: {\"error\":{\"message\":\"out of memory\"}}\n");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kWorkerFailed);
  EXPECT_NE(got.error().message.find("out of memory"), std::string::npos);
  EXPECT_EQ(ChatStream().feed("<html>\n").error().code, Code::kCorrupt);
  EXPECT_EQ(ChatStream().feed(std::string(MiB(1).n + 1, 'x')).error().code, Code::kTooLarge);
  EXPECT_TRUE(ChatStream().feed(std::string(MiB(1).n, 'x')));
}

class AskWorker : public ::testing::Test {
 protected:
  Result<std::string> run() {
    FakeOs os;
    FakeSession session("m", foreman_.worker, &open_, &foreman_.tokens);
    return ask(os, session, {.prompt = "hi"}, cancel_, [this](std::string_view t) { live_ += t; });
  }
  FakeForemanForPipes foreman_;
  http::Cancel cancel_{false};
  std::atomic<int> open_ = 0;
  std::string live_;
};

TEST_F(AskWorker, GivesTheTextAndShowsItLive) {
  foreman_.worker.answer = [](const nlohmann::json& body) {
    return chat_events("you said " + body["messages"][0]["content"].get<std::string>());
  };
  EXPECT_EQ(*run(), "you said hi");
  EXPECT_EQ(live_, "you said hi");
}

TEST_F(AskWorker, ItsPaceIsTold) {
  foreman_.worker.answer = [](const nlohmann::json&) {
    http::Response response = chat_events("hi");
    const nlohmann::json last = {{"choices", nlohmann::json::array()},
                                 {"timings", {{"predicted_n", 12}, {"predicted_ms", 500.0}}}};
    response.body = "data: " + last.dump() + "\n\n" + response.body;
    return response;
  };
  EXPECT_EQ(*run(), "hi");
  EXPECT_EQ(foreman_.tokens, 12U);
}

TEST_F(AskWorker, RefusalKeepsTheWorkersWords) {
  foreman_.worker.answer = [](const nlohmann::json&) {
    return http::Response{400, {}, "{\"error\":{\"message\":\"context is too long\"}}"};
  };
  const Result<std::string> got = run();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::kUsage);
  EXPECT_NE(got.error().message.find("context is too long"), std::string::npos);
}

TEST_F(AskWorker, AStreamWithoutItsEndIsNoAnswer) {
  foreman_.worker.answer = [](const nlohmann::json&) {
    http::Response response = chat_events("half");
    response.body.resize(response.body.size() - 14);
    return response;
  };
  EXPECT_EQ(run().error().code, Code::kWorkerFailed);
}

}  // namespace
}  // namespace gantry
