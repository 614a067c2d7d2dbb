// Images of weights, and their places in the ring.
#include "stream/layout.h"

#include <algorithm>
#include <numeric>

#include "stream/reader.h"

namespace gantry {
namespace {

// Parts this near to each other are read in one run: the gap costs less than another request.
constexpr uint64_t kGapMax = 64 << 10;
// Sizes tried for a ring, down to 3/4 of what is offered.
constexpr uint64_t kRingTries = 32;
// Pieces looked ahead; more are as good as all.
constexpr size_t kLookaheadMax = 64;

uint64_t down(uint64_t n, uint64_t to) { return n - n % to; }
uint64_t up(uint64_t n, uint64_t to) { return down(n + to - 1, to); }

std::vector<size_t> by_file_offset(const std::vector<Part>& parts) {
  std::vector<size_t> order(parts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const auto& x = parts[a].source;
    const auto& y = parts[b].source;
    return x.file != y.file ? x.file < y.file : x.offset < y.offset;
  });
  return order;
}

// Appends the part to the last run where it is near, else starts a run. Returns the run's index.
size_t join_run(std::vector<Run>& runs, const Part& part) {
  const uint64_t start = part.source.offset;
  const uint64_t end = start + part.bytes;
  if (!runs.empty()) {
    Run& last = runs.back();
    if (last.file == part.source.file && start <= last.offset + last.needed + kGapMax) {
      last.needed = std::max(last.needed, end - last.offset);
      last.bytes = up(last.needed, kReadAlign);
      return runs.size() - 1;
    }
  }
  const uint64_t offset = down(start, kReadAlign);
  runs.push_back({part.source.file, offset, up(end - offset, kReadAlign), end - offset, 0});
  return runs.size() - 1;
}

RingPlan lay_ring(const std::vector<uint64_t>& sizes, uint64_t bytes) {
  RingPlan plan;
  plan.bytes = bytes;
  uint64_t at = 0;
  for (const uint64_t size : sizes) {
    if (at + size > bytes) at = 0;
    plan.at.push_back(at);
    at += size;
  }
  return plan;
}

bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

}  // namespace

Image lay_direct(const std::vector<Part>& parts) {
  Image image;
  image.at.resize(parts.size());
  std::vector<size_t> run_of(parts.size());
  for (const size_t i : by_file_offset(parts)) {
    if (parts[i].source.file >= 0) {
      run_of[i] = join_run(image.runs, parts[i]);
    }
  }
  for (Run& run : image.runs) {
    run.at = image.bytes;
    image.bytes += run.bytes;
  }
  for (size_t i = 0; i < parts.size(); i++) {
    if (parts[i].source.file >= 0) {
      const Run& run = image.runs[run_of[i]];
      image.at[i] = run.at + parts[i].source.offset - run.offset;
    } else {
      image.at[i] = image.bytes;
      image.bytes += up(parts[i].space, kReadAlign);
    }
  }
  // A device may want more behind the last part than the file has.
  for (size_t i = 0; i < parts.size(); i++) {
    image.bytes = std::max(image.bytes, up(image.at[i] + parts[i].space, kReadAlign));
  }
  return image;
}

Image lay_staged(const std::vector<Part>& parts, uint64_t alignment) {
  Image image;
  for (const Part& part : parts) {
    image.at.push_back(image.bytes);
    image.bytes = up(image.bytes + part.space, alignment);
  }
  for (const size_t i : by_file_offset(parts)) {
    if (parts[i].source.file >= 0) join_run(image.runs, parts[i]);
  }
  return image;
}

uint64_t lookahead(const std::vector<uint64_t>& sizes, const RingPlan& plan, size_t used) {
  uint64_t ahead = 0;
  for (size_t step = 1; step < std::min(sizes.size(), kLookaheadMax); step++) {
    const size_t next = (used + step) % sizes.size();
    // Free is what overlaps neither the piece in use nor one that was loaded ahead of it.
    for (size_t other = 0; other < step; other++) {
      const size_t held = (used + other) % sizes.size();
      if (overlap(plan.at[next], sizes[next], plan.at[held], sizes[held])) return ahead;
    }
    ahead += sizes[next];
  }
  return ahead;
}

RingPlan plan_ring(const std::vector<uint64_t>& sizes, uint64_t most) {
  if (sizes.empty()) return {};
  const uint64_t largest = *std::max_element(sizes.begin(), sizes.end());
  if (largest > most) return {};
  RingPlan best;
  uint64_t best_ahead = 0;
  for (uint64_t i = 0; i < kRingTries; i++) {
    const uint64_t bytes = down(most - most / 4 * i / kRingTries, kReadAlign);
    if (bytes < largest) break;
    RingPlan plan = lay_ring(sizes, bytes);
    uint64_t worst = UINT64_MAX;
    for (size_t used = 0; used < sizes.size(); used++) {
      worst = std::min(worst, lookahead(sizes, plan, used));
    }
    if (best.bytes == 0 || worst > best_ahead) {
      best = std::move(plan);
      best_ahead = worst;
    }
  }
  if (best.bytes == 0) best = lay_ring(sizes, largest);
  return best;
}

}  // namespace gantry
