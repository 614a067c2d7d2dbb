// The whole foreman over scripted workers and a real state directory.
#include "foreman/foreman.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/limits.h"
#include "foreman/test_bench.h"

namespace gantry {
namespace {

using testing::HasSubstr;

class ForemanTest : public ForemanBench {};

TEST_F(ForemanTest, WatchersSeeWhatHappens) {
  const std::string id = *submit({{"steps", 2}, {"wait_ms", 20}});
  std::vector<std::string> seen;
  const http::Cancel gone{false};
  ASSERT_TRUE(foreman->watch(id, gone, [&](const std::string& line) {
    seen.push_back(line);
    return true;
  }));
  EXPECT_THAT(seen.front(), HasSubstr(R"("state":"running")"));
  EXPECT_THAT(seen.back(), HasSubstr(R"("state":"done")"));
  EXPECT_THAT(seen, testing::Contains(HasSubstr("step_started")));
  EXPECT_THAT(seen, testing::Contains(HasSubstr("progress")));
  ASSERT_TRUE(start());
  seen.clear();
  ASSERT_TRUE(foreman->watch(id, gone, [&](const std::string& line) {
    seen.push_back(line);
    return true;
  }));
  EXPECT_THAT(seen, testing::ElementsAre(R"({"state":"done","type":"state"})"));
  EXPECT_EQ(foreman->watch("nobody", gone, {}).error().code, Code::kNotFound);
}

TEST_F(ForemanTest, OneDaemonAStateDirectory) {
  ForemanOptions options;
  options.state_dir = state();
  options.config = config;
  options.machine = machine;
  const auto second = Foreman::start(host, clock, std::move(options));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kBusy);
  EXPECT_THAT(second.error().message, HasSubstr(state()));
}

TEST_F(ForemanTest, AStateDirectoryThatCannotBeMade) {
  const std::string in_the_way = file("in_the_way", "x");
  ForemanOptions options;
  options.state_dir = in_the_way + "/state";
  options.machine = machine;
  EXPECT_FALSE(Foreman::start(host, clock, std::move(options)));
}

TEST_F(ForemanTest, BadJobsAreRefusedAtSubmit) {
  const auto refused = [&](JobSpec spec) {
    Result<std::string> id = foreman->submit(spec);
    return id ? Code::kInternal : id.error().code;
  };
  JobSpec spec;
  spec.kind = "unheard of";
  EXPECT_EQ(refused(spec), Code::kUsage);
  spec.kind = "steps";
  for (const char* params : {"[]", "3", "{", "null", "\"x\""}) {
    spec.params = params;
    EXPECT_EQ(refused(spec), Code::kUsage) << params;
  }
  spec.params = R"({"bad":1})";
  EXPECT_EQ(refused(spec), Code::kUsage);
  spec.params = "{}";
  spec.files = {"relative.wav"};
  EXPECT_EQ(refused(spec), Code::kUsage);
  spec.files = {dir + "/none.wav"};
  EXPECT_EQ(refused(spec), Code::kNotFound);
  spec.files = {dir};
  EXPECT_EQ(refused(spec), Code::kUsage);
  spec.files = {file("empty", "")};
  EXPECT_EQ(refused(spec), Code::kUsage);
  EXPECT_TRUE(foreman->jobs({.limit = 10})->empty());
}

TEST_F(ForemanTest, AJobSaysWhereAndWhatToDoOnShortage) {
  JobSpec spec;
  spec.kind = "steps";
  spec.params = R"({"model":"small"})";
  spec.device = "gpu7";
  const Result<std::string> nowhere = foreman->submit(spec);
  EXPECT_EQ(nowhere.error().code, Code::kUsage);
  EXPECT_THAT(nowhere.error().remedy, HasSubstr("cpu"));
  spec.device = "cpu";
  for (const std::vector<std::string>& bad :
       {std::vector<std::string>{"pray"}, {"wait", "wait"}, {"cloud"}, {""}}) {
    spec.shortage = bad;
    EXPECT_EQ(foreman->submit(spec).error().code, Code::kUsage) << bad.back();
  }
  spec.shortage = {"wait", "refuse"};
  const std::string id = *foreman->submit(spec);
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(wait(id).spec.device, "cpu");
  EXPECT_EQ(wait(id).spec.shortage, spec.shortage);
  std::vector<std::string> loaded;
  for (const ModelStatus& model : foreman->models()) loaded.push_back(model.name);
  EXPECT_THAT(loaded, testing::Contains("small#device=cpu#shortage=wait,refuse"));
}

// A job that refuses does not wait for memory that others hold; one that waits gets it.
TEST_F(ForemanTest, AJobsWordsOnShortageAreKept) {
  live->set("cpu", MiB(50));
  JobSpec spec;
  spec.kind = "steps";
  spec.params = R"({"model":"small"})";
  spec.shortage = {"refuse"};
  const std::string refused = *foreman->submit(spec);
  EXPECT_EQ(wait(refused).error->code, Code::kDoesNotFit);
  spec.shortage = {"wait"};
  const std::string waits = *foreman->submit(spec);
  until([&] {
    for (const ModelStatus& model : foreman->models()) {
      if (model.waits.find("waits for") != std::string::npos) return true;
    }
    return false;
  });
  live->set("cpu", GiB(3));
  EXPECT_EQ(wait(waits).state, JobState::kDone);
}

TEST_F(ForemanTest, LimitsOfAJobAtNAndOneMore) {
  JobSpec spec;
  spec.kind = "steps";
  spec.files.assign(kJobFilesMax, file("in", "x"));
  EXPECT_TRUE(foreman->submit(spec));
  spec.files.push_back(spec.files.front());
  EXPECT_EQ(foreman->submit(spec).error().code, Code::kTooLarge);
  spec.files.clear();
  const std::string frame = R"({"x":""})";
  spec.params = R"({"x":")" + std::string(kJobSpecMax.n - frame.size(), 'y') + "\"}";
  EXPECT_TRUE(foreman->submit(spec));
  spec.params = R"({"x":")" + std::string(kJobSpecMax.n - frame.size() + 1, 'y') + "\"}";
  EXPECT_EQ(foreman->submit(spec).error().code, Code::kTooLarge);
}

