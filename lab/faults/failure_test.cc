// The k-th file operation, thread or allocation of a life fails: a typed error or a clean exit, no
// hang, and the next life has everything.
#include <errno.h>
#include <gtest/gtest.h>

#include "lab/faults/lives.h"

namespace gantry::faults {
namespace {

struct Way {
  FaultGroup group;
  int error;
  bool for_ever;
  const char* name;
};

constexpr Way kWays[] = {{kGroupFile, ENOSPC, false, "ENOSPC"},
                         {kGroupFile, EIO, false, "EIO"},
                         {kGroupFile, EINTR, false, "EINTR"},
                         {kGroupFile, EMFILE, false, "EMFILE"},
                         {kGroupFile, kFaultShort, false, "short"},
                         {kGroupFile, ENOSPC, true, "ENOSPC for ever"},
                         {kGroupFile, EIO, true, "EIO for ever"},
                         {kGroupSpawn, EAGAIN, false, "no thread"},
                         {kGroupSpawn, EAGAIN, true, "no threads any more"},
                         {kGroupAllocate, ENOMEM, false, "no memory"},
                         {kGroupAllocate, ENOMEM, true, "no memory any more"}};
constexpr int kNoMemory = 4;  // base/out_of_memory.h

class Failure : public testing::TestWithParam<Scenario> {
 protected:
  Failure() : control_(0) {}

  History begin(const std::string& dir) {
    History history;
    const Result<std::string> told = prepare(GetParam(), dir);
    EXPECT_TRUE(told) << told.error().message;
    history.read_all(told.value_or(""));
    control_.clear(dir);
    return history;
  }

  // How often each group is met in an undisturbed life.
  void explore() {
    const Folder folder;
    History history = begin(folder.path());
    ASSERT_EQ(live(GetParam(), folder.path(), control_.get(), history).text(), "exit status 0");
    for (int group = 0; group < kFaultGroups; ++group) met_[group] = control_->of_group[group];
  }

  void fail_once(const Way& way, uint64_t at, bool restart) {
    const Folder folder;
    History history = begin(folder.path());
    control_->fail_group = static_cast<uint32_t>(way.group);
    control_->fail_at = at;
    control_->fail_errno = way.error;
    control_->fail_for_ever = way.for_ever ? 1 : 0;
    LifeOptions options;
    if (way.for_ever) options.wait_ms_max = 200;  // what cannot be done is tried again and again
    const Ending ending =
        live(GetParam(), folder.path(), control_.get(), history, options, 40);
    const std::string where = std::string(way.name) + " at " + std::to_string(at) + ", '" +
                              fault_step_name(static_cast<int>(control_->failed_step)) + "': ";
    injected += control_->failed > 0 ? 1 : 0;
    const int status = ending.status;
    const bool clean = status == 0 || status == kRefused ||
                       (status == kNoMemory && way.group == kGroupAllocate) ||
                       (status == kStuck && way.for_ever);
    EXPECT_TRUE(clean && !ending.late) << where << ending.text() << " " << history.error;
    if (status == kRefused) {
      ++refused;
      EXPECT_FALSE(history.error.empty()) << where;
    }
    exits += status == kNoMemory ? 1 : 0;
    if (restart) go_on(folder.path(), history, where);
    check_store(folder.path(), history);
    for (const std::string& fault : history.faults) ADD_FAILURE() << where << fault;
  }

  void go_on(const std::string& dir, History& history, const std::string& where) {
    const Ending ending = live(GetParam(), dir, nullptr, history);
    EXPECT_EQ(ending.text(), "exit status 0") << where << history.error;
    for (const std::string& id : history.acknowledged) {
      EXPECT_TRUE(history.done.contains(id) || history.cancelled.contains(id) ||
                  history.failed.contains(id))
          << where << id << " has no end";
    }
  }

  Control control_;
  uint64_t met_[kFaultGroups] = {};
  uint64_t injected = 0, refused = 0, exits = 0;
};

TEST_P(Failure, IsATypedErrorOrACleanExit) {
  Rng rng(run_seed());
  explore();
  if (HasFatalFailure()) return;
  for (const Way& way : kWays) {
    const uint64_t met = met_[way.group];
    // In a full run every one; else some, and all where there are few.
    const uint64_t some = way.group == kGroupAllocate ? 12 : way.for_ever ? 20 : 5;
    const uint64_t stride = full_run() && !way.for_ever ? 1 : std::max<uint64_t>(1, met / some);
    for (uint64_t at = 1 + rng.below(stride); at <= met; at += stride) {
      const bool restart = way.group != kGroupAllocate || !full_run() || rng.below(8) == 0;
      fail_once(way, at, restart);
      if (HasFailure()) return;
    }
  }
  GTEST_LOG_(INFO) << met_[kGroupFile] << " file operations, " << met_[kGroupSpawn]
                   << " threads, " << met_[kGroupAllocate] << " allocations; " << injected
                   << " failures injected: " << refused << " typed refusals, " << exits
                   << " exits without memory";
  EXPECT_GT(injected, 50U);
}

INSTANTIATE_TEST_SUITE_P(Faults, Failure,
                         testing::Values(Scenario::kBurst, Scenario::kCheckpoints,
                                         Scenario::kResults, Scenario::kCancel, Scenario::kRetry,
                                         Scenario::kRestart),
                         [](const auto& tested) { return scenario_name(tested.param); });

}  // namespace
}  // namespace gantry::faults
