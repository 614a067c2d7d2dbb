// Steps: one session at a time, told live, and never done twice.
#include "pipe/step.h"

#include <gtest/gtest.h>

#include "pipe/fake_job.h"
#include "pipe/transcript.h"

namespace gantry {
namespace {

TEST(Step, ReportsAndClosesItsSession) {
  FakeForemanForPipes foreman;
  FakeJobContext context(foreman, {.kind = "x"});
  Steps steps(context, foreman.os, 2);
  int inside = 0;
  ASSERT_TRUE(steps.with_model("a", "m", [&](Session&) -> Result<void> {
    inside = foreman.open_now;
    steps.fraction_of_step(0.5);
    EXPECT_DOUBLE_EQ(context.last_fraction, 0.25);
    return {};
  }));
  EXPECT_EQ(inside, 1);
  EXPECT_EQ(foreman.open_now, 0);
  ASSERT_EQ(steps.reports().size(), 1U);
  EXPECT_EQ(steps.reports()[0].measured.n, MiB(30).n);
  EXPECT_EQ(context.events.front()["type"], "step_started");
  EXPECT_EQ(context.events.back()["type"], "step_done");
  EXPECT_DOUBLE_EQ(context.last_fraction, 0.5);
}

TEST(Step, ItsRecordSaysWhichDeviceLeftOffEncoding) {
  FakeForemanForPipes foreman;
  foreman.worker.changes = {{"NPU", "CPU", "lost", Millis(6'020)}};
  FakeJobContext context(foreman, {.kind = "x"});
  Steps steps(context, foreman.os, 1);
  ASSERT_TRUE(steps.with_model("a", "m", [](Session&) -> Result<void> { return {}; }));
  const nlohmann::json record = step_json(steps.reports().at(0));
  EXPECT_EQ(record["encoder_changes"],
            nlohmann::json::parse(R"([{"from":"NPU","to":"CPU","cause":"lost","at":6.02}])"));
  EXPECT_FALSE(step_json(StepReport{}).contains("encoder_changes"));
}

TEST(Step, ItsRecordSaysWhoAnsweredAndWhy) {
  FakeForemanForPipes foreman;
  foreman.instead["ear"] = {"little", "the fastest"};
  foreman.worker.heard = {{Millis(0), Millis(500), "one", 1}};
  FakeJobContext context(foreman, {.kind = "x"});
  Steps steps(context, foreman.os, 2);
  foreman.os.files["/nowhere/audio.wav"] = std::string(44 + 32'000 * 3, 'x');
  context.kept["decode"] = std::to_string(44 + 32'000 * 3);
  ASSERT_TRUE(steps.transcribed("/a.wav", "ear"));
  const nlohmann::json record = step_json(steps.reports().at(0));
  EXPECT_EQ(record["model"], "little");
  EXPECT_EQ(record["why"], "the fastest");
  EXPECT_EQ(foreman.sound_s, 3) << "how long it took is of so much sound";
  FakeJobContext silent(foreman, {.kind = "x"});
  silent.kept = context.kept;
  silent.kept.erase("transcript");
  foreman.worker.heard.clear();
  ASSERT_TRUE(Steps(silent, foreman.os, 2).transcribed("/a.wav", "ear"));
  EXPECT_EQ(foreman.sound_s, 3) << "silence says nothing";
  ASSERT_TRUE(steps.with_model("a", "m", [](Session&) -> Result<void> { return {}; }));
  EXPECT_FALSE(step_json(steps.reports().back()).contains("why"));
}

TEST(Step, FailedWorkIsNotReportedAsDone) {
  FakeForemanForPipes foreman;
  FakeJobContext context(foreman, {.kind = "x"});
  Steps steps(context, foreman.os, 1);
  const Result<void> got = steps.with_model(
      "a", "m", [](Session&) -> Result<void> { return fail(Code::kWorkerFailed, "died"); });
  EXPECT_EQ(got.error().code, Code::kWorkerFailed);
  EXPECT_TRUE(steps.reports().empty());
  EXPECT_EQ(foreman.open_now, 0);
}

TEST(Step, SpeechIsFoundOnceByTheDetectorThatIsNamed) {
  FakeForemanForPipes foreman;
  foreman.detectors["m"] = "vad";
  foreman.worker.turns = {{Millis(0), Millis(960), 0}};
  foreman.worker.heard = {{Millis(0), Millis(900), "one", 1}};
  foreman.worker.hears_most = 0;
  FakeJobContext context(foreman, {.kind = "x"});
  Steps first(context, foreman.os, 2);
  EXPECT_FALSE(first.transcribed("/a.wav", "m"));
  EXPECT_EQ(context.kept.at("speech"), "[0,960]");
  EXPECT_FALSE(context.went_back);
  foreman.worker.hears_most = 9;
  foreman.worker.turns.clear();  // nobody asks again
  Steps second(context, foreman.os, 2);
  ASSERT_EQ(second.transcribed("/a.wav", "m")->size(), 1U);
  EXPECT_EQ(foreman.worker.told_speech, (std::vector<SpeechSpan>{{Millis(0), Millis(960)}}));
  EXPECT_EQ(foreman.opened, (std::vector<std::string>{"vad", "m", "m"}));
}

TEST(Step, TranscriptIsKeptAndNotHeardTwice) {
  FakeForemanForPipes foreman;
  foreman.worker.heard = {{Millis(0), Millis(500), "one", 1}, {Millis(600), Millis(900), "two", 1}};
  FakeJobContext context(foreman, {.kind = "x"});
  Steps first(context, foreman.os, 2);
  ASSERT_EQ(first.transcribed("/a.wav", "m")->size(), 2U);
  EXPECT_EQ(foreman.decodes, 1);
  Steps again(context, foreman.os, 2);
  const Result<std::vector<Segment>> kept = again.transcribed("/a.wav", "m");
  ASSERT_EQ(kept->size(), 2U);
  EXPECT_EQ((*kept)[1].text, "two");
  EXPECT_EQ(foreman.decodes, 1);
  EXPECT_EQ(foreman.opened.size(), 1U);
  EXPECT_EQ(context.kept["decode"], "4");
  foreman.os.files["/nowhere/audio.wav"] = "RI";  // torn by a power loss
  context.kept["transcript"] = "damaged";
  Steps repaired(context, foreman.os, 2);
  EXPECT_EQ(repaired.transcribed("/a.wav", "m")->size(), 2U);
  EXPECT_EQ(foreman.opened.size(), 2U);
  EXPECT_EQ(foreman.decodes, 2);
}

TEST(Step, AnInterruptedTranscriptGoesOnBehindItsLastPart) {
  FakeForemanForPipes foreman;
  for (int64_t s = 0; s < 300; s += 10) {
    foreman.worker.heard.push_back({Millis(s * 1000), Millis(s * 1000 + 900), "said", 0.5});
  }
  foreman.worker.hears_most = 12;  // two minutes; a part of 90 s is kept
  FakeJobContext context(foreman, {.kind = "x"});
  for (int attempt = 0; attempt < 3; ++attempt) {
    Steps steps(context, foreman.os, 2);
    const auto got = steps.transcribed("/a.wav", "m");
    EXPECT_EQ(got.has_value(), attempt == 2) << attempt;
    if (got) {
      EXPECT_EQ(segments_json(*got), segments_json(foreman.worker.heard));
    }
  }
  EXPECT_EQ(foreman.worker.asked_from,
            (std::vector<Millis>{Millis(0), Millis(90'000), Millis(180'000)}));
  std::vector<double> resumed;
  for (const nlohmann::json& event : context.events) {
    if (event["type"] == "resumed") resumed.push_back(event["at"]);
  }
  EXPECT_EQ(resumed, (std::vector<double>{90, 180}));
}

TEST(Step, AFullDiskEndsTheJob) {
  FakeForemanForPipes foreman;
  FakeJobContext context(foreman, {.kind = "x"});
  context.fail_saving = Error{Code::kDiskFull, "no space"};
  Steps steps(context, foreman.os, 2);
  EXPECT_EQ(steps.transcribed("/a.wav", "m").error().code, Code::kDiskFull);
}

}  // namespace
}  // namespace gantry
