// Power loss: what a scenario wrote is replayed up to every change, what was not synced is lost in
// four ways, and the real foreman goes on with what is left.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <mutex>
#include <unordered_set>

#include "foreman/job_state.h"
#include "foreman/test_bench.h"
#include "lab/faults/disk.h"
#include "lab/faults/lives.h"

namespace gantry::faults {
namespace {

constexpr size_t kJournalMax = 512 << 20;

struct Kill {
  FaultStep step = kStepNone;
  uint64_t at = 0;
};

// What a scenario wrote from its begin to its end, and what was there before. With a kill it has
// two lives, and the second comes to the end.
class Recording {
 public:
  explicit Recording(Scenario scenario, Kill kill = {})
      : control_(kJournalMax), dir_(folder_.path() + "/live") {
    std::filesystem::create_directory(dir_);
    Result<std::string> told = prepare(scenario, dir_);
    if (!told) return;
    before.read_all(*told);
    disk = std::make_unique<Disk>(dir_);
    control_.clear(dir_);
    History history;
    if (kill.step != kStepNone) {
      control_->kill_step = kill.step;
      control_->kill_at = kill.at;
      control_->kill_when = kAfter;
      killed = live(scenario, dir_, control_.get(), history).signal == SIGKILL;
      control_->kill_step = kStepNone;
    }
    sound = live(scenario, dir_, control_.get(), history).status == 0 && history.faults.empty() &&
            control_->journal_used <= kJournalMax;
  }
  const std::string& dir() const { return dir_; }
  template <class See>
  void each(const See& see) const {
    each_record(control_.journal(), control_->journal_used, see);
  }

  bool sound = false, killed = false;
  History before;
  std::unique_ptr<Disk> disk;  // as it was before

 private:
  Control control_;
  Folder folder_;
  std::string dir_;
};

// The foreman over an image: everything acknowledged is there, and the queue comes to its end.
class Survivor {
 public:
  Survivor(const std::string& dir, History& history) : history_(history), bench_(dir) {}

  void go_on() {
    Result<void> started = bench_.start({}, [this](const Job& job) {
      const std::lock_guard lock(mutex_);
      history_.read("run " + job.id);
    });
    if (!started) {
      history_.faults.push_back("it does not start: " + started.error().message);
      return;
    }
    for (const std::string& id : history_.acknowledged) {
      const Result<Job> job = bench_.foreman->job(id);
      if (!job) {
        const std::lock_guard lock(mutex_);
        history_.faults.push_back(id + " is lost");
      } else if (job->spec.params.find("60000") != std::string::npos && !is_final(job->state)) {
        (void)bench_.foreman->cancel(id);  // it would wait to be cancelled
      }
    }
    for (int ms = 0; ms < 20'000 && !at_end(); ++ms) std::this_thread::sleep_for(Millis(1));
    if (!at_end()) history_.read("stuck");
    bench_.foreman.reset();
  }

 private:
  bool at_end() {
    const std::vector<Job> jobs = bench_.foreman->jobs({.limit = 100}).value_or(std::vector<Job>{});
    return std::ranges::all_of(jobs, [](const Job& job) {
      return is_final(job.state) || job.spec.params.find("60000") != std::string::npos;
    });
  }
  History& history_;
  std::mutex mutex_;
  TestBench bench_;
};

// Power is lost after records of a recording; each different image is looked at once.
class Losses {
 public:
  Losses(const Recording& recording, uint64_t seed)
      : recording_(recording), rng_(seed), image_dir_(folder_.path() + "/image") {}

  // One record in `of` is followed by a loss in each way; records that `deaf` names do not reach
  // the disk, as if the daemon had left them out.
  void run(uint64_t of, const std::function<bool(const FaultRecord&, std::string_view)>& deaf) {
    Disk disk = *recording_.disk;
    History history = recording_.before;
    recording_.each([&](const FaultRecord& record, const char* bytes) {
      const std::string_view text(bytes, record.size);
      if (record.kind == kRecordNote) {
        history.read_all(std::string(text));
        acknowledged_ = history.acknowledged.size() + history.done.size();
        return;
      }
      ++records;
      if (!deaf || !deaf(record, text)) disk.apply(record, bytes);
      if (rng_.below(of) != 0) return;
      for (const Loss loss : kLosses) lose(disk, loss, history);
    });
  }

  uint64_t records = 0, images = 0, different = 0;
  std::vector<std::string> faults;

