// Models that are one of several: which of them answers now, and the steps down and up.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/sync.h"
#include "config/config.h"
#include "foreman/choice.h"
#include "foreman/live.h"
#include "foreman/loadable.h"
#include "foreman/status.h"
#include "foreman/stepper.h"
#include "foreman/store.h"

namespace gantry {

class Roster;
class Scheduler;
struct LineWaits;

struct ModesOptions {
  const Config* config = nullptr;
  Roster* roster = nullptr;
  Scheduler* scheduler = nullptr;
  Store* store = nullptr;
  Live* live = nullptr;
  const Clock* clock = nullptr;
  Log* log = nullptr;
  bool watch = true;  // looks by itself, on a thread, where there is anything to choose
};

// Thread-safe. All that it is given must outlive it.
class Modes {
 public:
  explicit Modes(ModesOptions options);
  ~Modes();
  Modes(const Modes&) = delete;
  Modes& operator=(const Modes&) = delete;

  struct Pick {
    std::string member, why;
    uint32_t level = 0;
  };
  // Who answers a request now, of those that are not `out`; `find` plans a member as the request
  // wants it. Where nobody can: why not, of each.
  using Find = std::function<Result<Loadable>(const std::string& member)>;
  [[nodiscard]] Result<Pick> pick(const std::string& model, const Find& find,
                                  const std::map<std::string, Error>& out);
  // False: it has stepped further down since.
  bool holds(const std::string& model, uint32_t level);
  // For the next picks, kept; nothing: as it is configured. kNotFound: not one of several.
  [[nodiscard]] Result<ModeStatus> set(const std::string& model, std::optional<Mode> mode);
  std::vector<ModeStatus> status();
  // One look at the machine and the line; true where another one is worth while soon. The thread's.
  bool look();

 private:
  struct State {
    explicit State(const ModelConfig& model)
        : config(model), stepper(std::chrono::seconds(model.step_after_s)) {}
    ModelConfig config;
    Stepper stepper;
    std::optional<Mode> set;
    std::string current;             // answered last
    std::vector<std::string> rungs;  // of the last pick: what the mode took, then each faster one
    std::string device;              // of the one that answered
    std::string pressure;            // of the last step down
    uint64_t changes = 0;
    Mode mode() const { return set.value_or(config.mode); }
  };
  // A copy of what there is, so that nobody is asked under the lock.
  [[nodiscard]] Result<State> state_of(const std::string& model);
  std::vector<Candidate> candidates(const State& state, const Find& find,
                                    const std::map<std::string, Error>& out);
  Candidate candidate(const State& state, const std::string& member, const Find& find);
  ModeStatus status_of(const State& state);
  Signs signs_of(const State& state, const LineWaits& waits);
  bool is_hot(const std::string& device);
  bool look_at(const std::string& model);
  void run();

  ModesOptions options_;
  Mutex mutex_;
  CondVar changed_;
  std::map<std::string, State> states_;  // the models are those of the configuration
  std::map<std::string, std::pair<Millis, bool>> hot_;  // of accelerators, when last asked
  Millis interval_{0};  // between two looks
  uint64_t picks_ = 0;
  bool ending_ = false;
  Thread thread_;
};

}  // namespace gantry
