// The job table: what was accepted, what runs under which token, what came out. Every change is
// synced when its call returns; calls at the same time share a commit. Thread-safe; one connection.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/sync.h"
#include "foreman/client.h"
#include "foreman/records.h"

namespace gantry {

class Database;

struct StoreOptions {
  int64_t pages_max = 0;  // see DatabaseOptions
  // Called around every durable step with its name: tests kill the process there.
  std::function<void(std::string_view step)> on_step;
  WallTime now{};   // for the epoch
  Token above = 0;  // a token that the epoch shall be above, too
};

class Store {
 public:
  struct Held;  // a job row about to change: store_held.h
  // Opens or makes `path`, and raises the token epoch.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(const std::string& path,
                                                           StoreOptions options);
  ~Store();

  // The id of the stored job: an older one's where the idempotency key is known. kBusy with
  // kJobsUnfinishedMax jobs in line, kNotFound or kConflict for a dependency that cannot be met.
  [[nodiscard]] Result<std::string> add(const std::string& id, const JobSpec& spec,
                                        const std::vector<FileIdentity>& files, WallTime now);
  [[nodiscard]] Result<Job> job(const std::string& id);
  [[nodiscard]] Result<std::vector<Job>> jobs(const JobQuery& query);
  [[nodiscard]] Result<JobTally> tally();

  // The next in line (priority, then order of submission), now running; nothing when none can run.
  [[nodiscard]] Result<std::optional<Claim>> claim(WallTime now);
  // When the next waiting job can run, or one in line passes its deadline.
  [[nodiscard]] Result<std::optional<WallTime>> next_due();
  // A part of the job that runs under this token, made where there is none of that name and
  // parameters. One that is done comes as it is; one that ended otherwise is its error.
  [[nodiscard]] Result<Claim> claim_part(const std::string& whole, Token token, const Job& part,
                                         WallTime now);
  // These change a job only while it runs under this very token; else kConflict.
  [[nodiscard]] Result<void> set_device(const std::string& id, Token token,
                                        const std::string& device, const std::string& answered);
  [[nodiscard]] Result<void> add_checkpoint(const std::string& id, Token token,
                                            const Checkpoint& checkpoint);
  [[nodiscard]] Result<void> finish(const std::string& id, Token token,
                                    const std::string& result_file, const std::string& sha256,
                                    WallTime now);
  [[nodiscard]] Result<void> fail_job(const std::string& id, Token token, const Error& error,
                                      WallTime now);
  // Back in line after an attempt that failed; after kJobAttemptsMax in a row without progress it
  // is failed, or quarantined where workers died of it. `evidence` (JSON) is kept. What it is now.
  [[nodiscard]] Result<JobState> retry(const std::string& id, Token token, const Error& error,
                                       const std::string& evidence, WallTime now);
  // Back in line as if it had not been claimed: the daemon is stopping.
  [[nodiscard]] Result<void> unclaim(const std::string& id, Token token);

  // The user's word: the job as it is, or the state it was in; kConflict where it leads nowhere.
  [[nodiscard]] Result<Job> cancel(const std::string& id, WallTime now);
  [[nodiscard]] Result<JobState> pause(const std::string& id);
  [[nodiscard]] Result<JobState> resume(const std::string& id, WallTime now);
  [[nodiscard]] Result<JobState> revive(const std::string& id, WallTime now);  // once more

  [[nodiscard]] Result<std::vector<Checkpoint>> checkpoints(const std::string& id);
  // After a crash: running jobs go back in line, or fail after kJobLostMax in a row without
  // progress. What became of them.
  [[nodiscard]] Result<std::vector<Job>> recover(WallTime now);
  [[nodiscard]] Result<std::vector<Job>> unswept();  // ended; the folder may hold more
  [[nodiscard]] Result<void> mark_swept(const std::string& id);
  // At most `limit` jobs leave the table, with their keys; `dry`: they only would. Folders are
  // the caller's to remove, then to have forgotten: until then unremoved() names them.
  [[nodiscard]] Result<std::vector<Pruned>> prune(const PruneRule& rule, uint32_t limit, bool dry);
  [[nodiscard]] Result<std::vector<std::string>> unremoved();
  [[nodiscard]] Result<void> forget_removed(const std::vector<std::string>& ids);
  [[nodiscard]] Result<bool> needs_input(const std::string& sha256);  // by a job that is not done

