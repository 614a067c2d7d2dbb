// libgantry-encoder.so, loaded: OpenVINO's devices and encoders behind Results.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "npu/encoder_api.h"

namespace gantry {

// One encoder on one device. Not thread-safe; outlived by its library.
class DeviceEncoder {
 public:
  DeviceEncoder(const EncoderApi* api, void* encoder, EncoderShape shape, std::string device)
      : api_(api), encoder_(encoder), shape_(shape), device_(std::move(device)) {}
  ~DeviceEncoder() { api_->close(encoder_); }
  DeviceEncoder(const DeviceEncoder&) = delete;
  DeviceEncoder& operator=(const DeviceEncoder&) = delete;

  const EncoderShape& shape() const { return shape_; }
  const std::string& device() const { return device_; }  // that really answers
  // Every number of `states` is finite after success; after a failure they are zeros, and the
  // encoder is good for nothing more.
  [[nodiscard]] Result<void> encode(std::span<const float> mel, std::span<float> states,
                                    Millis wait_max);

 private:
  const EncoderApi* api_;
  void* encoder_;
  const EncoderShape shape_;
  const std::string device_;
};

class EncoderLibrary {
 public:
  // kUnavailable with the linker's words. It stays loaded: OpenVINO's threads outlive its objects.
  [[nodiscard]] static Result<EncoderLibrary> load(const std::string& path);

  [[nodiscard]] Result<std::vector<std::string>> devices() const;  // "CPU", "GPU.0", "NPU"
  [[nodiscard]] Result<std::unique_ptr<DeviceEncoder>> open(const std::string& ir,
                                                            const std::string& device,
                                                            const std::string& cache_dir,
                                                            uint32_t threads) const;
  [[nodiscard]] Result<void> convert(const EncoderModel& model, const std::string& xml) const;

 private:
  explicit EncoderLibrary(const EncoderApi* api) : api_(api) {}
  const EncoderApi* api_;
};

}  // namespace gantry
