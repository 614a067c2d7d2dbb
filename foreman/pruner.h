// An end to what is kept: jobs that ended long ago leave the table and the disk, by the
// configuration's rule or by the user's word.
//
// The row goes first, and the same transaction notes the folder; then the folder goes, then the
// note. A crash in between leaves a note, which the next start follows.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "base/sync.h"
#include "foreman/inputs.h"
#include "foreman/store.h"

namespace gantry {

struct PrunerOptions {
  Os* os = nullptr;
  const Clock* clock = nullptr;
  Log* log = nullptr;
  Store* store = nullptr;
  Inputs* inputs = nullptr;
  std::string jobs_dir;
  uint32_t keep_jobs = 0, keep_days = 0;  // config/config.h
};

// Thread-safe.
class Pruner {
 public:
  // While one lives nothing is pruned and no input goes: rows are copied, then their files.
  class Stay {
   public:
    explicit Stay(Pruner& pruner);
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;
    ~Stay();

   private:
    Pruner& pruner_;
  };

  explicit Pruner(PrunerOptions options) : options_(std::move(options)) {}

  // Removes the folders that an earlier daemon was about to remove.
  [[nodiscard]] Result<void> open();
  // By the configuration's rule, once in a while: to be called whenever a job has ended, and when
  // there is nothing to do.
  void now_and_then();
  // The ids, oldest first; `dry`: of those that would go. kBusy while a backup is made.
  [[nodiscard]] Result<std::vector<std::string>> prune(const PruneRule& rule, bool dry);
  [[nodiscard]] Result<std::vector<std::string>> by_configuration(bool dry);

 private:
  [[nodiscard]] Result<std::vector<Pruned>> prune_some_locked(const PruneRule& rule);
  [[nodiscard]] Result<void> remove_folders(const std::vector<std::string>& ids);

  PrunerOptions options_;
  Mutex mutex_;
  uint32_t stays_ = 0;
  uint32_t ended_ = 0;  // since it was looked last
  Millis next_{0};
};

}  // namespace gantry
