// kill -9 of a foreman by operation count: each named step of its files and threads, before, in the
// middle of or after the operation. The history is kept outside of the store.
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "lab/faults/lives.h"

namespace gantry::faults {
namespace {

constexpr int kKillsInARow = 4;

struct Place {
  Scenario scenario;
  uint64_t count = 0;  // of the step, in an undisturbed life
};

class Killer {
 public:
  explicit Killer(uint64_t seed) : rng_(seed), control_(0) {}

  // Which steps there are, and where. Allocations are no steps of a store.
  void explore() {
    for (const Scenario scenario : kScenarios) {
      const Folder folder;
      History history = begin(scenario, folder.path());
      control_.clear(folder.path());
      ASSERT_EQ(live(scenario, folder.path(), control_.get(), history).text(), "exit status 0");
      for (int step = 1; step < kAllocate; ++step) {
        if (control_->seen[step] > 0) places[step].push_back({scenario, control_->seen[step]});
      }
    }
  }

  // Kills at the step, and then at others, until one life comes to its end.
  void strike(FaultStep first) {
    const Place place = places[first][rng_.below(places[first].size())];
    const Folder folder;
    const std::string& dir = folder.path();
    History history = begin(place.scenario, dir);
    const uint64_t kills = 1 + rng_.below(kKillsInARow);
    FaultStep step = first;
    uint64_t most = place.count;
    for (uint64_t i = 0; i < kills && history.faults.empty(); ++i) {
      kill_once(place.scenario, dir, step, 1 + rng_.below(most), history);
      // The next life begins over what is left: its first operations are the interesting ones.
      auto next = std::next(places.begin(), static_cast<long>(rng_.below(places.size())));
      step = static_cast<FaultStep>(next->first);
      most = 6;
    }
    const Ending ending = live(place.scenario, dir, nullptr, history);
    EXPECT_EQ(ending.text(), "exit status 0") << history.error;
    EXPECT_TRUE(history.ended);
    EXPECT_TRUE(history.failed.empty()) << history.failed.begin()->second;
    EXPECT_EQ(history.done.size() + history.cancelled.size(), history.acknowledged.size());
    check_store(dir, history);
    for (const std::string& fault : history.faults) {
      ADD_FAILURE() << fault << " (" << scenario_name(place.scenario) << ", killed at '"
                    << fault_step_name(first) << "' and " << kills - 1 << " times more)";
    }
  }

  std::map<int, std::vector<Place>> places;  // by step
  std::map<int, int> hits;
  int kills = 0;

 private:
  static History begin(Scenario scenario, const std::string& dir) {
    History history;
    const Result<std::string> told = prepare(scenario, dir);
    EXPECT_TRUE(told) << told.error().message;
    history.read_all(told.value_or(""));
    return history;
  }

  void kill_once(Scenario scenario, const std::string& dir, FaultStep step, uint64_t at,
                 History& history) {
    control_.clear(dir);
    control_->kill_step = step;
    control_->kill_at = at;
    control_->kill_when = static_cast<uint32_t>(rng_.below(3));
    const Ending ending = live(scenario, dir, control_.get(), history);
    if (ending.signal == SIGKILL && !ending.late) {
      ++kills;
      ++hits[static_cast<int>(control_->hit)];
    } else {
      EXPECT_EQ(ending.text(), "exit status 0") << history.error;
    }
    check_store(dir, history);
  }

  Rng rng_;
  Control control_;
};

TEST(Kill, AtEveryStepNothingIsLostOrDoneTwice) {
  Killer killer(run_seed());
  killer.explore();
  if (HasFailure()) return;
  const int aim = full_run() ? 80 : 8;
  for (const auto& [step, places] : killer.places) {
    // A thread's timing decides whether a rare step comes as often as it was seen.
    for (int i = 0; i < 4 * aim && killer.hits[step] < aim && !HasFailure(); ++i) {
      killer.strike(static_cast<FaultStep>(step));
    }
  }
  int often = 0;
  for (const auto& [step, count] : killer.hits) {
    GTEST_LOG_(INFO) << "killed at '" << fault_step_name(step) << "': " << count;
    often += count >= aim ? 1 : 0;
  }
  GTEST_LOG_(INFO) << killer.kills << " kills at " << killer.hits.size() << " steps";
  EXPECT_GE(often, 20);
  EXPECT_GE(killer.kills, 25 * aim);
}

}  // namespace
}  // namespace gantry::faults
