// Jobs of the simulation: steps with checkpoints, in sessions of models, as their parameters say.
// It tells the history what it does and compares what it is given.
#pragma once

#include "foreman/client.h"
#include "lab/sim/history.h"

namespace gantry::sim {

class SimExecutor final : public Executor {
 public:
  SimExecutor(Fibers& fibers, World& world, History& history)
      : fibers_(fibers), world_(world), history_(history) {}
  [[nodiscard]] Result<void> check(const JobSpec& spec) const override;
  [[nodiscard]] Result<std::string> run(JobContext& context) override;

 private:
  [[nodiscard]] Result<std::string> steps(JobContext& context);
  [[nodiscard]] Result<void> work(JobContext& context, const std::string& model, int ms);

  Fibers& fibers_;
  World& world_;
  History& history_;
};

// Uses a session for so long, and is counted among its worker's users meanwhile.
[[nodiscard]] Result<void> use_session(World& world, Session& session, Millis time,
                                       const http::Cancel& cancel,
                                       const std::function<void()>& meanwhile);

}  // namespace gantry::sim
