// Order statistics.
#include "apps/bench_figures.h"

#include <algorithm>
#include <cmath>

namespace gantry {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

MedianInterval median_interval(std::vector<double> values) {
  MedianInterval out;
  out.count = values.size();
  if (values.empty()) return out;
  std::ranges::sort(values);
  out.median = median(values);
  // The true median lies outside [x_k, x_(n-1-k)] with 2 * P(Binomial(n, 1/2) <= k).
  const size_t n = values.size();
  size_t best = 0;
  double tail = 0, term = std::pow(0.5, static_cast<double>(n));
  out.coverage = std::max(0.0, 1 - 2 * term);
  for (size_t k = 0; k < n / 2; ++k) {
    tail += term;
    if (1 - 2 * tail < 0.95) break;
    best = k;
    out.coverage = 1 - 2 * tail;
    term *= static_cast<double>(n - k) / static_cast<double>(k + 1);
  }
  out.low = values[best];
  out.high = values[n - 1 - best];
  return out;
}

MedianInterval ratio_interval(std::span<const double> a, std::span<const double> b) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (a[i] > 0 && b[i] > 0) ratios.push_back(a[i] / b[i]);
  }
  return median_interval(std::move(ratios));
}

double overlap_share(double transfer_seconds, double stall_seconds) {
  if (transfer_seconds <= 0) return 1;
  return std::clamp(1 - stall_seconds / transfer_seconds, 0.0, 1.0);
}

}  // namespace gantry
