// One step of a pipeline: a checkpoint if it was done before, else work under a session, told live.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "foreman/client.h"
#include "pipe/heard.h"

namespace gantry {

nlohmann::json step_json(const StepReport& report);

// Collects what each step cost and tells watchers as it happens. One thread.
class Steps {
 public:
  Steps(JobContext& context, Os& os, uint32_t steps_total);

  // Opens a session for `model`, runs `work` in it and reports the step. The session is closed
  // before this returns, so that the next step may use the whole budget.
  [[nodiscard]] Result<void> with_model(const std::string& name, const std::string& model,
                                        const std::function<Result<void>(Session&)>& work);
  // The recording as a wav in the job's folder; decoded once, and again when what lies there is not
  // the size it was (the wav itself is not synced).
  [[nodiscard]] Result<std::string> decoded(const std::string& file);

  // Where somebody speaks in the wav, by this model; kept as a checkpoint.
  [[nodiscard]] Result<std::vector<SpeechSpan>> detected(const std::string& file,
                                                      const std::string& wav,
                                                      const std::string& detector);

  // Speech to segments with live events; kept as checkpoints, part by part (pipe/heard.h).
  [[nodiscard]] Result<std::vector<Segment>> transcribed(const std::string& file,
                                                         const std::string& model);

  void add(const StepReport& report);  // of a step that was carried out elsewhere
  // 0..1 of the step that runs; a note stands behind its name.
  void fraction_of_step(double done, const std::string& note = {});
  const std::vector<StepReport>& reports() const { return reports_; }

 private:
  void begin(const std::string& name, const std::string& model);
  void end(const StepReport& report);
  // What is not heard yet; told live, kept as it comes.
  [[nodiscard]] Result<std::vector<Segment>> hear(Session& session, const Hearing& rest,
                                                  Heard* heard);

  JobContext& context_;
  Os& os_;
  double total_;
  double finished_ = 0;
  std::string current_;
  std::vector<StepReport> reports_;
};

nlohmann::json steps_json(const Steps& steps);

}  // namespace gantry
