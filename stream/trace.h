// A trace of copies and computes for chrome://tracing and ui.perfetto.dev.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"

namespace gantry {

constexpr size_t kTraceEventsMax = 1 << 20;  // later ones are counted, not kept

enum class TraceRow : uint32_t { kDisk = 1, kCopy = 2, kCompute = 3, kStall = 4, kExperts = 5 };

// Any thread may add. Off (an empty path): add() does nothing.
class Trace {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit Trace(std::string path) : path_(std::move(path)) {}
  bool on() const { return !path_.empty(); }
  void add(TraceRow row, std::string name, Time from, Time to, uint64_t bytes);
  // Writes what there is; kIo and others when the file cannot be written.
  [[nodiscard]] Result<void> write();

 private:
  struct Event {
    TraceRow row;
    std::string name;
    Time from, to;
    uint64_t bytes;
  };
  std::string path_;
  std::mutex mutex_;
  std::vector<Event> events_;
  uint64_t dropped_ = 0;
};

}  // namespace gantry
