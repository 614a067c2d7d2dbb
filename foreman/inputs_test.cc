// Inputs by content: kept once, counted by the jobs that need them, told when they are damaged.
#include "foreman/inputs.h"

#include <gmock/gmock.h>

#include "foreman/restore.h"
#include "foreman/sha256.h"
#include "foreman/test_bench.h"

namespace gantry {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class InputsTest : public ForemanBench {
 protected:
  Result<std::string> keep(std::vector<std::string> files, WallTime not_before = {}) {
    JobSpec spec;
    spec.kind = "steps";
    spec.params = R"({"read":true})";
    spec.files = std::move(files);
    spec.keep = true;
    spec.not_before = not_before;
    return foreman->submit(spec);
  }
  WallTime later() { return clock.wall() + std::chrono::hours(1); }
  std::vector<std::string> kept() { return *host.list(state() + "/inputs"); }
  std::string kept_path(const std::string& text) {
    return state() + "/inputs/" + sha256_hex(text);
  }
  void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
};

TEST_F(InputsTest, TheFileMayGoOnceTheJobIsAcknowledged) {
  const std::string talk = file("talk.wav", "words");
  const std::string id = *keep({talk}, clock.wall() + Millis(200));
  EXPECT_EQ(foreman->job(id)->input_sha256, std::vector<std::string>{sha256_hex("words")});
  EXPECT_EQ(foreman->job(id)->spec.files, std::vector<std::string>{talk});
  std::filesystem::remove(talk);
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(*foreman->result(id), "talk.wav: words\n") << "under its own name";
  until([&] { return files_of(id) == 1 && kept().empty(); });
  EXPECT_EQ(wait(id).spec.files, std::vector<std::string>{talk});
}

TEST_F(InputsTest, TheSameBytesAreKeptOnceAndAsLongAsAJobNeedsThem) {
  const std::string a = file("a.wav", "same"), b = file("b.wav", "same");
  const std::string first = *keep({a, b}, later()), second = *keep({b}, later());
  EXPECT_THAT(kept(), testing::ElementsAre(sha256_hex("same")));
  ASSERT_TRUE(foreman->cancel(first));
  ASSERT_TRUE(start());
  EXPECT_EQ(kept().size(), 1U) << "both may be tried again";
  ASSERT_TRUE(foreman->cancel(second));
  ASSERT_TRUE(foreman->prune({.state = JobState::kCancelled}));
  EXPECT_THAT(kept(), IsEmpty());
}

TEST_F(InputsTest, AFailedJobIsTriedAgainOnWhatWasKept) {
  JobSpec spec;
  spec.kind = "steps";
  const int corrupt = static_cast<int>(Code::kCorrupt);
  spec.params = nlohmann::json{{"read", true}, {"fail", corrupt}}.dump();
  spec.files = {file("a.wav", "bytes")};
  spec.keep = true;
  const std::string id = *foreman->submit(spec);
  EXPECT_EQ(wait(id).state, JobState::kFailed);
  ASSERT_TRUE(start());
  EXPECT_EQ(kept().size(), 1U);
  write(dir + "/a.wav", "other bytes");
  ASSERT_TRUE(foreman->retry(id));
  EXPECT_EQ(wait(id).error->message, "as told") << "its input was sound";
}

TEST_F(InputsTest, DamageIsToldByNameAndRepairedBySubmittingAgain) {
  const std::string talk = file("talk.wav", "twelve bytes");
  const std::string id = *keep({talk}, clock.wall() + Millis(50));
  write(kept_path("twelve bytes"), "five!");
  Job job = wait(id);
  EXPECT_EQ(job.error->code, Code::kCorrupt);
  EXPECT_THAT(job.error->message, HasSubstr("talk.wav"));
  EXPECT_THAT(job.error->message, HasSubstr(kept_path("twelve bytes") + " has 5 bytes of 12"));

  const auto again = [&] {
    EXPECT_TRUE(foreman->retry(id));
    return wait(id);
  };
  write(kept_path("twelve bytes"), "twelve bite!");
  EXPECT_THAT(again().error->message, HasSubstr("has other bytes"));
  std::filesystem::remove(kept_path("twelve bytes"));
  EXPECT_THAT(again().error->message, HasSubstr("is gone"));
  EXPECT_EQ(wait(id).error->code, Code::kCorrupt);

  ASSERT_TRUE(keep({talk}, later()));
  EXPECT_EQ(again().state, JobState::kDone);
  EXPECT_EQ(*foreman->result(id), "talk.wav: twelve bytes\n");
}

TEST_F(InputsTest, WhatACrashLeavesBehindIsSwept) {
  const std::string id = *keep({file("a.wav", "needed")}, later());
  foreman.reset();
  write(kept_path("nobody's"), "nobody's");
  write(state() + "/inputs/new-7", "half a co");
  write(state() + "/inputs/.new-8.123.tmp", "ha");
  ASSERT_TRUE(start());
  EXPECT_THAT(kept(), testing::ElementsAre(sha256_hex("needed")));
  EXPECT_EQ(foreman->job(id)->state, JobState::kWaiting);
}

TEST_F(InputsTest, AJobThatIsRefusedLeavesNothing) {
  JobSpec spec;
  spec.kind = "steps";
  spec.files = {file("a.wav", "x")};
  spec.keep = true;
  spec.depends_on = {"01jzzzzzzzzzzzzzzzzz"};
  EXPECT_EQ(foreman->submit(spec).error().code, Code::kNotFound);
  EXPECT_THAT(kept(), IsEmpty());
  spec.depends_on.clear();
  for (const char* name : {"", ".", "..", "a/b"}) {
    spec.names = {name};
    EXPECT_EQ(foreman->submit(spec).error().code, Code::kUsage) << name;
  }
  spec.names = {"uploaded.wav"};
  spec.params = R"({"read":true})";
  const std::string id = *foreman->submit(spec);
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(*foreman->result(id), "uploaded.wav: x\n");
}

TEST_F(InputsTest, TheSameKeyKeepsNothingAnew) {
  JobSpec spec;
  spec.kind = "steps";
  spec.keep = true;
  spec.not_before = later();
  spec.idempotency_key = "night";
  spec.files = {file("a.wav", "first")};
  const std::string id = *foreman->submit(spec);
  spec.files = {file("b.wav", "second")};
  EXPECT_EQ(*foreman->submit(spec), id);
  EXPECT_THAT(kept(), testing::ElementsAre(sha256_hex("first")));
}

TEST_F(InputsTest, ABackupHasThem) {
  const std::string talk = file("talk.wav", "words");
  const std::string id = *keep({talk}, clock.wall() + Millis(300));
  ASSERT_TRUE(foreman->backup(dir + "/copy"));
  EXPECT_EQ(wait(id).state, JobState::kDone);
  until([&] { return kept().empty(); });
  foreman.reset();
  ASSERT_TRUE(restore_backup(host, clock, dir + "/copy", state(), true));
  std::filesystem::remove(talk);
  ASSERT_TRUE(start());
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(*foreman->result(id), "talk.wav: words\n");
}

// Many submit, end and take back the same few contents: none is missed, none is left.
TEST_F(InputsTest, KeptAndLetGoAtTheSameTime) {
  const std::vector<std::string> files = {file("a", "one"), file("b", "two")};
  std::vector<std::thread> users;
  std::array<std::vector<std::string>, 4> ids;
  for (size_t u = 0; u < ids.size(); ++u) {
    users.emplace_back([&, u] {
      for (int i = 0; i < 25; ++i) ids[u].push_back(keep(files).value_or("refused"));
    });
  }
  for (std::thread& user : users) user.join();
  for (const auto& mine : ids) {
    for (const std::string& id : mine) {
      const Job job = wait(id);
      ASSERT_EQ(job.state, JobState::kDone) << (job.error ? job.error->message : id);
    }
  }
  until([&] { return kept().empty(); });
}

}  // namespace
}  // namespace gantry
