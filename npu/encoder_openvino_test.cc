// OpenVINO's answers and errors as plain values.
#include "npu/encoder_openvino.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace gantry {
namespace {

// Weights that are small and all the same.
bool thin(void*, const char*, float* out, uint64_t elements) {
  std::fill_n(out, elements, 0.01F);
  return true;
}

class EncoderOpenvino : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / "encoderXXXXXX").string();
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    xml_ = folder_ + "/e.xml";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const EncoderModel& model) {
    ASSERT_TRUE(api_.convert(&model, xml_.c_str(), &error_)) << error_.data();
  }
  void* open(const char* device, const std::string& cache = {}) {
    return api_.open(xml_.c_str(), device, cache.c_str(), 1, &shape_, &answers_, &error_);
  }
  const EncoderApi& api_ = openvino_encoder_api();
  std::string folder_, xml_;
  EncoderShape shape_;
  EncoderText answers_{}, error_{};
};

TEST_F(EncoderOpenvino, TheProcessorIsAlwaysThere) {
  EncoderText names{};
  ASSERT_TRUE(api_.devices(&names, &error_)) << error_.data();
  EXPECT_NE(std::strstr(names.data(), "CPU"), nullptr) << names.data();
}

TEST_F(EncoderOpenvino, WhatDoesNotOpenSaysWhy) {
  EXPECT_EQ(open("CPU"), nullptr);
  EXPECT_NE(error_[0], '\0');
  std::ofstream(xml_) << "<net name=\"x\" version=\"11\"><layers></layers></net>";
  error_ = {};
  EXPECT_EQ(open("CPU"), nullptr);
  EXPECT_NE(error_[0], '\0');
  write({4, 6, 8, 2, 1, nullptr, thin});
  error_ = {};
  EXPECT_EQ(open("NOSUCH"), nullptr);
  EXPECT_NE(error_[0], '\0');
  EXPECT_EQ(std::strchr(error_.data(), '\n'), nullptr);
  std::filesystem::resize_file(folder_ + "/e.bin", 10);
  EXPECT_EQ(open("CPU"), nullptr);
}

TEST_F(EncoderOpenvino, WhatWasCompiledIsKept) {
  write({4, 6, 8, 2, 1, nullptr, thin});
  const std::string cache = folder_ + "/cache";
  void* encoder = open("CPU", cache);
  ASSERT_NE(encoder, nullptr) << error_.data();
  api_.close(encoder);
  EXPECT_FALSE(std::filesystem::is_empty(cache));
  encoder = open("CPU", cache);
  ASSERT_NE(encoder, nullptr) << error_.data();
  api_.close(encoder);
}

// Big enough to be still at work when it is given up at once; closing it does not wait.
TEST_F(EncoderOpenvino, ADeviceThatGivesNoAnswerIsGivenUp) {
  write({80, 1500, 256, 4, 4, nullptr, thin});
  void* encoder = open("CPU");
  ASSERT_NE(encoder, nullptr) << error_.data();
  const std::vector<float> mel(size_t{80} * 3000, 0.5F);
  std::vector<float> states(size_t{1500} * 256, 7.0F);
  EXPECT_FALSE(api_.encode(encoder, mel.data(), states.data(), 0, &error_));
  EXPECT_STREQ(error_.data(), "the device gave no answer in time");
  api_.close(encoder);
  EXPECT_EQ(states, std::vector<float>(states.size(), 7.0F));
}

TEST(WriteText, CutsAndStaysOnOneLine) {
  EncoderText text{};
  write_text("a\nb\tc", &text);
  EXPECT_STREQ(text.data(), "a b c");
  write_text(std::string(2000, 'x').c_str(), &text);
  EXPECT_EQ(std::strlen(text.data()), text.size() - 1);
}

}  // namespace
}  // namespace gantry
