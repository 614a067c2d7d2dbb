// Seven scenarios for a real foreman with scripted workers; each can be cut off anywhere and begun
// again over what is left.
#pragma once

#include <array>
#include <functional>
#include <string>

#include "base/result.h"

namespace gantry::faults {

enum class Scenario {
  kBurst,        // eight jobs from two threads
  kCheckpoints,  // long jobs that record every step
  kResults,      // results of several pages
  kCancel,       // one while it runs, one while it waits
  kRetry,        // workers die, attempts fail
  kRestart,      // the first schema's database with running jobs; ended cleanly, begun again
  kLarge         // so many bytes that the log is checkpointed and begun anew while jobs run
};
inline constexpr std::array kScenarios = {
    Scenario::kBurst,  Scenario::kCheckpoints, Scenario::kResults,
    Scenario::kCancel, Scenario::kRetry,       Scenario::kRestart,
    Scenario::kLarge};
std::string scenario_name(Scenario scenario);

// One line of the history, without its end.
using Tell = std::function<void(const std::string& line)>;

// What is there before the first life: an empty folder, or an older version's state. What it told.
[[nodiscard]] Result<std::string> prepare(Scenario scenario, const std::string& dir);

struct LifeOptions {
  std::function<void()> on_begin;  // everything is ready: from here on faults count
  int wait_ms_max = 20'000;        // for the queue's end
};

// One life over `dir`: begins, submits what is missing, waits for the queue's end, stops. 0: all of
// it; kRefused: a typed error, which was told; anything else is a fault of ours.
constexpr int kRefused = 10;
constexpr int kStuck = 11;
[[nodiscard]] int play(Scenario scenario, const std::string& dir, const Tell& tell,
                       const LifeOptions& options);

}  // namespace gantry::faults