TEST_F(ForemanTest, TheSameKeyIsTheSameJob) {
  JobSpec spec;
  spec.kind = "steps";
  spec.idempotency_key = "tonight";
  const std::string id = *foreman->submit(spec);
  EXPECT_EQ(wait(id).state, JobState::kDone);
  EXPECT_EQ(*foreman->submit(spec), id);
  EXPECT_EQ(executor->runs, 1);
}

TEST_F(ForemanTest, ADamagedResultIsNotHandedOut) {
  const std::string id = *submit({});
  const Job job = wait(id);
  std::ofstream(job.result_file) << "damaged";
  EXPECT_EQ(foreman->result(id).error().code, Code::kCorrupt);
}

TEST_F(ForemanTest, ModelsAreLoadedSharedAndUnloaded) {
  EXPECT_EQ(foreman->models().size(), 2U);
  EXPECT_EQ(foreman->models()[0].state, "unloaded");
  EXPECT_EQ(host.starts("small"), 0);
  const http::Cancel never{false};
  {
    auto small = foreman->open("small", never, false);
    ASSERT_TRUE(small) << small.error().message;
    auto big = foreman->open("large", never, false);  // an alias
    ASSERT_TRUE(big);
    EXPECT_EQ((*big)->model(), "big");
    EXPECT_EQ(foreman->ledger()[0].booked, (*small)->predicted() + (*big)->predicted());
    EXPECT_LE(foreman->ledger()[0].booked, foreman->ledger()[0].budget);
    EXPECT_FALSE(foreman->idle());
  }
  EXPECT_TRUE(foreman->idle());
  EXPECT_EQ(foreman->ledger()[0].measured_peak, MiB(600));
  EXPECT_TRUE(foreman->unload("large"));
  EXPECT_EQ(foreman->models()[0].state, "unloaded");
  EXPECT_TRUE(foreman->load("big", false));
  EXPECT_EQ(foreman->models()[0].state, "ready");
  EXPECT_EQ(foreman->unload("nobody").error().code, Code::kNotFound);
}

TEST_F(ForemanTest, UnknownModelsAndPathsOfStrangers) {
  const http::Cancel never{false};
  const auto unknown = foreman->open("nobody", never, true);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
  EXPECT_THAT(unknown.error().remedy, HasSubstr("small"));
  EXPECT_EQ(foreman->open("/etc/passwd", never, false).error().code, Code::kNotFound);
  EXPECT_THAT(foreman->open("/etc/passwd", never, false).error().remedy, HasSubstr("small"));
  EXPECT_EQ(foreman->log("small", MiB(1)).error().code, Code::kNotFound);
}

