// The run: load, warm up, iterate, report.
#include "worker/measure.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "worker/events.h"
#include "worker/measure_counters.h"
#include "worker/measure_engine.h"

namespace gantry {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// FNV-1a over tokens: a name for an output, so that two runs can be told to agree.
class TokenHash {
 public:
  void add(std::span<const int32_t> tokens) {
    for (const int32_t token : tokens) {
      hash_ = (hash_ ^ static_cast<uint32_t>(token)) * 0x100000001b3ULL;
    }
  }
  std::string text() const {
    std::array<char, 17> out{};
    std::snprintf(out.data(), out.size(), "%016llx", static_cast<unsigned long long>(hash_));
    return out.data();
  }

 private:
  uint64_t hash_ = 0xcbf29ce484222325ULL;
};

// A phase's tokens and what was moved while it ran.
class Phase {
 public:
  explicit Phase(const MeasureEngine& engine)
      : engine_(engine), before_(engine.statistics()), read_(own_read_bytes()),
        start_(Clock::now()) {}

  nlohmann::json end(int tokens) const {
    const double seconds = seconds_since(start_);
    nlohmann::json out = {{"tokens", tokens},
                          {"seconds", seconds},
                          {"tokens_per_second", seconds > 0 ? tokens / seconds : 0.0}};
    const std::optional<uint64_t> read = own_read_bytes();
    if (read && read_) out["read_bytes"] = *read - *read_;
    const nlohmann::json after = engine_.statistics();
    if (after.is_object()) {
      out["stream"] = counted(before_.is_object() ? before_ : nlohmann::json::object(), after);
    }
    return out;
  }

 private:
  const MeasureEngine& engine_;
  nlohmann::json before_;
  std::optional<uint64_t> read_;
  Clock::time_point start_;
};

struct Iteration {
  nlohmann::json prefill, decode;
};

class Run {
 public:
  Run(MeasureEngine& engine, const MeasureOptions& options)
      : engine_(engine), options_(options) {
    Rng rng(1);  // the same prompt every time, everywhere
    const auto words = static_cast<uint64_t>(engine.vocabulary());
    for (int i = 0; i < options.prompt; ++i) prompt_.push_back(word(rng, words));
    for (int s = 0; s < options.sequences; ++s) first_.push_back(word(rng, words));
  }

  [[nodiscard]] Result<Iteration> once() {
    Iteration out;
    engine_.clear();
    if (!prompt_.empty()) {
      const Phase phase(engine_);
      if (Result<void> read = engine_.read(prompt_, 0); !read) return fail(read.error());
      out.prefill = phase.end(options_.prompt);
      engine_.share(options_.sequences);
    }
    if (options_.decode == 0) return out;
    std::vector<int32_t> tokens = first_;  // each sequence goes its own way from here
    const Phase phase(engine_);
    for (int i = 0; i < options_.decode; ++i) {
      if (Result<void> done = engine_.write(tokens, options_.prompt + i); !done) {
        return fail(done.error());
      }
      hash_.add(tokens);
    }
    out.decode = phase.end(options_.decode * options_.sequences);
    return out;
  }
  std::string written() const { return hash_.text(); }
  void forget() { hash_ = {}; }

 private:
  static int32_t word(Rng& rng, uint64_t words) { return static_cast<int32_t>(rng.below(words)); }

  MeasureEngine& engine_;
  const MeasureOptions& options_;
  std::vector<int32_t> prompt_, first_;
  TokenHash hash_;
};

nlohmann::json with_event(const char* name, nlohmann::json fields) {
  fields["event"] = name;
  return fields;
}

Result<void> run_all(const MeasureOptions& options, const std::atomic<bool>& cancel,
                     const std::function<void(const nlohmann::json&)>& on_event) {
  const Clock::time_point start = Clock::now();
  const Result<std::unique_ptr<MeasureEngine>> engine = load_engine(options, cancel);
  if (!engine) return fail(engine.error());
  on_event(with_event("loaded", {{"seconds", seconds_since(start)},
                                 {"layers", (*engine)->layers()},
                                 {"devices", (*engine)->devices()},
                                 {"memory", own_memory()}}));
  Run run(**engine, options);
  for (int i = 0; i < options.warmup; ++i) {
    if (Result<Iteration> done = run.once(); !done) return fail(done.error());
  }
  run.forget();
  for (int i = 0; i < options.iterations; ++i) {
    Result<Iteration> done = run.once();
    if (!done) return fail(done.error());
    on_event(with_event("iteration", {{"index", i},
                                      {"prefill", std::move(done->prefill)},
                                      {"decode", std::move(done->decode)}}));
  }
  on_event(with_event("done", {{"memory", own_memory()},
                               {"devices", (*engine)->devices()},
                               {"output", run.written()},
                               {"statistics", (*engine)->statistics()}}));
  return {};
}

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

}  // namespace

Result<void> check_measure(const MeasureOptions& options) {
  const auto range = [](const char* flag, int value, int low, int high) -> Result<void> {
    if (value >= low && value <= high) return {};
    return fail(Code::kUsage, std::string(flag) + " is " + std::to_string(value),
                "give " + std::to_string(low) + " to " + std::to_string(high));
  };
  using Row = std::tuple<const char*, int, int, int>;
  const std::array<Row, 10> rows = {{{"-p", options.prompt, 0, kMeasureTokensMax},
                                     {"-n", options.decode, 0, kMeasureTokensMax},
                                     {"-s", options.sequences, 1, kMeasureSequencesMax},
                                     {"--warmup", options.warmup, 0, kMeasureRunsMax},
                                     {"--iterations", options.iterations, 1, kMeasureRunsMax},
                                     {"-t", options.threads, 0, 512},
                                     {"-b", options.batch, 1, kMeasureTokensMax},
                                     {"-ub", options.ubatch, 1, kMeasureTokensMax},
                                     {"-c", options.context, 0, 1 << 28},
                                     {"-ngl", options.gpu_layers, -1, 100'000}}};
  for (const auto& [flag, value, low, high] : rows) {
    if (Result<void> ok = range(flag, value, low, high); !ok) return ok;
  }
  if (options.prompt == 0 && options.decode == 0) {
    return fail(Code::kUsage, "-p and -n are both zero", "there is nothing to measure");
  }
  if (!one_of(options.load_mode, {"auto", "none", "mmap", "mlock", "mmap+mlock", "dio"})) {
    return fail(Code::kUsage, "unknown load mode " + options.load_mode,
                "one of auto, none, mmap, mlock, mmap+mlock, dio");
  }
  if (!one_of(options.flash_attention, {"auto", "on", "off"})) {
    return fail(Code::kUsage, "unknown -fa " + options.flash_attention, "one of auto, on, off");
  }
  return {};
}

Result<void> measure(const MeasureOptions& options, const std::atomic<bool>& cancel,
                     const std::function<void(const nlohmann::json&)>& on_event) {
  if (Result<void> checked = check_measure(options); !checked) return checked;
  try {
    return run_all(options, cancel, on_event);
  } catch (const std::bad_alloc&) {
    return fail(Code::kDoesNotFit, "there is not enough memory",
                "keep fewer layers resident, or take a smaller context");
  } catch (const std::exception& e) {
    return fail(Code::kInternal, std::string("the engine threw: ") + e.what());
  }
}

int measure_to(int out, const MeasureOptions& options, const std::atomic<bool>& cancel) {
  return events_to(out, [&](const auto& on_event) { return measure(options, cancel, on_event); });
}

}  // namespace gantry
