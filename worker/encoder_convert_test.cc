// From model files, right and wrong, to an encoder or an error; nothing half made stays.
#include "worker/encoder_convert.h"

#include <nlohmann/json.hpp>

#include "model/forge_whisper.h"
#include "worker/encoder_agreement.h"
#include "worker/encoder_test_bench.h"

namespace gantry {
namespace {

TEST_F(EncoderTest, ConvertsAndReportsWhatItCompared) {
  const auto report = convert_whisper(*os_, convert_options());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ((*report)["out"], folder_.file("asr-encoder-openvino.xml"));
  EXPECT_TRUE(exists(folder_.file("asr-encoder-openvino.bin")));
  EXPECT_LT((*report)["share"].get<double>(), kQuantisedShareMax);
  // 16 bits a weight, and nothing beside the three files.
  EXPECT_NEAR((*report)["bytes"].get<double>(), 1.2e6, 1e5);
  EXPECT_EQ(os_->list(folder_.path())->size(), 3U);
}

TEST_F(EncoderTest, BadModelsAreTypedErrorsAndLeaveNothing) {
  const std::string whole = slurp(model_);
  const auto code = [&](const std::string& bytes) {
    ConvertOptions options = convert_options();
    options.model = folder_.write("bad.bin", bytes);
    options.out = folder_.file("bad.xml");
    const auto report = convert_whisper(*os_, options);
    EXPECT_FALSE(exists(options.out));
    EXPECT_EQ(os_->list(folder_.path())->size(), 2U);
    return report ? Code::kInternal : report.error().code;
  };
  EXPECT_EQ(code(""), Code::kCorrupt);
  EXPECT_EQ(code("lmggxxxxxxxx"), Code::kTooLarge);
  EXPECT_EQ(code(whole.substr(0, whole.size() / 2)), Code::kCorrupt);
  EXPECT_EQ(code(whole.substr(0, whole.size() - 1)), Code::kCorrupt);
  WhisperForge odd = forge_whisper();
  odd.numbers[kAudioHeadsNumber] = 3;  // 32 is no multiple of it
  EXPECT_EQ(code(odd.bytes()), Code::kCorrupt);
}

TEST_F(EncoderTest, OtherUnusableWishesAreNamed) {
  ConvertOptions options = convert_options();
  options.out = folder_.file("encoder.bin");
  EXPECT_EQ(convert_whisper(*os_, options).error().code, Code::kUsage);
  options.out = folder_.file("none/encoder.xml");
  options.library = folder_.file("none.so");
  EXPECT_EQ(convert_whisper(*os_, options).error().code, Code::kUnavailable);
}

TEST_F(EncoderTest, IsFoundBesideTheModelOrMadeOnceAndKept) {
  const std::string dir = folder_.file("encoders");
  const auto find = [&](const std::string& kept_in) {
    return find_or_make_encoder(*os_, convert_options(), kept_in, GANTRY_WORKER_EXE);
  };
  EXPECT_EQ(find({}).error().code, Code::kNotFound);
  const auto made = find(dir);
  ASSERT_TRUE(made) << made.error().message;
  const int64_t when = os_->stat(*made)->mtime_ns;
  EXPECT_EQ(find(dir).value(), *made);
  EXPECT_EQ(os_->stat(*made)->mtime_ns, when);
  EXPECT_EQ(os_->list(dir)->size(), 2U);
  // A model that was changed gets another one; one beside the model comes first.
  std::filesystem::last_write_time(model_, std::filesystem::file_time_type::clock::now() +
                                               std::chrono::seconds(1));
  EXPECT_NE(find(dir).value(), *made);
  const std::string beside = converted();
  EXPECT_EQ(find(dir).value(), beside);
}

TEST_F(EncoderTest, WhatCannotBeMadeSaysWhy) {
  folder_.write("asr.bin", "nothing");
  const auto made = find_or_make_encoder(*os_, convert_options(), folder_.file("encoders"),
                                         GANTRY_WORKER_EXE);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("cannot be made: "), std::string::npos)
      << made.error().message;
  EXPECT_EQ(made.error().message.find("whisper_"), std::string::npos) << made.error().message;
}

}  // namespace
}  // namespace gantry
