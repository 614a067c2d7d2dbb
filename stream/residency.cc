// Resident or streamed, weight by weight.
#include "stream/residency.h"

#include <algorithm>
#include <numeric>

namespace gantry {
namespace {

constexpr uint64_t kRingWanted = 64ull << 20;
constexpr uint64_t kStagingShare = 16;

struct Sums {
  uint64_t small = 0, dense = 0, experts = 0;  // dense without the small ones
  uint64_t largest = 0;                        // of the dense weights
  uint64_t largest_in_layers = 0;
  uint64_t outside = 0;                        // dense ones that belong to no layer
};

Sums sum_up(const ResidencyAsk& ask) {
  Sums sums;
  sums.largest = sums.largest_in_layers = ask.largest_piece;
  for (const auto& weight : ask.weights) {
    if (weight.expert) {
      sums.experts += weight.bytes;
    } else if (weight.bytes < kSmallWeight) {
      sums.small += weight.bytes;
    } else {
      sums.dense += weight.bytes;
      sums.largest = std::max(sums.largest, weight.bytes);
      if (weight.layer >= ask.layers) {
        sums.outside += weight.bytes;
      } else {
        sums.largest_in_layers = std::max(sums.largest_in_layers, weight.bytes);
      }
    }
  }
  return sums;
}

// Rounded up, as an option takes it.
std::string mebibytes(uint64_t bytes) { return std::to_string((bytes >> 20) + 1) + "MiB"; }

bool take(const WeightFact& weight, Residency& out, size_t i) {
  if (out.resident[i] || weight.expert) return false;
  out.resident[i] = true;
  out.resident_bytes += weight.bytes;
  return true;
}

Residency everything(const ResidencyAsk& ask) {
  Residency out;
  out.resident.assign(ask.weights.size(), true);
  for (const auto& weight : ask.weights) out.resident_bytes += weight.bytes;
  out.whole = true;
  return out;
}

// A ring that lets the disk run ahead, but not one that holds most of what streams: those bytes
// serve better as resident weights. With 2, 3, 3.5 and 4 of the largest weights in it, a disk was
// seen to be busy for 84, 95, 98 and 99 % of a token.
uint64_t ring_for(const ResidencyAsk& ask, uint64_t streamed, uint64_t largest) {
  if (streamed == 0) return 0;
  largest = std::max(largest, ask.largest_piece);
  if (ask.ring != 0) return std::max(ask.ring, largest);
  const uint64_t wanted = std::max(kRingWanted, largest / 2 * 7);
  return std::min(streamed, std::max(2 * largest, std::min({wanted, streamed / 4, ask.room / 4})));
}

uint64_t largest_streamed(const ResidencyAsk& ask, const Residency& out) {
  uint64_t largest = 0;
  for (size_t i = 0; i < ask.weights.size(); i++) {
    if (!out.resident[i] && !ask.weights[i].expert) {
      largest = std::max(largest, ask.weights[i].bytes);
    }
  }
  return largest;
}

uint64_t streamed_bytes(const ResidencyAsk& ask, const Residency& out) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < ask.weights.size(); i++) {
    if (!out.resident[i] && !ask.weights[i].expert) bytes += ask.weights[i].bytes;
  }
  return bytes;
}

// The ring without which nothing can stream.
uint64_t least_ring_for(const ResidencyAsk& ask, const Sums& sums) {
  const uint64_t all = std::min(sums.dense, sums.largest);
  const uint64_t in_layers = sums.outside + std::min(sums.dense, sums.largest_in_layers);
  return ask.layers == 0 ? all : std::min(all, in_layers);
}

uint64_t take_outside(const ResidencyAsk& ask, Residency& out) {
  const uint64_t before = out.resident_bytes;
  for (size_t i = 0; i < ask.weights.size(); i++) {
    if (ask.weights[i].layer >= ask.layers) take(ask.weights[i], out, i);
  }
  return out.resident_bytes - before;
}

Residency by_layers(const ResidencyAsk& ask, const Sums& sums) {
  Residency out;
  out.resident.assign(ask.weights.size(), false);
  const auto order = residency_order(ask.layers, ask.order, *ask.resident_layers);
  std::vector<bool> stays(ask.layers + 1, false);
  stays[ask.layers] = true;
  for (uint32_t i = 0; i < *ask.resident_layers && i < order.size(); i++) stays[order[i]] = true;
  for (size_t i = 0; i < ask.weights.size(); i++) {
    const auto& weight = ask.weights[i];
    if (stays[std::min(weight.layer, ask.layers)] || weight.bytes < kSmallWeight) {
      take(weight, out, i);
    }
  }
  const uint64_t share = ask.layers == 0 ? 0 : sums.experts / ask.layers * *ask.resident_layers;
  out.experts = sums.experts == 0 ? 0 : std::max(ask.experts != 0 ? ask.experts : share,
                                                 ask.experts_least);
  // Layers before ring: that is what was asked for.
  const uint64_t largest = std::max(largest_streamed(ask, out), ask.largest_piece);
  const uint64_t taken = out.resident_bytes + out.experts;
  const uint64_t left = ask.room - std::min(ask.room, taken);
  out.ring = ring_for(ask, streamed_bytes(ask, out), largest_streamed(ask, out));
  if (out.ring > left && left >= largest) out.ring = left;
  return out;
}