 private:
  void lose(const Disk& disk, Loss loss, const History& told) {
    ++images;
    const Image image = disk.after(loss, rng_);
    size_t mark = std::hash<size_t>()(told.done.size() * 1000 + acknowledged_);
    for (const auto& [path, bytes] : image) {
      mark = mark * 31 + std::hash<std::string>()(path) * 17 + std::hash<std::string>()(bytes);
    }
    if (!seen_.insert(mark).second) return;
    ++different;
    write_image(image, recording_.dir(), image_dir_);
    History history = told;
    history.new_life();
    Survivor(image_dir_, history).go_on();
    check_store(image_dir_, history);
    for (const std::string& fault : history.faults) {
      faults.push_back("after record " + std::to_string(records) + ", loss " +
                       std::to_string(static_cast<int>(loss)) + ": " + fault);
    }
  }

  const Recording& recording_;
  Rng rng_;
  Folder folder_;
  std::string image_dir_;
  size_t acknowledged_ = 0;
  std::unordered_set<size_t> seen_;
};

class PowerLoss : public testing::TestWithParam<Scenario> {};

TEST_P(PowerLoss, LosesNothingThatWasAcknowledged) {
  const Recording recording(GetParam());
  ASSERT_TRUE(recording.sound);
  Losses losses(recording, run_seed());
  for (int round = 0; round < (full_run() ? 10 : 1); ++round) {
    losses.run(GetParam() == Scenario::kLarge ? (full_run() ? 40 : 1000) : full_run() ? 1 : 5,
               nullptr);
  }
  GTEST_LOG_(INFO) << losses.records << " changes, " << losses.images << " images, "
                   << losses.different << " of them different";
  EXPECT_GT(losses.different, 20U);
  for (const std::string& fault : losses.faults) ADD_FAILURE() << fault;
}

// A kill leaves what the kernel holds and the disk does not; the next life must not build on it.
TEST_P(PowerLoss, AfterAKillToo) {
  const uint64_t seed = run_seed();
  Rng rng(seed);
  uint64_t kills = 0, different = 0;
  // Not every scenario comes to every step so often: on until one has been killed.
  const int rounds = full_run() ? 100 : 5;
  for (int round = 0; round < rounds || (kills == 0 && round < 20 * rounds); ++round) {
    constexpr FaultStep kSteps[] = {kFolderMake,    kResultRename, kCheckpointRename, kWalWrite,
                                    kJournalWrite,  kStoreOpen,    kDbWrite,          kStoreUnlink,
                                    kResultWrite,   kSweep};
    const Recording recording(GetParam(), {kSteps[rng.below(std::size(kSteps))],
                                           1 + rng.below(8)});
    ASSERT_TRUE(recording.sound);
    kills += recording.killed ? 1 : 0;
    Losses losses(recording, rng.next());
    losses.run(GetParam() == Scenario::kLarge ? 4000 : 40, nullptr);
    different += losses.different;
    for (const std::string& fault : losses.faults) ADD_FAILURE() << fault;
  }
  GTEST_LOG_(INFO) << kills << " kills, " << different << " different images";
  EXPECT_GT(kills, 0U);
}

// What the test sees when the daemon leaves a sync out.
struct Omission {
  const char* name;
  FaultRecordKind kind;
  const char* part;  // of the path with a '$' at its end
};

class Omitted : public testing::TestWithParam<Omission> {};

TEST_P(Omitted, IsFound) {
  const Recording recording(Scenario::kResults);
  ASSERT_TRUE(recording.sound);
  Losses losses(recording, run_seed());
  std::map<uint64_t, std::string> paths;  // of files, by inode
  losses.run(6, [&](const FaultRecord& record, std::string_view text) {
    if (record.kind == kRecordCreate) paths[record.inode] = text;
    if (record.kind != static_cast<uint32_t>(GetParam().kind)) return false;
    const std::string path = record.kind == kRecordSync ? paths[record.inode] : std::string(text);
    return (path + "$").find(GetParam().part) != std::string::npos;
  });
  GTEST_LOG_(INFO) << losses.faults.size() << " faults found in " << losses.different << " images";
  EXPECT_FALSE(losses.faults.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Faults, Omitted,
    testing::Values(Omission{"log", kRecordSync, ".db-wal$"},
                    Omission{"result", kRecordSync, "/.result."},
                    Omission{"results_folder", kRecordSyncFolder, "/jobs/"},
                    Omission{"jobs_folder", kRecordSyncFolder, "/jobs$"},
                    Omission{"state_folder", kRecordSyncFolder, "/state$"}),
    [](const auto& tested) { return tested.param.name; });

INSTANTIATE_TEST_SUITE_P(Faults, PowerLoss, testing::ValuesIn(kScenarios),
                         [](const auto& tested) { return scenario_name(tested.param); });

}  // namespace
}  // namespace gantry::faults
