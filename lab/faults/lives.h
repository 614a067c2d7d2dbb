// Lives of a scenario in processes of their own, under a fault control that outlives them.
#pragma once

#include <memory>
#include <string>

#include "base/rng.h"
#include "lab/faults/history.h"
#include "lab/faults/scenario.h"
#include "lab/faults/shim.h"

namespace gantry::faults {

// A folder of its own in memory where the machine has such a place, else in the temporary folder.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Shared memory with room for a journal of so many bytes.
class Control {
 public:
  explicit Control(size_t journal_bytes);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  FaultControl* operator->() const { return block_; }
  FaultControl* get() const { return block_; }
  const char* journal() const;
  void clear(const std::string& root);  // nothing seen, nothing to do

 private:
  FaultControl* block_;
  size_t journal_bytes_;
};

struct Ending {
  int status = -1;  // of exit; -1: a signal, or too late
  int signal = 0;
  bool late = false;  // did not end in time and was killed
  std::string text() const;
};

// Forks, plays one life under `control` (null: without faults), and reads its words into the
// history. No thread of the caller's may run.
Ending live(Scenario scenario, const std::string& dir, FaultControl* control, History& history,
            const LifeOptions& options = {}, int limit_s = 60);

// The seed of this run, from GANTRY_TEST_SEED or the system; printed.
uint64_t run_seed();
// GANTRY_TEST_FULL is set.
bool full_run();

}  // namespace gantry::faults