// Fills `room` with whole layers, in order, then with whatever weights still fit.
void fill(const ResidencyAsk& ask, uint64_t room, Residency& out) {
  for (size_t i = ask.weights.size(); i > 0; i--) {
    const WeightFact& weight = ask.weights[i - 1];
    if (weight.cache && weight.bytes <= room && take(weight, out, i - 1)) room -= weight.bytes;
  }
  std::vector<uint64_t> missing(ask.layers + 1, 0);
  for (size_t i = 0; i < ask.weights.size(); i++) {
    if (!out.resident[i] && !ask.weights[i].expert) {
      missing[std::min(ask.weights[i].layer, ask.layers)] += ask.weights[i].bytes;
    }
  }
  uint64_t all = std::accumulate(missing.begin(), missing.end(), uint64_t{0});
  const uint64_t mean = std::max<uint64_t>(1, all / (ask.layers + 1));
  const auto wanted = static_cast<uint32_t>(std::min<uint64_t>(ask.layers, room / mean));
  auto order = residency_order(ask.layers, ask.order, wanted);
  order.insert(order.begin(), ask.layers);  // the output is used as often as any layer
  for (const uint32_t layer : order) {
    if (missing[layer] > room) continue;
    room -= missing[layer];
    for (size_t i = 0; i < ask.weights.size(); i++) {
      if (std::min(ask.weights[i].layer, ask.layers) == layer) take(ask.weights[i], out, i);
    }
  }
  std::vector<size_t> rest;
  for (size_t i = 0; i < ask.weights.size(); i++) {
    if (!out.resident[i] && !ask.weights[i].expert) rest.push_back(i);
  }
  std::stable_sort(rest.begin(), rest.end(), [&](size_t a, size_t b) {
    return ask.weights[a].bytes > ask.weights[b].bytes;
  });
  for (const size_t i : rest) {
    if (ask.weights[i].bytes > room) continue;
    room -= ask.weights[i].bytes;
    take(ask.weights[i], out, i);
  }
}

}  // namespace

std::vector<uint32_t> residency_order(uint32_t layers, LayerOrder order, uint32_t wanted) {
  std::vector<uint32_t> out;
  if (order == LayerOrder::kTail) {
    for (uint32_t i = layers; i > 0; i--) out.push_back(i - 1);
    return out;
  }
  // `wanted` of them evenly spread, then the others from the end.
  std::vector<bool> taken(layers, false);
  wanted = std::min(wanted, layers);
  for (uint32_t i = 0; i < wanted; i++) {
    const auto layer = static_cast<uint32_t>((static_cast<uint64_t>(i) * 2 + 1) * layers /
                                             (2 * static_cast<uint64_t>(wanted)));
    taken[layer] = true;
    out.push_back(layer);
  }
  for (uint32_t i = layers; i > 0; i--) {
    if (!taken[i - 1]) out.push_back(i - 1);
  }
  return out;
}

uint64_t staging_bytes(uint64_t room) {
  constexpr uint64_t kStep = kReadAlign * kStagingBuffers;
  return std::clamp(room / kStagingShare / kStep * kStep, kStagingLeast, kStagingMost);
}

uint64_t least_room(const ResidencyAsk& ask) {
  const Sums sums = sum_up(ask);
  return sums.small + least_ring_for(ask, sums) + ask.experts_least;
}

Result<Residency> choose_residency(const ResidencyAsk& ask) {
  const Sums sums = sum_up(ask);
  const uint64_t total = sums.small + sums.dense + sums.experts;
  const bool all_layers = ask.resident_layers && *ask.resident_layers >= ask.layers;
  if (total <= ask.room && (!ask.resident_layers || all_layers) && ask.experts == 0) {
    return everything(ask);
  }
  Residency out;
  if (ask.resident_layers) {
    out = by_layers(ask, sums);
    const uint64_t needed = out.resident_bytes + out.ring + out.experts;
    if (needed <= ask.room) return out;
  }
  // By bytes: what is always used comes first, then experts.
  const uint64_t least_ring = least_ring_for(ask, sums);
  const uint64_t least = sums.small + least_ring + ask.experts_least;
  if (least > ask.room) {
    return fail(Code::kDoesNotFit,
                "streaming needs " + mebibytes(least) + " of weights on the device, and " +
                    format_bytes({ask.room}) + " are left for them",
                "a device budget of " + mebibytes(least + ask.taken) +
                    " does, or a shorter context");
  }
  out = {};
  out.as_asked = !ask.resident_layers;
  out.resident.assign(ask.weights.size(), false);
  for (size_t i = 0; i < ask.weights.size(); i++) {
    if (ask.weights[i].bytes < kSmallWeight) take(ask.weights[i], out, i);
  }
  uint64_t room = ask.room - sums.small;
  out.experts = sums.experts == 0 ? 0
                                  : std::min(room - least_ring,
                                             std::max(ask.experts, ask.experts_least));
  room -= out.experts;
  if (sums.dense > room) {
    // The output matrix is often the largest weight by far: resident, it need not fit the ring.
    const uint64_t in_layers = ring_for(ask, sums.dense, sums.largest_in_layers);
    if (sums.outside + in_layers <= room) {
      room -= take_outside(ask, out);
      out.ring = in_layers;
    } else {
      out.ring = std::min(std::max(ring_for(ask, sums.dense, sums.largest), least_ring), room);
    }
    room -= out.ring;
  }
  fill(ask, room, out);
  const uint64_t left = ask.room - out.resident_bytes - out.ring - out.experts;
  if (sums.experts != 0 && ask.experts == 0) {
    out.experts = std::min(sums.experts, out.experts + left);
  }
  return out;
}

}  // namespace gantry
