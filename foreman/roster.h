// Which models there are and what each needs: configuration, the files' facts, the plan.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/sync.h"
#include "config/config.h"
#include "foreman/card_probe.h"
#include "foreman/engine_answers.h"
#include "foreman/scheduler.h"
#include "plan/plan.h"

namespace gantry {

// What all workers together may hold on this machine: the configured budget, else 80 % of what is
// usable now; accelerators likewise with the budget for them, else what is free.
Shares budgets_of(const Machine& machine, const Config& config);

struct RosterOptions {
  Os* os = nullptr;
  const Config* config = nullptr;    // outlives the roster
  const Machine* machine = nullptr;  // likewise
  Store* store = nullptr;  // measurements that correct the plans; none: as predicted
  CardReader cards;
  const Clock* clock = nullptr;  // with a store
  EngineAnswers* engine = nullptr;  // says bytes of placements; none: the formulas alone
};

// Thread-safe. Files are read when a model is first asked for, and again when they have changed.
class Roster {
 public:
  explicit Roster(RosterOptions options);

  // A name or alias; with `trusted` an absolute path too, and NAME#WAY for a model that goes a way
  // of its own: "m#extreme", "m#off", "m#8" stream so, "m#device=gpu0" computes there alone,
  // "m#shortage=wait,cpu" has these words; one may follow another. kNotFound; kDoesNotFit with
  // the smallest fix as remedy; whatever reading the file gave.
  // Into `rooms` instead of the budgets, where memory is short just now.
  [[nodiscard]] Result<Loadable> find(const std::string& name, bool trusted,
                                      const Shares* rooms = nullptr);
  // As it is configured, with the name that find() gives it. kNotFound; kUsage: no such way.
  [[nodiscard]] Result<ModelConfig> resolve(const std::string& name, bool trusted) const;
  // What a plan of it starts from: its file's facts and its settings.
  [[nodiscard]] Result<Wish> wish(const std::string& name, bool trusted);
  // plan() with the engine's own bytes where its models are files that it can be asked about; the
  // demand is left with what was said.
  [[nodiscard]] Result<Plan> plan_with_engine(const Machine& machine, Demand* demand) const;
  // A media decoder's bytes.
  [[nodiscard]] Result<Placement> media(MediaTool tool);
  static const char* media_name(MediaTool tool);  // what its measurements are kept under
  // The configured models, with what is known of them without reading anything.
  std::vector<ModelStatus> models();
  // The name that find() would give its Loadable; `name` itself when it is not known.
  std::string canonical(const std::string& name) const;

 private:
  struct Known {
    std::string identity;  // of the files that the cards were read from
    Cards cards;
  };

  [[nodiscard]] Result<ModelConfig> resolve_plain(const std::string& name, bool trusted) const;
  [[nodiscard]] Result<std::string> identity(const ModelConfig& model) const;
  [[nodiscard]] Result<Cards> cards(const ModelConfig& model, const std::string& identity);
  [[nodiscard]] Result<Wish> wish(const ModelConfig& model, const std::string& identity);
  [[nodiscard]] Result<Placement> place(const Wish& wish, const Shares* rooms) const;
  struct Corrected {
    Placement placement;
    std::string fingerprint;  // with what the placement makes of it
    Bytes added;              // to the host's bytes, by what was measured
  };
  [[nodiscard]] Result<Corrected> place_as_measured(const Wish& wish, std::string fingerprint,
                                                    const Shares* rooms);
  [[nodiscard]] Result<Placement> place_command(Wish wish, const Learnt& learnt,
                                                const Shares* rooms) const;
  [[nodiscard]] Result<std::optional<Learnt>> learnt(const std::string& fingerprint) const;
  [[nodiscard]] Result<void> add_companions(const ModelConfig& model, Wish* wish);
  bool by_openvino(const ModelConfig& model, const Wish& wish) const;
  [[nodiscard]] Result<Wish> with_alternatives(const ModelConfig& model, Wish wish);
  [[nodiscard]] Result<std::vector<Need>> ask_engine(const Wish& wish,
                                                     const Placement& placement) const;
  Loadable loadable(const ModelConfig& model, const Wish& wish, Placement placement) const;

  RosterOptions options_;
  Demand demand_;  // the budgets, without wishes
  Mutex mutex_;
  std::map<std::string, Known> known_;         // by model name
  std::map<std::string, ModelStatus> planned_;  // likewise
};

}  // namespace gantry
