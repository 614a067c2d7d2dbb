// Learning from loads.
#include "foreman/history.h"

#include <algorithm>
#include <array>

namespace gantry {

namespace {

constexpr std::array<std::string_view, 4> kEnds = {"loaded", "unloaded", "died", "grew"};
constexpr std::string_view kHost = "cpu";

struct Figure {
  Bytes need, excess;
};

std::optional<Figure> figure_of(const LoadSeen& load, Bytes host_total) {
  const auto host = std::ranges::find(load.bytes, kHost, &LoadBytes::device);
  if (host == load.bytes.end() || !host->measured) return std::nullopt;
  const Bytes seen = *host->measured;
  if (seen == Bytes{} || seen > host_total) return std::nullopt;
  const Bytes uncorrected = host->predicted - load.corrected;
  if (load.end != LoadEnd::kGrew) return Figure{seen, seen - uncorrected};
  return Figure{seen + seen, (seen - uncorrected) + (seen - uncorrected)};
}

}  // namespace

std::string_view load_end_name(LoadEnd end) { return kEnds[static_cast<size_t>(end)]; }

LoadEnd parse_load_end(std::string_view name) {
  const auto found = std::ranges::find(kEnds, name);
  return found == kEnds.end() ? LoadEnd::kLoaded : static_cast<LoadEnd>(found - kEnds.begin());
}

std::optional<double> LoadBytes::error() const {
  if (!measured || predicted == Bytes{}) return std::nullopt;
  return static_cast<double>(measured->n) / static_cast<double>(predicted.n) - 1;
}

Bytes growth_limit(Bytes lease) {
  const Bytes share{static_cast<uint64_t>(static_cast<double>(lease.n) * kGrowthShare)};
  return lease + std::max(share, kGrowthLeast);
}

std::optional<Learnt> learn(std::span<const LoadSeen> newest_first, WallTime now,
                            Bytes host_total) {
  std::vector<Figure> figures;
  uint32_t well = 0;
  for (const LoadSeen& load : newest_first) {
    if (load.end == LoadEnd::kDied || now - load.at > kLoadsLearntAge) continue;
    const bool grew = load.end == LoadEnd::kGrew;
    if (grew && well > 0) continue;
    const std::optional<Figure> figure = figure_of(load, host_total);
    if (!figure) continue;
    figures.push_back(*figure);
    if (load.end == LoadEnd::kUnloaded) ++well;
    if (figures.size() == kLoadsLearnt) break;
  }
  if (figures.empty()) return std::nullopt;
  Learnt learnt;
  learnt.loads = well;
  for (const Figure& figure : figures) {
    learnt.sure_need = std::max(learnt.sure_need, std::min(learnt.need, figure.need));
    learnt.sure_excess = std::max(learnt.sure_excess, std::min(learnt.excess, figure.excess));
    learnt.need = std::max(learnt.need, figure.need);
    learnt.excess = std::max(learnt.excess, figure.excess);
  }
  return learnt;
}

// An eighth: between two requests of the same kind the engines measured differ by less.
Bytes with_margin(Bytes seen) { return seen + std::max(Bytes{seen.n / 8}, kGrowthLeast); }

}  // namespace gantry
