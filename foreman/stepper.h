// When a choice steps down to a faster model, and up again: by what presses on the machine, with
// hysteresis. Pure but for what it remembers; the time is told.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"

namespace gantry {

// What was seen of the machine and of the line in front of a choice's models, at one time.
struct Signs {
  bool waiting = false;     // somebody is in line for a session
  Millis busy{0};           // the longest that one of them has waited, loading not counted
  Millis starved{0};        // the longest wait for memory that other programs hold
  double stalled = 0;       // per cent of the time in which something waited for host memory
  std::string device;       // where the one who answers computes
  bool throttled = false;   // that device is slower now for its heat
  std::optional<double> temperature_c = {};  // of the processor, where it computes there
  bool room_above = true;   // the next better one could be had now
};

// Above the first figure it presses, below the second it is calm.
constexpr double kStalledHigh = 20, kStalledCalm = 5;
constexpr double kHotC = 95, kCoolC = 85;

struct Strain {
  bool high = false, calm = false;  // neither: between the two
  Millis lasting{0};  // it has pressed for so long already, as far as the sign itself tells
  std::string why;    // of what presses: "a request has waited 12 s in line"
};

// `after`: a wait in line that long presses.
Strain strain_of(const Signs& signs, Millis after);

// Down one level when it has pressed for `after`; up one when it was calm for kCalmTimes that.
// Never twice within `after`. A way up that did not hold doubles the calm time of the next one, up
// to kCalmMost times; one that held takes that back.
class Stepper {
 public:
  static constexpr int kCalmTimes = 4, kCalmMost = 16;

  explicit Stepper(Millis after) : after_(after) {}
  // One look, several within `after`; a gap longer than that says nothing about what was between.
  // True: the level has changed. `deepest`: so many levels there are below the first.
  bool see(Millis now, const Strain& strain, uint32_t deepest);
  uint32_t level() const { return level_; }

 private:
  bool change(Millis now, uint32_t level);

  Millis after_;
  uint32_t level_ = 0;
  int patience_ = 1;
  std::optional<Millis> seen_, high_since_, calm_since_, changed_, risen_;
};

}  // namespace gantry
