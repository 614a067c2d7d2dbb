// The job table: what was accepted, what is running under which token, what came out. Every call
// that changes something returns after its commit is synced. Thread-safe: one mutex, one
// connection.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "foreman/client.h"

namespace gantry {

class Database;

// Rises for ever, over restarts too: epoch << 32 | count. Who shows an older one is fenced off.
using Token = int64_t;

struct FileIdentity {
  std::string path;
  Bytes size;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

struct Claim {
  Job job;
  Token token = 0;
  std::vector<FileIdentity> files;  // as they were at submit
};

struct Checkpoint {
  std::string step;
  std::string file;  // name inside the job's folder
  std::string sha256;
};

struct LeaseRow {
  Token token = 0;
  std::string device;
  Bytes bytes;
  std::string model;
  int pid = 0;  // 0: not started yet
  uint64_t start_ticks = 0;
  std::string boot_id;
};

struct StoreOptions {
  int64_t pages_max = 0;  // see DatabaseOptions
  // Called around every durable step with its name: tests kill the process there.
  std::function<void(std::string_view step)> on_step;
};

class Store {
 public:
  // Opens or makes `path`, and raises the token epoch.
  [[nodiscard]] static Result<std::unique_ptr<Store>> open(const std::string& path,
                                                           StoreOptions options);
  ~Store();

  // The id of the stored job: an older one's where the idempotency key is known. kBusy with
  // kJobsUnfinishedMax jobs in line.
  [[nodiscard]] Result<std::string> add(const std::string& id, const JobSpec& spec,
                                        const std::vector<FileIdentity>& files, WallTime now);
  [[nodiscard]] Result<Job> job(const std::string& id);
  [[nodiscard]] Result<std::vector<Job>> jobs(uint32_t limit);  // newest first
  uint64_t unfinished();                                        // queued and running

  // The next in line (priority, then order of submission), now running; nothing when none waits.
  [[nodiscard]] Result<std::optional<Claim>> claim(WallTime now);
  // These change a job only while it runs under this very token; else kConflict.
  [[nodiscard]] Result<void> set_device(const std::string& id, Token token,
                                        const std::string& device);
  [[nodiscard]] Result<void> add_checkpoint(const std::string& id, Token token,
                                            const Checkpoint& checkpoint);
  [[nodiscard]] Result<void> finish(const std::string& id, Token token,
                                    const std::string& result_file, const std::string& sha256,
                                    WallTime now);
  [[nodiscard]] Result<void> fail_job(const std::string& id, Token token, const Error& error,
                                      WallTime now);
  // Back in line after an attempt that its worker or daemon did not survive, or failed with
  // `error` when kJobAttemptsMax attempts in a row made no new checkpoint. Which of the two.
  [[nodiscard]] Result<JobState> retry(const std::string& id, Token token, const Error& error,
                                       WallTime now);
  // Back in line as if it had not been claimed: the daemon is stopping.
  [[nodiscard]] Result<void> unclaim(const std::string& id, Token token);
  // Queued or running, now cancelled; kConflict when it has ended already.
  [[nodiscard]] Result<JobState> cancel(const std::string& id, WallTime now);  // the old state

  [[nodiscard]] Result<std::vector<Checkpoint>> checkpoints(const std::string& id);
  // After a crash: every running job goes back in line, or fails when kJobLostMax attempts in a row
  // ended so without a new checkpoint. What became of them.
  [[nodiscard]] Result<std::vector<Job>> recover(WallTime now);
  // Ended jobs whose folder may still hold more than the result.
  [[nodiscard]] Result<std::vector<Job>> unswept();
  [[nodiscard]] Result<void> mark_swept(const std::string& id);

  Token next_token();
  [[nodiscard]] Result<void> add_lease(const std::vector<LeaseRow>& rows);
  [[nodiscard]] Result<void> bind_lease(Token token, int pid, uint64_t start_ticks,
                                        const std::string& boot_id);
  [[nodiscard]] Result<void> remove_lease(Token token);
  [[nodiscard]] Result<std::vector<LeaseRow>> leases();

  // The history of loads, kLoadsKept of one model and kLoadsKeptAll in all. An id for update_load.
  [[nodiscard]] Result<int64_t> add_load(const LoadSeen& load);
  [[nodiscard]] Result<void> update_load(const LoadSeen& load);
  enum class LoadsOf { kAll, kModel, kFingerprint, kLastOfEach };
  [[nodiscard]] Result<std::vector<LoadSeen>> loads(LoadsOf which, const std::string& name,
                                                    uint32_t limit);  // newest first

 private:
  Store(std::unique_ptr<Database> database, StoreOptions options);
  struct Held;  // a job row under the lock
  [[nodiscard]] Result<void> raise_epoch();
  [[nodiscard]] Result<Held> hold(const std::string& id, std::optional<Token> token, JobState to);
  [[nodiscard]] Result<void> end(const Held& held, JobState to, const Error* error, WallTime now);
  [[nodiscard]] Result<JobState> retry_held(const Held& held, const Error& error,
                                            bool daemon_ended, WallTime now);
  [[nodiscard]] Result<void> write(std::string_view step, const std::string& doing,
                                   const std::function<Result<void>()>& body);

  std::mutex mutex_;
  std::unique_ptr<Database> database_;
  StoreOptions options_;
  Token epoch_ = 0;
  Token tokens_ = 0;  // given in this epoch
  uint64_t unfinished_ = 0;
};

}  // namespace gantry