TEST_F(ForemanTest, WhatDoesNotFitSaysWhatWould) {
  add_model("huge", MiB(601));
  ASSERT_TRUE(start());
  const http::Cancel never{false};
  const auto refused = foreman->open("huge", never, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  EXPECT_NE(refused.error().remedy, "");
  const std::string id = *submit({{"model", "huge"}});
  EXPECT_EQ(wait(id).error->code, Code::kDoesNotFit);
  EXPECT_EQ(wait(id).attempts, 1U);
}

TEST_F(ForemanTest, WhatWasMeasuredIsBookedTheNextTime) {
  const http::Cancel never{false};
  Bytes first;
  {
    auto session = foreman->open("small", never, false);
    ASSERT_TRUE(session);
    first = (*session)->predicted();
    host.grow("small", MiB(150));
    until([&] { return (*session)->measured() == MiB(150); });
  }
  ASSERT_TRUE(foreman->unload("small"));
  auto again = foreman->open("small", never, false);
  ASSERT_TRUE(again);
  EXPECT_LT(first, MiB(150));
  EXPECT_GE((*again)->predicted(), MiB(150));
}

TEST_F(ForemanTest, WatchersHearOfTooMuchMemory) {
  const std::string id = *submit({{"model", "small"}, {"wait_ms", 500}});
  until([&] { return host.alive() == 1; });
  std::vector<std::string> seen;
  std::thread watcher([&] {
    const http::Cancel gone{false};
    (void)foreman->watch(id, gone, [&](const std::string& line) {
      seen.push_back(line);
      return true;
    });
  });
  host.grow("small", MiB(700));
  watcher.join();
  EXPECT_THAT(seen, testing::Contains(HasSubstr("over_budget")));
  EXPECT_EQ(foreman->ledger()[0].measured_peak, MiB(700));
}

TEST_F(ForemanTest, DecodingHasALeaseOfItsOwn) {
  Bytes booked;
  decoder = [&](MediaTool tool, const std::string&, const std::string& wav, const http::Cancel&,
                const std::function<Result<void>(int)>& gate) -> Result<Millis> {
    host.foreign[77'000'000] = 5;
    EXPECT_EQ(tool, MediaTool::kSmall);
    if (Result<void> may = gate(77'000'000); !may) return fail(may.error());
    booked = foreman->ledger()[0].booked;
    std::ofstream(wav) << "wav";
    return Millis(1000);
  };
  ASSERT_TRUE(start());
  const http::Cancel never{false};
  const auto report = foreman->decode(dir + "/talk.mp3", dir + "/talk.wav", never);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(booked, report->predicted);
  EXPECT_EQ(report->measured, MiB(1));
  EXPECT_EQ(report->name, "decode talk.mp3");
  EXPECT_EQ(foreman->ledger()[0].booked, Bytes{});
}

TEST_F(ForemanTest, FfmpegsBytesAreAskedForOnlyWhenTheSmallDecoderRefuses) {
  std::vector<std::pair<MediaTool, Bytes>> tried;
  Code small = Code::kUnsupported;
  decoder = [&](MediaTool tool, const std::string& file, const std::string&, const http::Cancel&,
                const std::function<void(int)>&) -> Result<Millis> {
    tried.emplace_back(tool, foreman->ledger()[0].booked);
    if (tool == MediaTool::kSmall) return fail(small, file + " is not for it");
    return Millis(1000);
  };
  config.ram_budget = Budget{MiB(60), std::nullopt};
  ASSERT_TRUE(start());
  const http::Cancel never{false};
  const auto decode = [&] { return foreman->decode(dir + "/a.m4a", dir + "/a.wav", never); };
  const auto report = decode();
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->model, "ffmpeg");
  ASSERT_EQ(tried.size(), 2U);
  EXPECT_EQ(tried[1].first, MediaTool::kFfmpeg);
  EXPECT_LT(tried[0].second, tried[1].second);
  small = Code::kCorrupt;  // no other tool would make more of it
  EXPECT_EQ(decode().error().code, Code::kCorrupt);
  EXPECT_EQ(tried.size(), 3U);
  config.ram_budget = Budget{MiB(30), std::nullopt};
  small = Code::kUnsupported;
  ASSERT_TRUE(start());
  const auto refused = decode();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDoesNotFit);
  EXPECT_THAT(refused.error().remedy, HasSubstr("convert a.m4a to wav"));
}

