// Advice as a table for a person, and as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "plan/advise.h"
#include "plan/need.h"

namespace gantry {

namespace {

using nlohmann::json;

std::string seconds_text(const std::optional<double>& seconds) {
  if (!seconds) return "-";
  return fmt::format("{:.{}f} s", *seconds, *seconds < 100 ? 1 : 0);
}

std::string speed_text(const Speed& speed) {
  const auto rate = [](double value, const char* unit) {
    return fmt::format("{:.{}f} {}", value, value < 10 ? 1 : 0, unit);
  };
  if (speed.decode) return rate(*speed.decode, "t/s");
  if (speed.real_time && *speed.real_time > 0) return rate(1 / *speed.real_time, "x");
  if (speed.prefill) return rate(*speed.prefill, "t/s");
  return "-";
}

// "10.9 of 15.5 GiB, 70 %" for each accelerator in use; host memory where there is none.
std::string memory_text(const Plan& plan) {
  std::string out;
  for (const DeviceShare& share : plan.devices) {
    if (share.name == kHost && !out.empty()) continue;
    const Bytes used = plan.together ? share.total : share.peak;
    if (used.n == 0 || share.budget.n == 0) continue;
    const double gib = static_cast<double>(GiB(1).n);
    const double part = static_cast<double>(used.n) / static_cast<double>(share.budget.n);
    out += fmt::format("{}{} {:.1f} of {:.1f} GiB ({:.0f} %)", out.empty() ? "" : ", ", share.name,
                       static_cast<double>(used.n) / gib,
                       static_cast<double>(share.budget.n) / gib, 100 * part);
  }
  return out;
}

const char* heading(AnswerKind kind) {
  if (kind <= AnswerKind::kTurn) return "With the same answers";
  return kind == AnswerKind::kCard ? "With another card" : "With answers that differ";
}

// Columns, as wide as their widest cell; the first to the left, the others to the right.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size() && row.size() > 1; ++i) {
      widths[i] = std::max(widths[i], row[i].size());
    }
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i < 2 ? fmt::format("{:<{}}  ", row[i], row.size() > 1 ? widths[i] : 0)
                    : fmt::format("{:>{}}  ", row[i], widths[i]);
    }
    line.resize(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string verdict(const Advice& advice) {
  if (advice.answers.empty()) {
    return "Nothing known here does: use smaller models, or a machine with more memory.\n";
  }
  const Answer& best = advice.answers.front();
  if (best.kind == AnswerKind::kWhole) return "This machine suffices as it is.\n";
  const char* suffices = best.kind == AnswerKind::kCard ? "does not suffice" : "suffices";
  return fmt::format("This machine {}: {}.\n", suffices, best.change);
}

}  // namespace

std::string_view answer_kind_name(AnswerKind kind) {
  constexpr std::array<std::string_view, 7> kNames = {"whole",        "place", "turn", "cache",
                                                      "quantisation", "model", "card"};
  return kNames[static_cast<size_t>(kind)];
}

nlohmann::json advice_json(const Advice& advice) {
  json answers = json::array();
  for (const Answer& answer : advice.answers) {
    answers.push_back({{"kind", std::string(answer_kind_name(answer.kind))},
                       {"change", answer.change},
                       {"machine", answer.machine},
                       {"seconds", answer.seconds ? json(*answer.seconds) : json(nullptr)},
                       {"plan", plan_json(answer.plan)}});
  }
  return {{"models", advice.models},
          {"machine", advice.machine},
          {"suffices", !advice.answers.empty() &&
                           advice.answers.front().kind != AnswerKind::kCard},
          {"wished", plan_json(advice.wished)},
          {"answers", answers}};
}

std::string advice_text(const Advice& advice) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> head = {"", "memory", "a round"};
  for (const std::string& name : advice.models) head.push_back(name);
  rows.push_back(std::move(head));
  const char* last = nullptr;
  for (const Answer& answer : advice.answers) {
    const char* now = heading(answer.kind);
    if (last == nullptr || std::string_view(last) != now) rows.push_back({now});
    last = now;
    std::vector<std::string> row = {"  " + answer.change, memory_text(answer.plan),
                                    seconds_text(answer.seconds)};
    for (const Placement& model : answer.plan.models) row.push_back(speed_text(model.speed));
    rows.push_back(std::move(row));
  }
  std::string out = verdict(advice);
  const bool whole = !advice.answers.empty() &&
                     advice.answers.front().kind == AnswerKind::kWhole;
  if (!whole) {
    out += "All of it whole on the accelerators at once: " + memory_text(advice.wished) + ".\n";
  }
  return advice.answers.empty() ? out : out + "\n" + table(rows);
}

}  // namespace gantry