  Token next_token() { return epoch_ << 32 | ++tokens_; }
  [[nodiscard]] Result<void> add_lease(const std::vector<LeaseRow>& rows);
  [[nodiscard]] Result<void> remove_lease(Token token);
  // Heartbeat and deadline of those that are there still.
  [[nodiscard]] Result<void> renew_leases(const std::vector<LeaseRow>& rows);
  [[nodiscard]] Result<std::vector<LeaseRow>> leases();

  // The history of loads, kLoadsKept of one model and kLoadsKeptAll in all. An id for update_load.
  [[nodiscard]] Result<int64_t> add_load(const LoadSeen& load);
  [[nodiscard]] Result<void> update_load(const LoadSeen& load);
  enum class LoadsOf { kAll, kModel, kFingerprint, kLastOfEach };
  [[nodiscard]] Result<std::vector<LoadSeen>> loads(LoadsOf which, const std::string& name,
                                                    uint32_t limit);  // newest first

  // One more use: `alone`, nothing else of ours was at work meanwhile; where something was, it
  // counts only as long as nothing better is known. At most kPacesKept are kept, the newest.
  [[nodiscard]] Result<void> add_pace(const HeardPace& use, bool alone);
  [[nodiscard]] Result<std::optional<HeardPace>> pace(const std::string& fingerprint,
                                                 const std::string& device);
  // The user's word on models that are one of several; an empty mode takes it back.
  [[nodiscard]] Result<void> set_mode(const std::string& model, std::string_view mode);
  [[nodiscard]] Result<std::map<std::string, std::string>> modes();

  // A sound copy of the database as it is now, in a new file.
  [[nodiscard]] Result<void> copy_to(const std::string& path);

 private:
  struct Order;
  Store(std::unique_ptr<Database> database, StoreOptions options);
  [[nodiscard]] Result<void> raise_epoch();
  // Runs `body` in a transaction that is committed and synced when this returns no error. Bodies of
  // several callers share a transaction; one that fails takes back its own changes only.
  [[nodiscard]] Result<void> write(std::string_view step, const std::string& doing,
                                   const std::function<Result<void>()>& body);
  void commit(const std::vector<Order*>& batch);
  [[nodiscard]] Result<JobTally> count_locked();

  // Inside a body, which may run twice:
  [[nodiscard]] Result<void> insert(const std::string& id, const JobSpec& spec,
                                    const std::vector<FileIdentity>& files, WallTime now);
  [[nodiscard]] Result<void> add_needs(int64_t seq, const std::vector<std::string>& ids);
  [[nodiscard]] Result<void> count_blockers(int64_t seq);
  [[nodiscard]] Result<void> promote(WallTime now);
  [[nodiscard]] Result<void> end_late(WallTime now);
  [[nodiscard]] Result<Job> row_of(const std::string& id);
  [[nodiscard]] Result<Held> hold(const std::string& id, std::optional<Token> token, JobState to);
  [[nodiscard]] Result<void> move(const Held& held, JobState to, std::string_view also);
  [[nodiscard]] Result<void> end(const Held& held, JobState to, const Error* error, WallTime now);
  [[nodiscard]] Result<void> end_alone(const Held& held, JobState to, const Error* error,
                                       WallTime now);
  [[nodiscard]] Result<void> end_parts(int64_t seq, WallTime now);
  [[nodiscard]] Result<std::optional<Held>> next_dependent(const Held& held);
  [[nodiscard]] Result<std::vector<std::pair<int64_t, Pruned>>> prunable(const PruneRule& rule,
                                                                         uint32_t limit);
  [[nodiscard]] Result<void> remove_rows(int64_t seq, const std::string& id);
  [[nodiscard]] Result<JobState> retry_held(const Held& held, const Error& error,
                                            bool daemon_ended, WallTime now);

  Mutex mutex_;  // the database
  std::unique_ptr<Database> database_;
  StoreOptions options_;
  Token epoch_ = 0;
  std::atomic<Token> tokens_{0};  // given in this epoch

  Mutex orders_mutex_;
  CondVar ordered_;
  std::vector<Order*> orders_;  // waiting for the next transaction
  bool committing_ = false;
};

}  // namespace gantry
