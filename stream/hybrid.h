// Sharing a small batch's work between the CPU and the link. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace gantry {

// Batches over this are the device's alone: it computes them faster than the link brings weights.
constexpr uint32_t kHybridBatchMax = 16;

// A token passes every streamed weight once. Each can be copied to the device, or be multiplied by
// the CPU where it rests; both go on at once, so the shares that end together are best. Costs are
// measured as they occur, for each batch size class by itself.
class Balance {
 public:
  void measured_link(uint64_t bytes, uint64_t ns);
  void measured_cpu(uint32_t batch, uint64_t bytes, uint64_t ns);

  // Which pieces the CPU takes; only eligible ones, evenly spread. Until both costs are known, one
  // in eight, to learn them.
  std::vector<bool> on_cpu(uint32_t batch, const std::vector<bool>& eligible) const;

  // The share of the eligible pieces' bytes, 0..1.
  double cpu_share(uint32_t batch) const;

 private:
  static constexpr size_t kClasses = 5;  // batches of 1, 2, 3-4, 5-8, 9-16
  static size_t class_of(uint32_t batch);
  std::optional<double> link_;  // ns a byte
  std::array<std::optional<double>, kClasses> cpu_;
};

}  // namespace gantry
