// A job from the command line's side: submitted, watched, and its result fetched; cancelled when
// the user interrupts.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "apps/daemon_link.h"

namespace gantry {

struct JobOrder {
  std::string kind;
  std::string params;              // JSON object
  std::vector<std::string> files;  // absolute
  int priority = 0;
  std::string idempotency_key;
  std::string not_before = {}, deadline = {};  // as format_time writes them; empty: none
  std::vector<std::string> depends_on = {};
  uint32_t attempts_max = 0;
  bool keep = false;  // copies of the files
  std::string device = {};
  std::vector<std::string> shortage = {};
  bool stays = false;  // nothing of it leaves this machine
};

// The new job's id, once it is on disk.
[[nodiscard]] Result<std::string> submit_order(const DaemonLink& link, const JobOrder& order);

// Watches until the job has ended. An interrupt cancels the job and gives kCancelled.
[[nodiscard]] Result<std::string> follow_job(
    const DaemonLink& link, const std::string& id,
    const std::function<void(const nlohmann::json&)>& on_event);

// The Error a failed, cancelled or unfinished job stands for; nothing when it is done.
[[nodiscard]] Result<void> job_outcome(const nlohmann::json& job);

// Shows what happens on stderr: one rewritten line on a terminal, else a line per step. With
// `live`, transcript lines and answers are shown as they come.
class StepDisplay {
 public:
  StepDisplay(bool terminal, bool live) : terminal_(terminal), live_(live) {}
  ~StepDisplay();
  StepDisplay(const StepDisplay&) = delete;
  StepDisplay& operator=(const StepDisplay&) = delete;
  void show(const nlohmann::json& event);

 private:
  void line(const std::string& text);
  void rewrite(const std::string& text);
  const bool terminal_, live_;
  bool open_line_ = false;
};

struct JobResult {
  std::string id, bytes;
};
// Submits an order, shows its progress on stderr, and gives its result.
[[nodiscard]] Result<JobResult> run_order(const DaemonLink& link, const JobOrder& order,
                                          bool live = false);
// A result that must be an object which holds `key`.
[[nodiscard]] Result<nlohmann::json> result_page(const JobResult& result, const char* key);

// The steps of a result as a table: model, device, bytes predicted and measured, seconds.
std::string step_table(const nlohmann::json& steps);

}  // namespace gantry
