// The members of a choice, each planned alone.
#include "apps/plan_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace gantry {

namespace {

constexpr Mode kAll[] = {Mode::kAccuracy, Mode::kBalanced, Mode::kSpeed};

Candidate candidate(const Wish& wish, const Plan& plan) {
  Candidate out;
  out.name = wish.name;
  out.fits = plan.fits && !plan.models.empty();
  if (!out.fits) {
    out.trouble = "does not fit";
    return out;
  }
  const Placement& placement = plan.models.front();
  out.factor = placement.speed.real_time;
  out.device = "cpu";
  for (const Need& need : placement.needs) {
    if (need.device != "cpu" && placement.layers.resident > 0) out.device = need.device;
  }
  return out;
}

}  // namespace

std::string ChoicePlan::taken(Mode mode) const {
  const std::vector<size_t> rungs = ladder(members, mode, choice.keep_up, "");
  return rungs.empty() ? "" : members[rungs.front()].name;
}

Result<ChoicePlan> plan_choice(Roster& roster, const ModelConfig& choice, const PlanAlone& alone) {
  ChoicePlan out{choice, {}};
  for (const std::string& member : choice.one_of) {
    Result<Wish> wish = roster.wish(member, true);
    if (!wish) {
      out.members.push_back({.name = member, .trouble = wish.error().message});
      continue;
    }
    const Result<Plan> plan = alone(*wish);
    if (!plan) return fail(plan.error());
    out.members.push_back(candidate(*wish, *plan));
    out.members.back().name = member;
  }
  return out;
}

std::string choice_plan_text(const ChoicePlan& plan) {
  std::string out = fmt::format("\n{} is one of these, {} is configured:\n", plan.choice.name,
                                mode_name(plan.choice.mode));
  for (const Candidate& member : plan.members) {
    out += fmt::format("  {:<28} {:<6} {}\n", member.name,
                       member.device.empty() ? "-" : member.device,
                       member.fits ? factor_text(member) : member.trouble);
  }
  for (const Mode mode : kAll) {
    const std::string taken = plan.taken(mode);
    if (taken.empty()) continue;
    const auto found = std::ranges::find(plan.members, taken, &Candidate::name);
    out += fmt::format("  {} would answer by {}\n", taken,
                       taken_why(*found, mode, plan.choice.keep_up));
  }
  return out;
}

nlohmann::json choice_plan_json(const ChoicePlan& plan) {
  using nlohmann::json;
  const auto text = [](const std::string& name) {
    return name.empty() ? json(nullptr) : json(name);
  };
  json members = json::array(), taken = json::object();
  for (const Candidate& member : plan.members) {
    members.push_back({{"model", member.name},
                       {"device", text(member.device)},
                       {"fits", member.fits},
                       {"real_time_factor", member.factor ? json(*member.factor) : json(nullptr)}});
  }
  for (const Mode mode : kAll) taken[std::string(mode_name(mode))] = text(plan.taken(mode));
  return {{"model", plan.choice.name},
          {"mode", mode_name(plan.choice.mode)},
          {"members", members},
          {"taken", taken}};
}

}  // namespace gantry
