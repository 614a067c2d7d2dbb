// whisper.cpp's bytes by formula and by its own log, on the CPU and on a card that is not here:
// each to the log's last digit, but for quantised weights, which a card pads.
#include "lab/plan/speech.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

namespace gantry {
namespace {

constexpr uint64_t kDigit = 8 << 10;  // 0.01 MB, rounded, of two figures at the most
constexpr double kPadding = 0.005;

struct Model {
  const char* name;
  WhisperShape shape;
  uint32_t type;
};

// The shapes of tiny.en, tiny and base, one that hears four seconds, and one with 128 mels.
constexpr WhisperShape kTinyEn = {51864, 1500, 384, 6, 4, 448, 384, 6, 4, 80};
constexpr WhisperShape kTiny = {51865, 1500, 384, 6, 4, 448, 384, 6, 4, 80};
constexpr WhisperShape kBase = {51865, 1500, 512, 8, 6, 448, 512, 8, 6, 80};
constexpr WhisperShape kShort = {51864, 200, 96, 3, 4, 64, 96, 3, 4, 80};
constexpr WhisperShape kMels = {51866, 700, 256, 4, 9, 130, 256, 4, 8, 128};
constexpr Model kModels[] = {{"tiny_en_f16", kTinyEn, 1}, {"tiny_q8_0", kTiny, 8},
                             {"tiny_q5_0", kTiny, 6},     {"base_f16", kBase, 1},
                             {"short_f32", kShort, 0},    {"short_q5_1", kShort, 7},
                             {"mels_q4_0", kMels, 2},     {"mels_f16", kMels, 1}};

class SpeechBytesOf : public testing::TestWithParam<Model> {
 protected:
  void SetUp() override {
    dir_ = (std::filesystem::temp_directory_path() / "speechXXXXXX").string();
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    paths_ = {GANTRY_WORKER, GANTRY_PHANTOM_PLUGIN, dir_};
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
  DifferPaths paths_;
};

TEST_P(SpeechBytesOf, TheFormulaIsTheEngine) {
  const auto file = sparse_speech_model(paths_, GetParam().shape, GetParam().type);
  ASSERT_TRUE(file) << describe(file.error());
  for (const bool on_card : {false, true}) {
    const auto found = differ_speech(paths_, *file, on_card);
    ASSERT_TRUE(found) << describe(found.error());
    EXPECT_EQ(found->size(), on_card ? 11U : 7U);
    for (const Difference& one : *found) {
      const uint64_t off = std::max(one.formula, one.engine) - std::min(one.formula, one.engine);
      const double padding = one.kind == "weights" ? kPadding * double(one.engine) : 0;
      EXPECT_LE(double(off), double(kDigit) + padding)
          << fmt::format("{} on {}: {} by formula, {} by the engine", one.kind, one.device,
                         one.formula, one.engine);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, SpeechBytesOf, testing::ValuesIn(kModels),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace gantry
