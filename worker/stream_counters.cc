// Copying the figures out of the page.
#include "worker/stream_counters.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "stream/stats.h"

namespace gantry {

double StreamCounters::overlap() const {
  const double moving = std::max(disk_s, copy_s), shorter = std::min(moving, compute_s);
  if (shorter <= 0) return 0;
  return std::clamp((moving - stall_s) / shorter, 0.0, 1.0);
}

std::optional<StreamCounters> parse_stream_counters(std::string_view page) {
  if (page.size() != sizeof(StatsPage)) return std::nullopt;
  // Of the atomics' own alignment; their bytes are their values.
  std::vector<uint64_t> copy((sizeof(StatsPage) + 7) / 8);
  std::memcpy(copy.data(), page.data(), page.size());
  const auto* stats = reinterpret_cast<const StatsPage*>(copy.data());
  if (stats->magic != StatsPage::kMagic) return std::nullopt;
  const auto seconds = [](uint64_t ns) { return static_cast<double>(ns) / 1e9; };
  StreamCounters out;
  out.layers = stats->layers;
  out.layers_streamed = stats->layers_streamed;
  out.resident_bytes = stats->resident_bytes;
  out.ring_bytes = stats->ring_bytes;
  out.expert_cache_bytes = stats->expert_cache_bytes;
  out.host_bytes = stats->host_bytes;
  out.kv_compute_bytes = stats->kv_compute_bytes;
  out.budget_bytes = stats->budget_bytes;
  out.disk_bytes = stats->disk_bytes;
  out.copy_bytes = stats->copy_bytes;
  out.disk_s = seconds(stats->disk_ns);
  out.copy_s = seconds(stats->copy_ns);
  out.stall_s = seconds(stats->stall_ns);
  out.compute_s = seconds(stats->compute_ns);
  out.passes = stats->graphs;
  out.expert_hits = stats->expert_hits;
  out.expert_misses = stats->expert_misses;
  out.errors = stats->errors;
  return out;
}

std::optional<StreamCounters> read_stream_counters(Os& os, const std::string& file) {
  const Result<std::string> page = os.read_file(file, Bytes{sizeof(StatsPage)});
  if (!page) return std::nullopt;
  return parse_stream_counters(*page);
}

}  // namespace gantry
