// Threads of a simulation: fibers that a seed schedules, one at a time, over a clock that jumps to
// the next deadline when everybody waits. The same seed gives the same run, point by point.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"

namespace gantry::sim {

enum class Ending {
  kDone,      // the root fiber returned, and every other one
  kCrashed,   // at the point that was asked for, or where crash() was called
  kDeadlock,  // everybody waits, and nobody for a time
  kEndless,   // more points than points_max
  kFailed,    // fail() was called
};

struct FiberOptions {
  uint64_t points_max = 3'000'000;
  uint32_t switch_odds = 4;     // one in so many points changes the fiber, on average
  uint32_t lag_odds = 0;        // one in so many points takes time; 0: none does
  Millis lag_max{20};
  uint32_t spurious_odds = 64;  // one in so many waits returns for no reason; 0: none
};

class Fibers {
 public:
  Fibers(uint64_t seed, FiberOptions options);
  ~Fibers();
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  // Runs `root` and what it starts. Those left over after a crash are never continued: their
  // stacks are used again, what they owned is leaked.
  Ending run(const std::string& name, std::function<void()> root);
  // The next run ends with kCrashed after so many points.
  void crash_after(std::optional<uint64_t> points);

  // Of the fiber that runs.
  uint32_t start(const std::string& name, std::function<void()> body);
  void join(uint32_t fiber);
  void point(std::string_view what);  // another may run now
  // Until wake(on), or the time; false: it was the time. `from`: who asked, for the report.
  bool block(const void* on, std::string_view what, std::optional<Millis> until, void* from);
  void wake(const void* on, bool all);
  void sleep(Millis time);
  [[noreturn]] void crash();
  [[noreturn]] void fail(const std::string& why);  // the simulation's verdict; ends the run
  uint32_t current() const { return current_; }
  size_t alive() const;
  bool inside() const { return current_ != 0; }

  Millis now() const { return now_; }
  Rng& rng() { return rng_; }
  bool one_in(uint64_t odds) { return odds > 0 && rng_.below(odds) == 0; }
  void mix(uint64_t value);  // into the digest
  uint64_t digest() const { return digest_; }
  uint64_t points() const { return points_; }
  uint64_t switches() const { return switches_; }
  void pass(Millis time) { now_ += time; }  // between two runs
  void calm() { options_.lag_odds = 0; }
  const std::string& why() const { return why_; }  // of kFailed, kDeadlock and kEndless
  std::string standing() const;                    // who waits for what, a line each

 private:
  struct Fiber;
  static void enter(unsigned high, unsigned low);
  [[noreturn]] void live(Fiber& fiber);
  void count();       // one more point, perhaps the last
  void reschedule();  // away from the current fiber, which is ready or blocked
  Fiber* choose();
  void go(Fiber& fiber);
  [[noreturn]] void leave(Ending ending);
  Fiber& self();
  std::string call_site(void* address) const;

  FiberOptions options_;
  Rng rng_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<void*> stacks_;  // free ones
  jmp_buf main_{};
  uint32_t current_ = 0;
  uint32_t next_id_ = 1;
  Ending ending_ = Ending::kDone;
  std::string why_;
  Millis now_{1'000};
  std::optional<uint64_t> crash_at_;
  uint64_t points_ = 0, switches_ = 0;
  uint64_t digest_ = 1469598103934665603ULL;
};

// The simulation that this process runs now: a standard mutex has no argument to find it by.
Fibers& fibers();

// Of this process: which of the faults in bugs.txt is on, where they are compiled in. 0: none.
int seeded_bug();
void seed_bug(int number);

}  // namespace gantry::sim