TEST_F(ForemanTest, AFullDiskRefusesButKeepsWhatWasAccepted) {
  const std::string id = *submit({});
  EXPECT_EQ(wait(id).state, JobState::kDone);
  ASSERT_TRUE(start({.pages_max = 45}));
  Result<std::string> last = "";
  for (int i = 0; i < 100 && last; ++i) last = submit({{"x", std::string(20'000, 'x')}});
  ASSERT_FALSE(last);
  EXPECT_EQ(last.error().code, Code::kDiskFull);
  const size_t accepted = foreman->jobs({.limit = 1000})->size();
  ASSERT_TRUE(start());
  EXPECT_EQ(foreman->jobs({.limit = 1000})->size(), accepted);
  const std::vector<Job> kept = *foreman->jobs({.limit = 1000});
  for (const Job& job : kept) EXPECT_EQ(wait(job.id).state, JobState::kDone);
}

class ProgramTest : public ForemanBench {
 protected:
  void SetUp() override {
    Device card;
    card.name = "gpu0";
    card.kind = DeviceKind::kGpu;
    card.backend = "CUDA0";
    card.bus = "0000:01:00.0";
    card.total = card.free = GiB(8);
    machine.devices.push_back(card);
    host.foreign = {{50'000'001, 11}, {50'000'002, 22}};
    ASSERT_TRUE(start());
    live->set("gpu0", GiB(8));
  }
  LeaseWish wish(Millis limit) const {
    return {"gpu0", GiB(5), false, "train", 50'000'001, 0, limit};
  }
  const http::Cancel never_{false};
};

TEST_F(ProgramTest, IsToldWhenItsTimeIsOver) {
  auto lease = foreman->lease(wish(Millis(200)), never_);
  ASSERT_TRUE(lease) << lease.error().message;
  const std::vector<LeaseStatus> leases = foreman->leases();
  ASSERT_EQ(leases.size(), 1U);
  EXPECT_EQ(leases[0].holder, "train");
  EXPECT_EQ(leases[0].pid, 50'000'001);
  ASSERT_TRUE(leases[0].deadline);
  EXPECT_EQ(*leases[0].deadline - leases[0].since, Millis(200));
  until([&] { return !host.start_time(50'000'001); });
  EXPECT_THAT(host.signals, testing::ElementsAre(SIGTERM));
  EXPECT_EQ(foreman->leases().size(), 1U);  // until whoever waits for its end has seen it
  lease->reset();
  EXPECT_TRUE(foreman->leases().empty());
}

TEST_F(ProgramTest, WithoutALimitIsLeftAlone) {
  auto lease = foreman->lease(wish(Millis(0)), never_);
  ASSERT_TRUE(lease);
  EXPECT_FALSE(foreman->leases()[0].deadline);
  auto other = foreman->lease({"gpu0", GiB(1), false, "late", 50'000'002, 0, Millis(1)}, never_);
  until([&] { return !host.start_time(50'000'002); });
  EXPECT_THAT(host.kills, testing::ElementsAre(50'000'002));
}

TEST_F(ProgramTest, StrangersAreSeenAndThoseWithALeaseAreNone) {
  live->set("gpu0", GiB(1), {{50'000'001, "train", GiB(5)}, {50'000'002, "game", GiB(2)}});
  auto lease = foreman->lease(wish(Millis(0)), never_);
  ASSERT_TRUE(lease);
  const std::vector<LedgerStatus> ledger = foreman->ledger();
  ASSERT_EQ(ledger.size(), 2U);
  EXPECT_TRUE(ledger[0].strangers.empty());
  ASSERT_EQ(ledger[1].strangers.size(), 1U);
  EXPECT_EQ(ledger[1].strangers[0].name, "game");
  EXPECT_EQ(ledger[1].strangers[0].bytes, GiB(2));
  const int looks = live->looks();
  (void)foreman->ledger();
  EXPECT_EQ(live->looks(), looks);  // asking costs a process
}

}  // namespace
}  // namespace gantry
