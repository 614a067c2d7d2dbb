// Holders that wake up when their time is over: between two daemons they try their old tokens on
// the store, and must change nothing.
#include <fmt/format.h>

#include <set>

#include "foreman/job_state.h"
#include "lab/sim/simulation.h"

namespace gantry::sim {

void Simulation::expect_conflict(const Result<void>& done, const char* what, Token stale) {
  if (!done && done.error().code == Code::kConflict) return;
  world_.violated(fmt::format("{} with the old token {} is not refused", what, stale));
}

void Simulation::attack(Store& store, const Claim& claim, Token stale) {
  const std::string& id = claim.job.id;
  const WallTime now = clock_.wall();
  const Error error{Code::kCorrupt, "stale"};
  expect_conflict(store.finish(id, stale, "result.stale", "00", now), "a result", stale);
  expect_conflict(store.fail_job(id, stale, error, now), "a failure", stale);
  expect_conflict(store.unclaim(id, stale), "giving back", stale);
  expect_conflict(store.set_device(id, stale, "stale", "[]"), "a device", stale);
  expect_conflict(store.add_checkpoint(id, stale, {"step 0", "stale", "00"}), "a checkpoint",
                  stale);
  const Result<JobState> retried = store.retry(id, stale, error, "", now);
  expect_conflict(retried ? Result<void>{} : gantry::fail(retried.error()), "a retry", stale);
  (void)store.remove_lease(stale);
}

void Simulation::stale_holders() {
  Result<std::unique_ptr<Store>> opened =
      Store::open(state_dir_ + "/gantry.db", {.now = clock_.wall()});
  if (!opened) return world_.violated("the store does not open: " + opened.error().message);
  Store& store = **opened;
  const bool at_rest = world_.stopping;
  Result<std::vector<LeaseRow>> leases = store.leases();
  if (!leases) return world_.violated("the leases cannot be read");
  if (at_rest && !leases->empty()) world_.violated("a lease is left after an orderly end");
  for (const LeaseRow& row : *leases) history_.old_token(row.token);
  if (Result<std::vector<Job>> back = store.recover(clock_.wall()); !back) {
    return world_.violated("the running jobs cannot be recovered");
  }
  history_.token(store.next_token());
  Result<std::vector<Job>> jobs = store.jobs({.limit = 1'000});
  if (!jobs) return world_.violated("the jobs cannot be read");
  for (const Job& job : *jobs) {
    const Entry& entry = history_.entry(number_of(job));
    history_.saw(job, History::over(entry));
    if (!is_final(job.state)) continue;
    attack(store, Claim{job, 0, {}}, history_.highest());
    if (store.cancel(job.id, clock_.wall())) world_.violated("an ended job was cancelled");
  }
  for (int round = 0; round < 2; ++round) {
    Result<std::optional<Claim>> claim = store.claim(clock_.wall());
    if (!claim || !*claim) break;
    history_.token((*claim)->token);
    std::set<Token> old = history_.entry(number_of((*claim)->job)).tokens;
    old.insert((*claim)->token - 1);
    old.insert(history_.highest() == (*claim)->token ? 0 : history_.highest());
    if (last_claim_ > 0) old.insert(last_claim_);
    old.erase((*claim)->token);
    last_claim_ = (*claim)->token;
    const Result<void> leased =
        store.add_lease({{(*claim)->token, "cpu", MiB(1), "m", 0, 0, ""}});
    for (const Token stale : old) attack(store, **claim, stale);
    Result<Job> now = store.job((*claim)->job.id);
    if (!now || now->state != JobState::kRunning || now->attempts != (*claim)->job.attempts ||
        now->device != (*claim)->job.device || !now->result_file.empty()) {
      world_.violated("an old token has changed a job");
    }
    Result<std::vector<LeaseRow>> rows = store.leases();
    if (!leased || !rows || rows->size() != leases->size() + 1) {
      world_.violated("an old token has changed a lease");
    }
    (void)store.remove_lease((*claim)->token);
    if (Result<void> back = store.unclaim((*claim)->job.id, (*claim)->token); !back) {
      world_.violated("a claim cannot be given back: " + back.error().message);
    }
  }
}

}  // namespace gantry::sim
