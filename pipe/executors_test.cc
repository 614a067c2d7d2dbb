// The kinds of jobs: what they refuse at the door, what they give back.
#include "pipe/executors.h"

#include <gtest/gtest.h>

#include "base/fake_os.h"
#include "pipe/fake_job.h"

namespace gantry {
namespace {

TEST(Executors, CheckTheirSpecs) {
  FakeOs os;
  const Executors executors = make_executors(os);
  EXPECT_EQ(executors.size(), 7U);
  const Executor& speech = *executors.at("transcribe");
  EXPECT_FALSE(speech.check({.files = {}}));
  EXPECT_FALSE(speech.check({.files = {"/a", "/b"}}));
  EXPECT_FALSE(speech.check({.params = "{\"model\":3}", .files = {"/a"}}));
  EXPECT_TRUE(speech.check({.params = "{\"model\":null}", .files = {"/a"}}));
  const Executor& generate = *executors.at("generate");
  EXPECT_FALSE(generate.check({.params = "{}"}));
  EXPECT_FALSE(generate.check({.params = "{\"prompt\":\"x\",\"temperature\":-1}"}));
  EXPECT_FALSE(generate.check({.params = "{\"prompt\":\"x\",\"tokens_max\":0}"}));
  EXPECT_TRUE(generate.check({.params = "{\"prompt\":\"x\",\"tokens_max\":1}"}));
}

TEST(Executors, TranscribeGivesSegmentsAndSteps) {
  FakeForemanForPipes foreman;
  FakeOs& os = foreman.os;
  foreman.worker.heard = {{Millis(0), Millis(500), "one", 1}};
  FakeJobContext context(foreman, {.kind = "transcribe", .files = {"/a.wav"}});
  const nlohmann::json page =
      nlohmann::json::parse(*make_executors(os).at("transcribe")->run(context));
  EXPECT_EQ(page["segments"][0]["text"], "one");
  EXPECT_EQ(page["steps"].size(), 2U);
  EXPECT_EQ(foreman.opened, std::vector<std::string>{"micro-asr"});
}

TEST(Executors, GenerateStreamsAndAnswers) {
  FakeForemanForPipes foreman;
  FakeOs& os = foreman.os;
  foreman.worker.answer = [](const nlohmann::json&) { return chat_events("fine"); };
  FakeJobContext context(foreman, {.kind = "generate", .params = "{\"prompt\":\"how are you\"}"});
  const nlohmann::json page =
      nlohmann::json::parse(*make_executors(os).at("generate")->run(context));
  EXPECT_EQ(page["text"], "fine");
  EXPECT_EQ(foreman.opened, std::vector<std::string>{"micro-minutes"});
  EXPECT_EQ(context.events[1]["type"], "text");
}

}  // namespace
}  // namespace gantry
