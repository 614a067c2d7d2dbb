// ggml's bytes by formula and by the engine: within 1 % or 2 MiB for weights, cache and graph of
// every device. The models have real widths, so that 2 MiB is less than what is tested.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "lab/plan/differ.h"

namespace gantry {
namespace {

struct Model {
  const char* shape;
  uint32_t layers;
  uint32_t embd = 0, ff = 0, heads = 0, kv_heads = 0, vocab = 0;
  const char* quant = "Q4_K_M";
  bool tied = false;
};

// Widths of 1B to 8B models.
constexpr Model kModels[] = {
    {"llama", 6, 2048, 8192, 32, 8, 32000},
    {"llama", 5, 4096, 14336, 32, 8, 32000, "Q8_0"},
    {"qwen2", 5, 2048, 11008, 16, 2, 50000, "Q4_K_M", true},
    {"qwen3", 5, 2560, 9728, 32, 8, 50000, "IQ4_XS", true},
    {"qwen3", 24, 1024, 3072, 16, 8, 8000, "Q4_K_M", true},
    {"qwen3moe", 5, 2048, 768, 32, 4, 50000},
    {"gemma2", 6, 2304, 9216, 8, 4, 50000, "Q4_K_M", true},
    {"gemma", 8, 2560, 10240, 8, 4, 50000, "Q4_0", true},
    {"phi2", 5, 2560, 10240, 32, 32, 51200, "Q5_K_M"},
    {"phi", 5, 3072, 8192, 32, 32, 32064, "Q6_K"},
    {"granite", 5, 2048, 8192, 32, 8, 49152, "Q4_K_M", true},
    {"granitehybrid", 8, 2048, 8192, 32, 8, 49152},
    {"jamba", 8, 2048, 8192, 32, 8, 32000},
    {"lfm2", 8, 2048, 8192, 32, 8, 32000, "Q4_K_M", true},
    {"mamba", 6, 2048, 0, 0, 0, 50280, "F16", true},
    {"mamba2", 6, 2048, 0, 0, 0, 50280, "F16", true},
    {"bert", 6, 1024, 4096, 16, 16, 30522, "F16"},
};

std::vector<Configuration> configurations(const Model& model) {
  const uint32_t layers = model.layers;
  std::vector<Configuration> out = {
      {.context = 4096},
      {.context = 8192, .flash = true},
      {.context = 4096, .ubatch = 128},
      {.context = 2048, .parallel = 4},
      {.context = 4096, .gpus = {layers}},
      {.context = 4096, .flash = true, .gpus = {layers}},
      {.context = 4096, .gpus = {layers / 2}},
      {.context = 4096, .flash = true, .gpus = {layers / 2}},
      {.context = 2048, .gpus = {layers / 2, layers - layers / 2}},
      {.context = 8192, .cache_k = CacheType::kQ8_0, .cache_v = CacheType::kQ8_0, .flash = true},
      {.context = 4096, .cache_k = CacheType::kQ8_0, .cache_v = CacheType::kQ8_0, .flash = true,
       .gpus = {layers}},
  };
  if (std::string_view(model.shape) != "bert") return out;
  out.clear();
  for (const bool flash : {false, true}) {
    out.push_back({.context = 512, .flash = flash, .embeddings = true});
    out.push_back({.context = 2048, .flash = flash, .embeddings = true});
    out.push_back({.context = 2048, .flash = flash, .embeddings = true, .gpus = {layers}});
  }
  return out;
}

SynthWish synth_of(const Model& model) {
  SynthWish wish;
  wish.shape = model.shape;
  wish.quant = model.quant;
  wish.layers = model.layers;
  wish.embd = model.embd;
  wish.vocab = model.vocab;
  wish.context = 32768;
  wish.tied = model.tied;
  if (model.ff > 0) wish.ff = model.ff;
  if (model.heads > 0) {
    wish.heads = model.heads;
    wish.kv_heads = model.kv_heads;
  }
  return wish;
}

class BytesOf : public testing::TestWithParam<Model> {
 protected:
  void SetUp() override {
    dir_ = (std::filesystem::temp_directory_path() / "bytesXXXXXX").string();
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
    paths_ = {GANTRY_WORKER, GANTRY_PHANTOM_PLUGIN, dir_};
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
  DifferPaths paths_;
};

TEST_P(BytesOf, TheFormulaIsTheEngine) {
  const auto file = sparse_model(paths_, synth_of(GetParam()));
  ASSERT_TRUE(file) << describe(file.error());
  for (const Configuration& configuration : configurations(GetParam())) {
    const auto found = differ(paths_, *file, configuration);
    ASSERT_TRUE(found) << describe(found.error());
    for (const Difference& one : *found) {
      EXPECT_TRUE(one.within()) << fmt::format(
          "{} {}: {} on {}: {:.2f} MiB by formula, {:.2f} by the engine ({:+.1f} %)",
          GetParam().shape, configuration.text(), one.kind, one.device,
          double(one.formula) / (1 << 20), double(one.engine) / (1 << 20), 100 * one.error());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, BytesOf, testing::ValuesIn(kModels), [](const auto& info) {
  return fmt::format("{}_{}", info.param.shape, info.index);
});

}  // namespace
}  // namespace gantry
