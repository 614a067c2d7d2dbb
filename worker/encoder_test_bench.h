// For tests: the shipped speech model's encoder for OpenVINO, and devices that fail when told to.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <nlohmann/json.hpp>

#include "model/whisper.h"
#include "worker/encoder_convert.h"
#include "worker/speech.h"
#include "worker/test_bench.h"

namespace gantry {

// Devices of libgantry-encoder-faults.so: npu/testdata/encoder_faults.cc.
class Faults {
 public:
  explicit Faults(const char* faults, const char* devices = "CPU,GPU,NPU") {
    ::setenv("GANTRY_ENCODER_FAULTS", faults, 1);
    ::setenv("GANTRY_ENCODER_DEVICES", devices, 1);
  }
  ~Faults() {
    ::unsetenv("GANTRY_ENCODER_FAULTS");
    ::unsetenv("GANTRY_ENCODER_DEVICES");
  }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;
};

class EncoderTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!exists(model_file("micro-asr.bin")) || !exists(GANTRY_ENGINE_DIR)) {
      GTEST_SKIP() << "the micro model or the engines are not there";
    }
    model_ = folder_.file("asr.bin");
    std::filesystem::copy_file(model_file("micro-asr.bin"), model_);
  }
  ConvertOptions convert_options() const {
    return {.model = model_, .library = GANTRY_ENCODER, .engine_dir = GANTRY_ENGINE_DIR};
  }
  // Beside the model.
  std::string converted() {
    const auto report = convert_whisper(*os_, convert_options());
    EXPECT_TRUE(report) << report.error().message;
    return encoder_beside(model_);
  }
  EncoderOptions options(const std::string& first) {
    return {.first = first, .library = GANTRY_ENCODER_FAULTS_LIBRARY,
            .ir = [this] { return Result<std::string>(encoder_beside(model_)); }};
  }

  const TestFolder folder_;
  const std::unique_ptr<Os> os_ = make_real_os();
  std::string model_;
};

}  // namespace gantry
