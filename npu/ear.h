// A whisper model behind the NPU worker: a speech worker of ours, a child process, started when
// first asked and again when it died; its encoder on the devices of --device.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "npu/limits.h"
#include "worker/worker.h"

namespace gantry {

struct EarOptions {
  std::string name, file;
  std::string encoder = "none";  // where its chain begins: "npu", "gpu", "cpu" (docs/speech.md)
  uint32_t queue_max = kHearingsMax;
};

struct EarStatus {
  std::string name;
  std::string encoder;  // that encoded last: "NPU", "GPU.0", "CPU" by OpenVINO, "ggml"; or none yet
  std::vector<EncoderChange> changes;  // of the recording that was heard last
  bool loaded = false;
  int pid = 0;  // of its process, 0: none
  uint32_t waiting = 0;  // at work and in line
  uint64_t recordings = 0, restarts = 0;
  Millis heard{0};  // of sound, since the start
};

// Any thread; one recording at a time, the others wait in the order in which they came.
class EarModel {
 public:
  // Reads the file's facts; kUnsupported for what is no whisper model. `os` and `context` outlive
  // it.
  [[nodiscard]] static Result<std::unique_ptr<EarModel>> open(Os& os, const WorkerContext& context,
                                                              EarOptions options);
  // Of a 16 kHz mono wav. kBusy: too many wait already; kCancelled: `gone` became true.
  [[nodiscard]] Result<std::vector<Segment>> hear(const std::string& wav, Millis length,
                                                  const http::Cancel& gone);
  EarStatus status() const;

 private:
  EarModel(Os& os, const WorkerContext& context, EarOptions options)
      : os_(os), context_(context), options_(std::move(options)) {}

  [[nodiscard]] Result<void> take_turn(uint64_t* ticket, const http::Cancel& gone);
  void end_turn(uint64_t ticket);
  [[nodiscard]] Result<void> load(const http::Cancel& gone);
  [[nodiscard]] Result<std::vector<Segment>> attempt(const std::string& wav,
                                                     const http::Cancel& gone);

  Os& os_;
  const WorkerContext& context_;
  const EarOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable turns_;
  std::deque<uint64_t> line_;  // tickets; the front one's turn
  uint64_t tickets_ = 0;
  EarStatus status_;
  std::unique_ptr<Worker> worker_;  // its turn's alone
};

}  // namespace gantry
