// Runs the jobs: a few threads that claim, execute, record. A result is written aside, synced and
// renamed by the job's claim, then recorded under its token, so that there is at most one.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/os.h"
#include "base/sync.h"
#include "foreman/client.h"
#include "foreman/events.h"
#include "foreman/inputs.h"
#include "foreman/pruner.h"
#include "foreman/store.h"

namespace gantry {

struct RunnerOptions {
  Os* os = nullptr;
  const Clock* clock = nullptr;
  Log* log = nullptr;
  Store* store = nullptr;
  Inputs* inputs = nullptr;
  Pruner* pruner = nullptr;
  Events* events = nullptr;
  ForemanClient* foreman = nullptr;  // handed to the executors
  const std::map<std::string, std::unique_ptr<Executor>>* executors = nullptr;
  // A folder a job: work/ (its own), steps/ (checkpoints), inputs/ (kept ones, under the names that
  // they were given), result.TOKEN.
  std::string jobs_dir;
  uint32_t threads = 2;
  std::function<std::string()> new_id = {};  // of a part
};

// How input files are told apart from what they were at submit.
[[nodiscard]] Result<FileIdentity> identify(Os& os, const std::string& path);

class Runner {
 public:
  explicit Runner(RunnerOptions options);
  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Cleans what ended jobs left behind, then starts the threads.
  void start();
  void wake();  // there may be a job to claim
  // After the store has cancelled or paused it: its executor is told to end. Waits for nothing.
  void cancelled(const Job& job);
  void paused(const std::string& id);
  void fill_in(Job* job);  // progress and step of a running one
  uint32_t running();

  // A job's sessions are told from others by the cancel flag they pass. Which device it uses is
  // recorded; its priority, 0 for what is no job.
  int priority_of(const http::Cancel& cancel);
  bool is_job(const http::Cancel& cancel);
  // The job's words on where its models compute and what to do when they do not fit, as the roster
  // wants them behind a model's name: "#device=gpu0", "#shortage=wait,cpu". Empty for none.
  struct Ways {
    std::string device, shortage;
    bool stays = false;  // nothing of it leaves this machine
  };
  Ways ways_of(const http::Cancel& cancel);
  // Whose session a job has been lent, where, and why: kept with the job.
  void answered_by(const http::Cancel& cancel, const Session& session);
  void tell_all(const std::string& event);  // to watchers of all running jobs

  // Takes no more jobs and tells the running ones to end; they go back in line.
  void begin_stop();
  void finish_stop();  // waits for the threads

 private:
  class Active;
  void work();
  void run_one(Claim claim);
  [[nodiscard]] Result<Job> look(const std::string& id);
  void leave(const Job& job);
  [[nodiscard]] Result<std::string> run_part(Active& whole, const std::string& name,
                                             const std::string& params,
                                             const JobContext::Work& work);
  [[nodiscard]] Result<std::string> kept_result(const Job& job);
  [[nodiscard]] Result<std::string> execute(Active& active);
  [[nodiscard]] Result<void> prepare(const Claim& claim);
  [[nodiscard]] Result<void> prepare_inputs(const Claim& claim);
  [[nodiscard]] Result<void> record(Active& active, const Result<std::string>& outcome);
  [[nodiscard]] Result<void> record_done(Active& active, const std::string& bytes);
  [[nodiscard]] Result<void> record_failed(Active& active, const Error& error);
  // Until it is recorded, or the job is no longer ours, or we stop.
  void record_for_certain(Active& active, const Result<std::string>& outcome);
  void sweep(const Job& job);
  std::string evidence_of(const Active& active, const Error& error);
  Millis idle_time();
  bool stopping();
  std::string job_dir(const std::string& id) const;

  RunnerOptions options_;
  Mutex mutex_;
  CondVar changed_;
  std::list<Active*> active_;
  std::vector<Thread> threads_;
  uint64_t wakes_ = 0;
  bool stopping_ = false;
};

}  // namespace gantry
