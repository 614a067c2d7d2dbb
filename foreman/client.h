// The foreman's door: what pipelines and the server see of it. Thread-safe; calls block.
//
// Interactive work opens a Session (a lease on a loaded model); durable work is a Job, which an
// executor carries out by opening Sessions. Both wait in one line for the same bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "foreman/device_lease.h"
#include "foreman/history.h"
#include "foreman/job.h"
#include "foreman/status.h"
#include "worker/worker.h"

namespace gantry {

// What a step cost, predicted and seen: shown live, kept for the plan's correction.
struct StepReport {
  std::string name;    // "transcribe recording.wav"
  std::string model;
  std::string device;
  Bytes predicted;     // the ledger's figure while it was loaded
  Bytes measured;      // peak PSS of its worker
  double load_s = 0;
  double run_s = 0;
  std::vector<EncoderChange> encoder_changes = {};  // of a speech model
  std::string why = {};  // why it is this model, see Session
};

// A lease on one loaded model. Releases it when destroyed.
class Session {
 public:
  virtual ~Session() = default;
  virtual const std::string& model() const = 0;
  virtual const std::string& device() const = 0;
  virtual Worker& worker() = 0;
  virtual Bytes predicted() const = 0;
  virtual Bytes measured() const = 0;  // peak PSS so far
  virtual double load_s() const = 0;   // 0 when it was loaded already
  // Why this model, where it is not the one that was asked for: a relay's, or one of several.
  virtual std::string why() const { return {}; }
  // So many tokens of one sequence took so long: kept beside the prediction.
  virtual void decoded(uint64_t tokens, double seconds) = 0;
  // So much sound was heard, and how long that took: kept, and one of several is chosen by it.
  virtual void heard(double sound_s, double seconds) = 0;
};

class ForemanClient;
// What an executor is given. Checkpoints make a restart cheap: a step whose result is there is
// not done again.
class JobContext {
 public:
  virtual ~JobContext() = default;
  virtual ForemanClient& foreman() = 0;  // where its steps get their sessions
  virtual const Job& job() const = 0;
  virtual const http::Cancel& cancelled() const = 0;
  virtual std::string dir() const = 0;  // its own, kept until it ends; a kill may tear files in it
  virtual std::optional<std::string> checkpoint(const std::string& step) = 0;
  [[nodiscard]] virtual Result<void> save_checkpoint(const std::string& step,
                                                     std::string_view bytes) = 0;
  // A part that is a job of its own, under this one: `work` makes its result, unless an earlier
  // attempt has for the same `params`, which say what is done. What it fails of is kept with the
  // part, and comes back.
  using Work = std::function<Result<std::string>()>;
  [[nodiscard]] virtual Result<std::string> part(const std::string& name,
                                                 const nlohmann::json& params,
                                                 const Work& work) = 0;
  virtual std::optional<std::string> part_done(const std::string& name,  // its result
                                               const nlohmann::json& params) = 0;
  virtual void progress(double fraction, std::string_view step) = 0;
  virtual void event(const nlohmann::json& event) = 0;  // to `watch`ers; not durable
};

// Turns a job into its result's bytes. One instance per kind, called from several threads.
class Executor {
 public:
  virtual ~Executor() = default;
  [[nodiscard]] virtual Result<void> check(const JobSpec& spec) const = 0;
  [[nodiscard]] virtual Result<std::string> run(JobContext& context) = 0;
};

// Which jobs that have ended are to go with their results; the configuration's rule where neither
// is said. Quarantined ones stay, and those that another job still needs.
struct PruneWish {
  std::optional<Millis> older = {};     // ended longer ago
  std::optional<JobState> state = {};   // done, failed or cancelled
  bool dry = false;                     // only tell which
};

class ForemanClient {
 public:
  virtual ~ForemanClient() = default;

