// What loads of models were predicted to need and what they were seen to need; and what the next
// plan learns from it. Pure values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"

namespace gantry {

enum class LoadEnd {
  kLoaded,    // not ended yet, or ended with its daemon
  kUnloaded,  // as asked
  kDied,      // by itself
  kGrew,      // past its lease, and was stopped or moved for that
};
std::string_view load_end_name(LoadEnd end);
LoadEnd parse_load_end(std::string_view name);  // kLoaded for an unknown word

struct LoadBytes {
  std::string device;             // "cpu" stands for host memory
  Bytes predicted;                // as booked
  std::optional<Bytes> measured;  // highest seen; absent: it could not be seen
  // measured / predicted - 1; absent where either is not known.
  std::optional<double> error() const;
};

// One load of one model.
struct LoadSeen {
  int64_t id = 0;
  std::string fingerprint;  // of file and settings: what the measurement holds for
  std::string model;
  WallTime at{};
  LoadEnd end = LoadEnd::kLoaded;
  uint32_t sessions = 0;  // that were served
  Bytes corrected;        // of the host's predicted bytes: what earlier loads had added
  std::vector<LoadBytes> bytes;
  double load_s = 0;
  std::optional<double> load_s_predicted;
  std::optional<double> decode, decode_predicted;  // tokens a second of one sequence
};

// A worker's memory is never exactly its lease: so much more is no growth.
constexpr double kGrowthShare = 0.03;
constexpr Bytes kGrowthLeast = MiB(16);
Bytes growth_limit(Bytes lease);  // the most that is still no growth

// What the recent loads of one fingerprint say about its need of host memory.
struct Learnt {
  Bytes need;    // the highest of them
  Bytes excess;  // how far the prediction, without corrections, was below, at most
  // What a second load says as well: one wrong figure alone must not keep a model from loading.
  Bytes sure_need, sure_excess;
  uint32_t loads = 0;  // that ended well
};

// Looks at the last kLoadsLearnt loads that say something: not those whose worker died, whose
// figure is zero or more than `host_total`, or that are older than kLoadsLearntAge. A load that
// grew past its lease counts double, as nobody knows where it would have ended, until a later
// one shows what is enough. Nothing where no load counts.
constexpr size_t kLoadsLearnt = 5;
constexpr Millis kLoadsLearntAge{30LL * 24 * 3600 * 1000};
std::optional<Learnt> learn(std::span<const LoadSeen> newest_first, WallTime now, Bytes host_total);

// What to book for an engine that cannot be asked: `seen` with a margin, for requests that were
// larger than any so far.
Bytes with_margin(Bytes seen);

}  // namespace gantry
