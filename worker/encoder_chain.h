// The encoder's way down: NPU, GPU, the CPU by OpenVINO, and last ggml, which needs nobody.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "worker/encoder_hook.h"
#include "worker/encoder_library.h"
#include "worker/segment.h"

namespace gantry {

constexpr const char* kGgmlEncoder = "ggml";

struct EncoderOptions {
  // Where the chain begins: "npu", "gpu", "cpu"; "auto": the NPU where there is one, else none.
  std::string first = "none";
  std::string library;    // libgantry-encoder.so
  // The encoder's IR, found or made; asked once, and only where a device of the chain is there.
  std::function<Result<std::string>()> ir;
  std::string cache_dir;  // of compiled models; empty: none
  uint32_t threads = 1;   // of the CPU by OpenVINO
  Millis wait_max{120'000};  // for one answer: large-v3 on two slow cores takes half of it
  Millis rest{60'000};       // after a failure, before the device is tried again
};

// One thread. Which device encodes now, and why it is not another one.
class EncoderChain final : public EncoderHook {
 public:
  // What does not load leaves a chain of ggml alone, which says why.
  EncoderChain(EncoderOptions options, const Clock& clock);

  // A recording begins: from the first device that is there and rested.
  void begin();
  bool on_ggml() const { return current_ == nullptr; }
  const std::string& device() const { return device_; }  // "NPU", "GPU.0", "CPU", "ggml"

  void encode(std::span<const float> mel, uint32_t mels, uint32_t frames, std::span<float> states,
              uint32_t width) override;
  // Whether an encode has failed since the last begin() or step_down().
  bool failed() const { return failure_.has_value(); }
  // Gives up the device that failed; `at` is in the recording.
  void step_down(Millis at);

  // Of this recording: what was left, for what, when and why.
  const std::vector<EncoderChange>& changes() const { return changes_; }

 private:
  struct Link {
    std::string name;  // as the user knows it: "NPU"
    std::vector<std::string> devices;  // OpenVINO's, of this name
    std::unique_ptr<DeviceEncoder> encoder;
    std::optional<Millis> failed;  // by the clock
    std::string cause;
  };

  [[nodiscard]] Result<void> load();
  void settle(size_t from, Millis at);
  bool ready(Link& link);

  const EncoderOptions options_;
  const Clock& clock_;
  std::optional<EncoderLibrary> library_;
  std::string ir_;
  std::string unavailable_;  // why there is no chain at all
  std::vector<Link> links_;
  size_t at_ = 0;  // the link that encodes; links_.size(): ggml
  DeviceEncoder* current_ = nullptr;
  std::string device_ = kGgmlEncoder;
  std::optional<std::string> failure_;
  std::vector<EncoderChange> changes_;
};

}  // namespace gantry