  // Waits in line, loads, and returns a lease. `model` is a known name or alias; with `trusted`
  // also a file path. kNotFound, kDoesNotFit with the fix as remedy, kCancelled, kWorkerFailed.
  // What cannot be had here may be a relay's session (its why() says so), unless `stays`: then
  // nothing of it leaves this machine, and a relay is kPermission. A job's own word counts too.
  [[nodiscard]] virtual Result<std::unique_ptr<Session>> open(const std::string& model,
                                                              const http::Cancel& cancel,
                                                              bool trusted,
                                                              bool stays = false) = 0;
  // A media decoder under a lease of its own: the small one, or ffmpeg for what that cannot read.
  [[nodiscard]] virtual Result<StepReport> decode(const std::string& file, const std::string& wav,
                                                  const http::Cancel& cancel) = 0;
  // The model that finds speech for this one; empty: loudness does.
  virtual std::string detector_of(const std::string&) const { return {}; }
  // Waits in the same line as the models; idle ones leave for it. kDoesNotFit, kNotFound.
  [[nodiscard]] virtual Result<std::unique_ptr<DeviceLease>> lease(const LeaseWish& wish,
                                                                   const http::Cancel& cancel) = 0;
  [[nodiscard]] virtual Result<std::string> submit(const JobSpec& spec) = 0;  // synced
  [[nodiscard]] virtual Result<Job> job(const std::string& id) = 0;
  [[nodiscard]] virtual Result<std::vector<Job>> jobs(const JobQuery& query) = 0;
  [[nodiscard]] virtual Result<JobTally> tally() = 0;
  [[nodiscard]] virtual Result<void> cancel(const std::string& id) = 0;
  // Out of the line, or ended at its last checkpoint, until resumed. kConflict: it has ended.
  [[nodiscard]] virtual Result<void> pause(const std::string& id) = 0;
  [[nodiscard]] virtual Result<void> resume(const std::string& id) = 0;  // kConflict: not paused
  // A failed, cancelled or quarantined job once more. kConflict: it is none of these.
  [[nodiscard]] virtual Result<void> retry(const std::string& id) = 0;
  // The ids, oldest first. kBusy while a backup is made; kUsage: a state that is kept.
  [[nodiscard]] virtual Result<std::vector<std::string>> prune(const PruneWish& wish) = 0;
  // The queue and its files as they are now, into a new folder of this machine.
  [[nodiscard]] virtual Result<void> backup(const std::string& dir) = 0;
  [[nodiscard]] virtual Result<std::string> result(const std::string& id) = 0;  // the bytes
  // Events of a job (JSON lines) as they come, past ones of this run of the daemon first; returns
  // when the job has ended, `gone` is set or on_event returns false.
  [[nodiscard]] virtual Result<void> watch(
      const std::string& id, const http::Cancel& gone,
      const std::function<bool(const std::string& json_line)>& on_event) = 0;
  [[nodiscard]] virtual Result<std::string> log(const std::string& model, Bytes max) = 0;
  virtual std::vector<ModelStatus> models() = 0;  // never loads anything
  virtual std::vector<LedgerStatus> ledger() = 0;
  virtual std::vector<LeaseStatus> leases() = 0;  // of this daemon, then those of others
  // Models that are one of several: who would answer now, and why.
  virtual std::vector<ModeStatus> modes() = 0;
  // For the next sessions, over restarts; nothing: as it is configured. kNotFound: no such model.
  [[nodiscard]] virtual Result<ModeStatus> set_mode(const std::string& model,
                                                    std::optional<Mode> mode) = 0;
  // Predicted and measured, newest first; of all models where `model` is empty.
  [[nodiscard]] virtual Result<std::vector<LoadSeen>> history(const std::string& model,
                                                              uint32_t limit) = 0;
  virtual std::vector<LoadSeen> last_loads() = 0;  // the newest of each model
  [[nodiscard]] virtual Result<void> load(const std::string& model, bool trusted) = 0;
  [[nodiscard]] virtual Result<void> unload(const std::string& model) = 0;
};

}  // namespace gantry
