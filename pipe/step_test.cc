// Steps: one session at a time, told live, and never done twice.
#include "pipe/step.h"

#include <gtest/gtest.h>

#include "pipe/fake_job.h"

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

TEST(Step, AFullDiskEndsTheJob) {
  FakeForemanForPipes foreman;
  FakeJobContext context(foreman, {.kind = "x"});
  context.fail_saving = Error{Code::kDiskFull, "no space"};
  Steps steps(context, foreman.os, 2);
  EXPECT_EQ(steps.transcribed("/a.wav", "m").error().code, Code::kDiskFull);
}

}  // namespace
}  // namespace gantry
