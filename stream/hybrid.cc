// Shares of CPU and link, from what both were measured to cost.
#include "stream/hybrid.h"

#include <algorithm>
#include <bit>

namespace gantry {
namespace {

constexpr double kLearning = 1.0 / 8;   // share of the CPU while its cost is unknown
constexpr double kNewest = 0.2;         // weight of a new measurement
constexpr double kWorthwhile = 1.0 / 32;  // smaller shares are not worth their round trips

void blend(std::optional<double>& cost, uint64_t bytes, uint64_t ns) {
  if (bytes == 0) return;
  const double now = static_cast<double>(ns) / static_cast<double>(bytes);
  cost = cost ? *cost + kNewest * (now - *cost) : now;
}

}  // namespace

size_t Balance::class_of(uint32_t batch) {
  return std::min<size_t>(kClasses - 1, static_cast<size_t>(std::bit_width(batch - 1)));
}

void Balance::measured_link(uint64_t bytes, uint64_t ns) { blend(link_, bytes, ns); }

void Balance::measured_cpu(uint32_t batch, uint64_t bytes, uint64_t ns) {
  if (batch >= 1 && batch <= kHybridBatchMax) blend(cpu_[class_of(batch)], bytes, ns);
}

double Balance::cpu_share(uint32_t batch) const {
  if (batch < 1 || batch > kHybridBatchMax) return 0;
  const auto& cpu = cpu_[class_of(batch)];
  if (!link_ || !cpu) return kLearning;
  // bytes_cpu * cpu = bytes_link * link: both end together.
  const double share = *link_ + *cpu <= 0 ? 0 : *link_ / (*link_ + *cpu);
  return share < kWorthwhile ? 0 : share;
}

std::vector<bool> Balance::on_cpu(uint32_t batch, const std::vector<bool>& eligible) const {
  const double share = cpu_share(batch);
  std::vector<bool> out(eligible.size(), false);
  double owed = share / 2;
  for (size_t i = 0; i < eligible.size(); i++) {
    if (!eligible[i]) continue;
    owed += share;
    if (owed < 1) continue;
    owed -= 1;
    out[i] = true;
  }
  return out;
}

}  // namespace gantry
