// One model and one context of libllama, with the devices they were told to use.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "worker/measure.h"

namespace gantry {

// Not thread-safe. Everything it holds goes with it: context, model, then nothing of the file is
// open or mapped; the plugin itself stays loaded, as ggml has no safe way to unload a backend.
class MeasureEngine {
 public:
  virtual ~MeasureEngine() = default;
  virtual int vocabulary() const = 0;
  virtual int layers() const = 0;
  virtual int batch() const = 0;  // tokens that one step may have
  // {"name","kind","held_bytes"} of each device but the CPU; held is what has gone from its free
  // memory since before the model was loaded, of all programs together.
  virtual nlohmann::json devices() const = 0;
  // The plugin's own; null without one.
  virtual nlohmann::json statistics() const = 0;

  // Forgets every token.
  virtual void clear() = 0;
  // Tokens of sequence 0 from `position` on; waits until they are computed.
  [[nodiscard]] virtual Result<void> read(std::span<const int32_t> tokens, int position) = 0;
  // Makes the first n sequences equal to sequence 0.
  virtual void share(int sequences) = 0;
  // One token of each of the first n sequences, all at `position`; the likeliest next ones replace
  // them.
  [[nodiscard]] virtual Result<void> write(std::span<int32_t> tokens, int position) = 0;
};

// kNotFound, kCorrupt: the file; kUnavailable: the plugin, a device or the backends;
// kDoesNotFit: memory; kCancelled.
[[nodiscard]] Result<std::unique_ptr<MeasureEngine>> load_engine(const MeasureOptions& options,
                                                                 const std::atomic<bool>& cancel);

// What llama.cpp's last complaint means: kDoesNotFit where it speaks of memory that was not to be
// had, else kWorkerFailed.
Error engine_error(const std::string& doing, const std::string& complaint);

}  // namespace gantry
