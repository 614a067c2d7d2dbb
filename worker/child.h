// A worker's process together with its log: how it is started, watched, explained and ended.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/os.h"
#include "worker/worker.h"

namespace gantry {

// What every worker gets: below-normal priority, compute on the performance cores, an environment
// without secrets, its output in the model's log. The caller adds argv.
ProcessSpec worker_process(const WorkerContext& context, std::string_view model);

// Threads for compute: the performance cores, and one where nothing is known.
uint32_t compute_threads(const Cpu* cpu);

// The last kErrorLogLines lines that are in the file from byte `from` on, on one line, printable;
// before them the last one that begins with "error" and stands further up: usage may follow it.
std::string log_tail(Os& os, const std::string& path, uint64_t from);

// alive(), stop() and pid() from any thread; process() from one.
class Child {
  struct Private {};  // start() alone makes one

 public:
  Child(Private, Os& os, std::string name, std::string log, uint64_t log_from,
        std::unique_ptr<Process> process);
  // Rotates the log first: a log over kWorkerLogMax becomes the old one.
  [[nodiscard]] static Result<std::unique_ptr<Child>> start(Os& os, const ProcessSpec& spec,
                                                            std::string name);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  Process& process() { return *process_; }  // for its lines
  int pid() const { return process_->pid(); }
  [[nodiscard]] Result<void> alive();
  // kWorkerFailed: what happened, how the process ended if it did, and its last words.
  Error failure(const std::string& what);
  // SIGTERM, then SIGKILL after kWorkerStopMax; the whole group.
  void stop();
  void kill();  // at once

 private:
  std::optional<Exit> wait(Millis timeout);

  Os& os_;
  const std::string name_, log_;
  const uint64_t log_from_;  // where this run begins in the log
  std::unique_ptr<Process> process_;
  std::mutex mutex_;  // around wait()
};

}  // namespace gantry
