// What would do: the same models placed otherwise, something given up, another card. Every answer
// is a plan of its own, checked by verify().
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace gantry {

// From what costs nothing to what costs money; the first three leave every answer as it is.
enum class AnswerKind { kWhole, kPlace, kTurn, kCache, kQuantisation, kModel, kCard };
std::string_view answer_kind_name(AnswerKind kind);  // "whole", "place", "turn", ...

struct Answer {
  AnswerKind kind = AnswerKind::kWhole;
  std::string change;             // "whisper:large-v3 on the CPU"
  std::string machine;            // id of the one it is planned for
  Demand demand;                  // as changed
  Plan plan;
  std::optional<double> seconds;  // predicted for one use of each model; absent: not known
};

struct Advice {
  std::vector<std::string> models;  // as wished
  std::string machine;              // for a person
  Plan wished;                      // all of them whole on the accelerators at once, fitting or not
  std::vector<Answer> answers;      // same answers by time, then what gives up least
};

// Wishes that are named as the catalogue names models may also be exchanged for smaller ones.
// Errors of plan(); no answer at all is an Advice without answers.
[[nodiscard]] Result<Advice> advise(const Machine& machine, const Demand& demand);

// Predicted seconds of one use of each model as `demand` weighs them, loading those that take
// turns. Absent where a prediction is missing.
std::optional<double> seconds_of(const Plan& plan, const Demand& demand);

nlohmann::json advice_json(const Advice& advice);
std::string advice_text(const Advice& advice);

}  // namespace gantry
