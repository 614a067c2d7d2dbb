// The foreman: durable jobs and lent models behind one door, over one state directory.
//
//   STATE/daemon.lock        held while a daemon runs here
//   STATE/gantry.db          jobs, checkpoints, leases, measurements (SQLite)
//   STATE/jobs/ID/           work/, steps/, inputs/ while the job is unfinished; then result.TOKEN
//   STATE/inputs/SHA256      what jobs were given to keep, until none needs it
//
// Whoever pipes and the server talk to is a ForemanClient; this is the one that does the work.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "audit/machine.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "config/config.h"
#include "foreman/card_probe.h"
#include "foreman/client.h"
#include "foreman/inputs.h"
#include "foreman/live.h"
#include "foreman/scheduler.h"
#include "foreman/store.h"

namespace gantry {

// decode_audio without its machine.
using Decoder = std::function<Result<Millis>(
    MediaTool tool, const std::string& file, const std::string& wav, const http::Cancel& cancel,
    const std::function<Result<void>(int pid)>& gate)>;

struct ForemanOptions {
  std::string state_dir;
  Config config;
  Machine machine;
  WorkerContext worker_context;  // cpu: the machine's when null
  std::map<std::string, std::unique_ptr<Executor>> executors;  // by kind of job
  uint32_t job_threads = 2;
  Log* log = nullptr;  // outlives the foreman; null: silent
  // What tests replace; empty: start_worker, the gantry-worker card probe, decode_audio,
  // this machine as it is now.
  WorkerFactory factory;
  CardReader cards;
  Decoder decoder;
  std::unique_ptr<Live> live;
  StoreOptions store;
};

// Thread-safe. Sessions must be gone before it is destroyed (the destructor waits for them). A job
// passes its context's cancelled() to open() and decode(): by it the foreman knows whose priority
// counts. Whoever holds a session and opens another may wait for itself: hold one at a time.
class Foreman final : public ForemanClient {
 public:
  // Ends what a dead daemon left, puts its running jobs back in line, and begins. kBusy: another
  // daemon has this state directory; kCorrupt, kUnsupported, kPermission, kDiskFull: the database.
  [[nodiscard]] static Result<std::unique_ptr<Foreman>> start(Os& os, const Clock& clock,
                                                              ForemanOptions options);
  ~Foreman() override;

  // Refuses new work, ends sessions and workers, puts running jobs back in line. Twice is fine.
  void stop();
  // No job unfinished, nothing lent, nobody in line: a shared daemon may leave.
  bool idle();

  [[nodiscard]] Result<std::unique_ptr<Session>> open(const std::string& model,
                                                      const http::Cancel& cancel, bool trusted,
                                                      bool stays = false) override;
  std::string detector_of(const std::string& model) const override;
  [[nodiscard]] Result<StepReport> decode(const std::string& file, const std::string& wav,
                                          const http::Cancel& cancel) override;
  [[nodiscard]] Result<std::unique_ptr<DeviceLease>> lease(const LeaseWish& wish,
                                                           const http::Cancel& cancel) override;
  [[nodiscard]] Result<std::string> submit(const JobSpec& spec) override;
  [[nodiscard]] Result<Job> job(const std::string& id) override;
  [[nodiscard]] Result<std::vector<Job>> jobs(const JobQuery& query) override;
  [[nodiscard]] Result<JobTally> tally() override;
  [[nodiscard]] Result<void> cancel(const std::string& id) override;
  [[nodiscard]] Result<void> pause(const std::string& id) override;
  [[nodiscard]] Result<void> resume(const std::string& id) override;
  [[nodiscard]] Result<void> retry(const std::string& id) override;
  [[nodiscard]] Result<std::vector<std::string>> prune(const PruneWish& wish) override;
  [[nodiscard]] Result<void> backup(const std::string& dir) override;
  [[nodiscard]] Result<std::string> result(const std::string& id) override;
  [[nodiscard]] Result<void> watch(
      const std::string& id, const http::Cancel& gone,
      const std::function<bool(const std::string& json_line)>& on_event) override;
  [[nodiscard]] Result<std::string> log(const std::string& model, Bytes max) override;
  std::vector<ModelStatus> models() override;
  std::vector<LedgerStatus> ledger() override;
  std::vector<LeaseStatus> leases() override;
  std::vector<ModeStatus> modes() override;
  [[nodiscard]] Result<ModeStatus> set_mode(const std::string& model,
                                            std::optional<Mode> mode) override;
  [[nodiscard]] Result<std::vector<LoadSeen>> history(const std::string& model,
                                                      uint32_t limit) override;
  std::vector<LoadSeen> last_loads() override;
  [[nodiscard]] Result<void> load(const std::string& model, bool trusted) override;
  [[nodiscard]] Result<void> unload(const std::string& model) override;

 private:
  struct Parts;
  explicit Foreman(std::unique_ptr<Parts> parts);
  [[nodiscard]] Result<void> begin();
  void use_real_parts();  // where the options name no other
  std::vector<Holder> strangers(const std::string& device, const std::vector<SharedLease>& others);
  void join_others();     // of the machine, by the folder of leases
  Shares ceilings(const Shares& budgets, const std::map<std::string, std::string>& identities);
  [[nodiscard]] Result<void> recover();
  [[nodiscard]] Result<void> check(const JobSpec& spec) const;
  [[nodiscard]] Result<void> check_wishes(const JobSpec& spec) const;
  // As the store keeps it; a kept file's copy is there, and stays as long as `pins`.
  [[nodiscard]] Result<std::vector<FileIdentity>> take_files(const JobSpec& spec,
                                                             std::vector<Inputs::Pin>* pins);
  [[nodiscard]] Result<StepReport> decode_with(MediaTool tool, const std::string& file,
                                               const std::string& wav, const http::Cancel& cancel);
  void complete(Job* job) const;  // what the store does not know
  class ProgramLease;

  std::unique_ptr<Parts> parts_;
};

}  // namespace gantry
