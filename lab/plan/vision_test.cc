// The vision encoder's bytes by formula and by the engine, to the byte, at the sizes of encoders in
// use.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "lab/plan/differ.h"

namespace gantry {
namespace {

struct Encoder {
  uint32_t layers;
  SynthEncoder shape;
};

// CLIP ViT-L at 224 and 336, SigLIP so400m at 384 and 448 and base at 512; Gemma 3's; Qwen2.5-VL's
// and both of Qwen3-VL's.
const Encoder kEncoders[] = {
    {24, {224, 14, 1024, 4096, 16}},
    {24, {336, 14, 1024, 4096, 16}},
    {27, {384, 14, 1152, 4304, 16}},
    {27, {448, 14, 1152, 4304, 16}},
    {12, {512, 16, 768, 3072, 12}},
    {27, {896, 14, 1152, 4304, 16, "gemma3"}},
    {32, {560, 14, 1280, 3420, 16, "qwen2.5vl_merger"}},
    {24, {768, 16, 1024, 4096, 16, "qwen3vl_merger"}},
    {27, {768, 16, 1152, 4304, 16, "qwen3vl_merger"}}};

TEST(VisionBytes, TheFormulaIsTheEngine) {
  std::string dir = (std::filesystem::temp_directory_path() / "visionXXXXXX").string();
  ASSERT_NE(::mkdtemp(dir.data()), nullptr);
  const DifferPaths paths{GANTRY_WORKER, GANTRY_PHANTOM_PLUGIN, dir};
  for (const uint32_t text_embd : {1024U, 4096U}) {
    const auto model = sparse_model(paths, {.shape = "llama", .layers = 2, .embd = text_embd});
    ASSERT_TRUE(model) << describe(model.error());
    for (const Encoder& encoder : kEncoders) {
      const auto mmproj = sparse_encoder(paths, *model, encoder.layers, encoder.shape);
      ASSERT_TRUE(mmproj) << describe(mmproj.error());
      for (const bool flash : {false, true}) {
        const auto found = differ_vision(paths, *model, *mmproj, flash);
        ASSERT_TRUE(found) << describe(found.error());
        EXPECT_TRUE(found->front().within()) << found->front().formula;
        EXPECT_EQ(found->back().formula, found->back().engine)
            << fmt::format("{}, {} pixels, {} wide, for {}{}", encoder.shape.projector,
                           encoder.shape.image, encoder.shape.embd, text_embd,
                           flash ? ", flash" : "");
      }
    }
  }
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace gantry
