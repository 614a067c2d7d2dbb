// The statistics page: counters of one streamed model, readable by another process while it runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace gantry {

constexpr uint32_t kStatsLayersMax = 512;  // the last one stands for all beyond, and for no layer

// Written by one process, mapped by others; every field by itself is right at any time.
struct StatsPage {
  static constexpr uint64_t kMagic = 0x3153'5241'544e'4147;  // "GANTARS1", little-endian
  struct Layer {
    std::atomic<uint64_t> streamed_bytes;  // in the plan
    std::atomic<uint64_t> loaded_bytes;    // moved into the ring or the expert cache so far
    std::atomic<uint64_t> stall_ns;
  };
  std::atomic<uint64_t> magic;
  std::atomic<uint64_t> resident_bytes, ring_bytes, host_bytes, expert_cache_bytes;
  std::atomic<uint64_t> kv_compute_bytes;  // the program's own buffers on the inner device
  std::atomic<uint64_t> budget_bytes;      // 0: none was set
  std::atomic<uint64_t> layers, layers_streamed;
  std::atomic<uint64_t> disk_bytes, disk_ns;    // ns: while at least one read was in flight
  std::atomic<uint64_t> copy_bytes, copy_ns;    // host to a device with memory of its own
  std::atomic<uint64_t> stall_ns, compute_ns;   // of the computing thread
  std::atomic<uint64_t> graphs, segments, pieces_loaded, skips;
  std::atomic<uint64_t> expert_hits, expert_misses;
  std::atomic<uint64_t> expert_bytes;       // moved
  std::atomic<uint64_t> expert_used_bytes;  // of the experts that batches used, moved or not
  std::atomic<uint64_t> cpu_bytes, cpu_ns;  // streamed weights that the CPU computed with instead
  std::atomic<uint64_t> shrinks, errors;
  std::atomic<uint64_t> live_models;
  char inner[32], io[16];
  Layer per_layer[kStatsLayersMax];
};

// Sums a page, or several of them, up.
std::string stats_json(const StatsPage& page);
// One line: what a person wants to know after a run.
std::string stats_summary(const StatsPage& page);

// A page in memory, or in a file that others may map. Unmapped when it goes; the file stays.
class MappedStats {
 public:
  // An empty path: memory of our own. kIo and others: the file cannot be made.
  [[nodiscard]] static Result<MappedStats> make(const std::string& path);
  // What another process writes. kCorrupt: not such a page.
  [[nodiscard]] static Result<MappedStats> open(const std::string& path);
  MappedStats(MappedStats&& other) noexcept;
  MappedStats& operator=(MappedStats&&) = delete;
  ~MappedStats();
  StatsPage& page() const { return *page_; }

 private:
  explicit MappedStats(StatsPage* page) : page_(page) {}
  StatsPage* page_;
};

}  // namespace gantry
