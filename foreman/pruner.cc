// Pruning.
#include "foreman/pruner.h"

#include <chrono>
#include <set>

namespace gantry {

namespace {

// Jobs in one transaction: others wait for it.
constexpr uint32_t kAtOnce = 100;
// How often it is looked whether there is something to prune: after so many jobs, or so long.
constexpr uint32_t kJobsBetween = 50;
constexpr Millis kTimeBetween = std::chrono::hours(1);

}  // namespace

Pruner::Stay::Stay(Pruner& pruner) : pruner_(pruner) {
  const std::lock_guard lock(pruner_.mutex_);
  ++pruner_.stays_;
  pruner_.options_.inputs->begin_stay();
}

Pruner::Stay::~Stay() {
  const std::lock_guard lock(pruner_.mutex_);
  --pruner_.stays_;
  pruner_.options_.inputs->end_stay();
}

Result<void> Pruner::open() {
  Result<std::vector<std::string>> ids = options_.store->unremoved();
  if (!ids) return fail(ids.error());
  return remove_folders(*ids);
}

Result<void> Pruner::remove_folders(const std::vector<std::string>& ids) {
  if (ids.empty()) return {};
  for (const std::string& id : ids) {
    Result<void> removed = options_.os->remove(join_path(options_.jobs_dir, id));
    if (!removed) return removed;
  }
  // Syncs it: a folder that came back after a power loss would have no note any more.
  Result<void> synced = options_.os->make_dirs(options_.jobs_dir, 0700);
  if (!synced) return synced;
  return options_.store->forget_removed(ids);
}

Result<std::vector<Pruned>> Pruner::prune_some_locked(const PruneRule& rule) {
  Result<std::vector<Pruned>> pruned = options_.store->prune(rule, kAtOnce, false);
  if (!pruned || pruned->empty()) return pruned;
  std::vector<std::string> ids;
  for (const Pruned& job : *pruned) {
    ids.push_back(job.id);
    options_.inputs->let_go(job.input_sha256);
  }
  if (Result<void> removed = remove_folders(ids); !removed) {
    // The jobs are gone all the same; the next start tries again.
    options_.log->warn("not_removed", {{"jobs", std::to_string(ids.size())},
                                       {"error", removed.error().message}});
  }
  return pruned;
}

Result<std::vector<std::string>> Pruner::prune(const PruneRule& rule, bool dry) {
  std::vector<std::string> ids;
  if (dry) {
    Result<std::vector<Pruned>> would = options_.store->prune(rule, UINT32_MAX, true);
    if (!would) return fail(would.error());
    for (Pruned& job : *would) ids.push_back(std::move(job.id));
    return ids;
  }
  for (;;) {
    const std::lock_guard lock(mutex_);
    if (stays_ > 0) {
      return fail(Code::kBusy, "a backup is being made", "try it again once that is done");
    }
    Result<std::vector<Pruned>> pruned = prune_some_locked(rule);
    if (!pruned) return fail(pruned.error());
    if (pruned->empty()) return ids;
    for (Pruned& job : *pruned) ids.push_back(std::move(job.id));
    options_.log->info("pruned", {{"jobs", std::to_string(pruned->size())}});
  }
}

Result<std::vector<std::string>> Pruner::by_configuration(bool dry) {
  std::vector<std::string> ids;
  if (options_.keep_jobs > 0) {
    Result<std::vector<std::string>> many =
        prune({.keep = options_.keep_jobs, .before = {}, .state = {}}, dry);
    if (!many) return many;
    ids = std::move(*many);
  }
  if (options_.keep_days == 0) return ids;
  const WallTime before =
      options_.clock->wall() - std::chrono::hours(24) * int64_t{options_.keep_days};
  Result<std::vector<std::string>> old = prune({.keep = {}, .before = before, .state = {}}, dry);
  if (!old) return old;
  const std::set<std::string> already(ids.begin(), ids.end());
  for (std::string& id : *old) {
    if (!already.contains(id)) ids.push_back(std::move(id));
  }
  return ids;
}

void Pruner::now_and_then() {
  {
    const Millis now = options_.clock->steady();
    const std::lock_guard lock(mutex_);
    if (stays_ > 0 || (++ended_ < kJobsBetween && now < next_)) return;
    ended_ = 0;
    next_ = now + kTimeBetween;
  }
  if (Result<std::vector<std::string>> done = by_configuration(false); !done) {
    options_.log->warn("not_pruned", {{"error", done.error().message}});
  }
}

}  // namespace gantry
