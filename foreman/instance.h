// The scheduler's own records, shared by scheduler.cc (the line) and keeper.cc (the workers).
#pragma once

#include <deque>
#include <optional>
#include <thread>

#include "foreman/scheduler.h"

namespace gantry {

// A model that was asked for at least once. Kept for good, so that its place in the line and its
// history stay; their number is limited by kModelsMax.
struct Scheduler::Model {
  Loadable loadable;             // replaced only while unloaded
  std::optional<Loadable> next;  // what takes its place then: the file or its settings changed
  ModelState state = ModelState::kUnloaded;
  Instance* current = nullptr;  // unless unloaded
  uint64_t last_served = 0;
  bool draining = false;
  std::deque<Millis> failures;  // of loading, in a row, newest last
  std::optional<Error> last_error;
};

// One start of a model: its worker from the first byte booked to the last one back. Lives on while
// a session refers to it, even when the worker is long dead.
struct Scheduler::Instance {
  Model* model = nullptr;
  Token token = 0;
  Probe probe;
  http::Cancel cancel{false};  // ends a load early

  // Of the keeper; others read them once the state is kReady.
  std::unique_ptr<Worker> worker;
  double load_s = 0;
  bool was_ready = false;
  std::mutex asking;  // Worker::alive, one caller at a time
  [[nodiscard]] Result<void> alive() {
    const std::lock_guard lock(asking);
    return worker->alive();
  }

  // Under the scheduler's mutex.
  std::atomic<int> pid{0};
  uint32_t sessions = 0;
  Millis idle_since{0};
  uint64_t ready_mark = 0;      // requests up to this arrival waited for the load
  bool stop = false;            // the keeper shall put it away
  std::optional<Error> death;   // the worker ended by itself
  bool finished = false;        // the keeper's last word
  std::thread keeper;
};

struct Scheduler::Request {
  Waiter waiter;
  Model* model = nullptr;       // absent: bytes alone
  Instance* served = nullptr;   // with a session booked for it
  Token token = 0;              // of bytes alone
  std::optional<Error> error;
  bool done = false;
};

}  // namespace gantry
