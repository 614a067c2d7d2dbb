// One process per loaded model. A Worker is started, asked, and gone: destroying it kills the
// process group and reaps it, so that memory is back when the object is.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "audit/machine.h"
#include "base/os.h"
#include "http/http.h"
#include "plan/plan.h"

namespace gantry {

struct WorkerSpec {
  std::string model;  // its name, for logs
  EngineKind engine = EngineKind::kLlama;
  std::string file;    // model file
  std::string mmproj;  // vision encoder; empty: none
  bool embeddings = false;
  std::string command;  // kCommand: a shell-like line with ${PORT}; run without a shell
  std::vector<std::pair<std::string, std::string>> env;
  Placement placement;  // flags derive from it
  CacheType cache_k = CacheType::kF16;
  CacheType cache_v = CacheType::kF16;
  uint32_t parallel = 1;
  uint32_t ubatch = 512;
  bool flash_attention = false;
};

struct WorkerContext {
  std::string run_dir;     // mode 0700, short: unix sockets live here
  std::string log_dir;     // one rotated log a model
  std::string engine_dir;  // folder of llama-server
  std::string worker_exe;  // gantry-worker
  const Cpu* cpu = nullptr;
};

// A piece of recognised speech; times from the start of the recording.
struct Segment {
  Millis start{0};
  Millis end{0};
  std::string text;
  double confidence = 1.0;  // mean token probability, 0..1
};

struct Progress {
  double fraction = 0;  // 0..1
};

class Worker {
 public:
  virtual ~Worker() = default;
  virtual int pid() const = 0;
  // Waits until it can answer. kWorkerFailed with the last log lines when it dies first,
  // kTimeout after kWorkerReadyMax, kCancelled.
  [[nodiscard]] virtual Result<void> ready(const http::Cancel& cancel) = 0;
  // llama and command engines: where its HTTP is.
  virtual const http::Address& address() const = 0;
  // whisper engine: a 16 kHz mono 16-bit wav; segments as they come. Cuts at silences to the
  // model's window. One caller at a time.
  [[nodiscard]] virtual Result<std::vector<Segment>> transcribe(
      const std::string& wav, const http::Cancel& cancel,
      const std::function<void(const Segment&, Progress)>& on_segment) = 0;
  // Still there? An Error with signal and last log lines when it died by itself.
  [[nodiscard]] virtual Result<void> alive() = 0;
  // Asks, then kills; returns when the process group is gone.
  virtual void stop() = 0;
};

[[nodiscard]] Result<std::unique_ptr<Worker>> start_worker(Os& os, const WorkerContext& context,
                                                           const WorkerSpec& spec);

// Turns any recording that ffmpeg reads into the wav that transcribe() wants, in one pass and
// constant memory, in a process of its own (untrusted bytes). on_start tells its pid. kCorrupt: no
// audio in it; kTooLarge: longer than kAudioMax. Nothing is left at `wav` on failure.
[[nodiscard]] Result<Millis> decode_audio(Os& os, const WorkerContext& context,
                                          const std::string& file, const std::string& wav,
                                          const http::Cancel& cancel,
                                          const std::function<void(int pid)>& on_start);

}  // namespace gantry
