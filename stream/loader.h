// Moves images of weights from where they rest to where they are computed with. One thread at a
// time; several images under way at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "stream/inner.h"
#include "stream/layout.h"
#include "stream/reader.h"
#include "stream/stats.h"
#include "stream/trace.h"

namespace gantry {

// Takes bytes of one part: to a device, or into host memory.
using Sink = std::function<void(size_t part, uint64_t offset, const std::byte* data, size_t bytes)>;

struct LoadJob {
  uint64_t tag = 0;
  const std::vector<Part>* parts = nullptr;  // outlive the job
  const Image* image = nullptr;              // likewise
  std::byte* direct = nullptr;  // reads go straight here, at the image's places; null: to the sink
  Sink sink;                    // staged reads, and parts that rest in host memory
  const char* name = "";        // for the trace; outlives the job
};

struct LoadDone {
  uint64_t tag = 0;
  Result<void> result;
};

class Loader {
 public:
  struct Options {
    ReaderOptions reader;
    uint64_t staging_bytes = 0;  // each buffer; 0: no staging, every job is direct
    size_t staging_buffers = 0;
  };
  // `files`, `stats` and `trace` outlive the loader.
  [[nodiscard]] static Result<std::unique_ptr<Loader>> make(
      const Options& options, const Inner& inner, std::vector<const DirectFile*> files,
      StatsPage& stats, Trace& trace);

  void begin(LoadJob job);
  // Goes on for at most so long, or until wake(). A job that is done, or nothing.
  std::optional<LoadDone> step(std::chrono::nanoseconds timeout);
  // From another thread: step() returns soon.
  void wake() { reader_->wake(); }
  bool idle() const { return jobs_.empty(); }
  // Begins and steps until this one job is done; nothing else is under way.
  [[nodiscard]] Result<void> load(LoadJob job);

  uint64_t staging_bytes() const { return staging_.bytes(); }
  const char* io() const { return reader_->name(); }

 private:
  struct State {
    LoadJob job;
    size_t next_run = 0;      // staged: where the next request starts
    uint64_t next_byte = 0;   // in that run
    size_t open = 0;          // requests under way
    bool submitted = false;   // every request was handed to the reader
    Result<void> result;
    std::chrono::steady_clock::time_point began;
    uint64_t bytes = 0;
  };
  struct Request {
    uint64_t job = 0;
    size_t run = 0;
    uint64_t from = 0;  // staged: offset in the run
    uint64_t bytes = 0;
    size_t buffer = SIZE_MAX;
  };

  Loader(const Inner& inner, std::vector<const DirectFile*> files, StatsPage& stats, Trace& trace)
      : inner_(inner), files_(std::move(files)), stats_(stats), trace_(trace) {}
  bool submit_some(State& state);
  void submit_all();
  bool submit_one(State& state, const Request& request, std::byte* to);
  void finish(const ReadDone& done);
  void deliver(const State& state, const Request& request, const std::byte* data) const;
  std::optional<LoadDone> take_done();
  void count();

  const Inner& inner_;
  std::vector<const DirectFile*> files_;
  StatsPage& stats_;
  Trace& trace_;
  uint64_t counted_bytes_ = 0, counted_ns_ = 0;
  DeviceBuffer staging_;
  std::unique_ptr<Reader> reader_;  // after what it reads into: is gone before that is freed
  uint64_t buffer_bytes_ = 0;
  std::vector<size_t> free_buffers_;
  uint64_t last_id_ = 0;
  std::unordered_map<uint64_t, State> jobs_;  // by our own id
  std::deque<uint64_t> order_;                // of those not wholly submitted
  std::unordered_map<uint64_t, Request> requests_;
};

}  // namespace gantry
