// Medians, intervals and ratios of repeated measurements. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace gantry {

// The middle value, or the mean of the middle two; 0 of nothing.
double median(std::vector<double> values);

// A median and the two values around it that hold the true median with at least 95 %
// probability, whatever the distribution (order statistics, as the sign test). With fewer than
// six values no two do: then the whole range, and what it covers.
struct MedianInterval {
  double median = 0, low = 0, high = 0;
  double coverage = 0;  // probability that [low, high] holds the true median
  size_t count = 0;
};
MedianInterval median_interval(std::vector<double> values);

// Of a[i] / b[i], the pairs measured one right after the other; the shorter one tells how many.
// Pairs with a zero are left out.
MedianInterval ratio_interval(std::span<const double> a, std::span<const double> b);

// Share of the time that bytes moved in which nobody waited for them, 0 to 1; 1 when nothing moved.
double overlap_share(double transfer_seconds, double stall_seconds);

}  // namespace gantry
