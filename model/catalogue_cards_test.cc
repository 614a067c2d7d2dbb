// Cards from shapes against what was published: parameters of every model, sizes of files as their
// publishers list them; and against cards that were read from files.
#include "model/catalogue_cards.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/synth.h"

namespace gantry {
namespace {

ModelCard card_of(std::string_view name) {
  const Result<CatalogueModel> model = catalogue_model(name);
  EXPECT_TRUE(model) << name;
  return model ? model->card : ModelCard{};
}

TEST(CatalogueCards, HaveThePublishedParameters) {
  size_t compared = 0;
  for (const CatalogueEntry& entry : catalogue_entries()) {
    const Result<CatalogueModel> model = catalogue_model(entry.name);
    ASSERT_TRUE(model) << entry.name;
    if (model->declared) continue;
    const double count = static_cast<double>(model->card.parameters);
    EXPECT_LT(std::abs(count / entry.published - 1), 0.01) << entry.name << ": " << count;
    ++compared;
  }
  EXPECT_GE(compared, 70U);
}

struct PublishedFile {
  const char* name;
  double bytes;
  double within;  // of it
};
// Files as the usual places list them: exact where the size is known to the byte, else as rounded
// there. Ollama's and others' differ by the chat template and which norm is kept in which type.
constexpr PublishedFile kFiles[] = {
    {"llama2:7b@Q2_K", 2.53e9, 0.003},
    {"llama2:7b@Q3_K_S", 2948304448, 0.0001},
    {"llama2:7b@Q3_K_M", 3298004544, 0.0001},
    {"llama2:7b@Q3_K_L", 3597110848, 0.0001},
    {"llama2:7b@Q4_0", 3825806912, 0.0001},
    {"llama2:7b@Q4_K_S", 3856739904, 0.0001},
    {"llama2:7b@Q4_K_M", 4081004224, 0.0001},
    {"llama2:7b@Q5_K_M", 4783156800, 0.0001},
    {"llama2:7b@Q6_K", 5529194048, 0.0001},
    {"llama2:7b@Q8_0", 7161089728, 0.0001},
    {"llama2:13b@Q4_K_M", 7865956224, 0.0001},
    {"llama2:70b@Q4_K_M", 41.42e9, 0.003},
    {"llama3:8b@Q4_K_M", 4920734272, 0.0001},
    {"llama3:8b@Q8_0", 8.54e9, 0.003},
    {"llama3.1:70b@Q4_K_M", 42.52e9, 0.003},
    {"llama3.2:1b@Q4_K_M", 807694464, 0.0001},
    {"llama3.2:3b@Q4_K_M", 2019377696, 0.0001},
    {"mistral:7b@Q4_K_M", 4372812000, 0.0001},
    {"mixtral:8x7b@Q4_K_M", 28.45e9, 0.003},
    {"qwen2.5:0.5b@Q4_K_M", 397808192, 0.0001},
    {"qwen2.5:1.5b@Q4_K_M", 986048768, 0.0001},
    {"qwen2.5:3b@Q4_K_M", 1929903264, 0.0001},
    {"qwen2.5:7b@Q4_K_M", 4683074240, 0.0001},
    {"qwen2.5:14b@Q4_K_M", 8988110976, 0.0001},
    {"qwen2.5:32b@Q4_K_M", 19851336256, 0.0001},
    {"qwen2.5:72b@Q4_K_M", 47415715104, 0.0001},
    {"qwen3:0.6b@Q4_K_M", 396705472, 0.0001},
    {"qwen3:4b@Q4_K_M", 2497280256, 0.0001},
    {"qwen3:8b@Q4_K_M", 5027783488, 0.0001},
    {"qwen3:14b@Q4_K_M", 9001752960, 0.0001},
    {"qwen3:32b@Q4_K_M", 19762149024, 0.0001},
    {"qwen3:30b-a3b@Q4_K_M", 18556686912, 0.0001},
    {"gemma2:2b@Q4_K_M", 1708582752, 0.0001},
    {"gemma2:9b@Q4_K_M", 5761057728, 0.0001},
    {"gemma2:27b@Q4_K_M", 16645381792, 0.0001},
    {"gemma3:1b@Q4_K_M", 806058272, 0.0001},
    {"gemma3:4b@Q4_K_M", 2489757856, 0.0001},
    {"gemma3:12b@Q4_K_M", 7300574976, 0.0001},
    {"phi3:mini@Q4_K_M", 2393231072, 0.002},
    {"phi3:medium@Q4_K_M", 8.57e9, 0.003},
    {"phi4:14b@Q4_K_M", 9.05e9, 0.003},
    {"granite3:8b@Q4_K_M", 4.94e9, 0.003},
    {"smollm2:1.7b@Q4_K_M", 1.06e9, 0.006},
    {"smollm2:360m@Q4_K_M", 271e6, 0.003},
    {"whisper:tiny", 77691713, 0},
    {"whisper:base", 147951465, 0},
    {"whisper:small", 487601967, 0},
    {"whisper:medium", 1533763059, 0},
    {"whisper:large-v2", 3094623691, 0},
    {"whisper:large-v3", 3095033483, 0},
    {"whisper:large-v3-turbo", 1624555275, 0},
    {"whisper:tiny.en", 77704715, 0},
    {"whisper:base.en", 147964211, 0},
    {"whisper:tiny@Q5_1", 32152673, 0},
    {"whisper:small@Q5_1", 190085487, 0},
    {"whisper:medium@Q5_0", 539212467, 0},
    {"whisper:large-v3@Q5_0", 1081140203, 0},
    {"whisper:large-v3-turbo@Q8_0", 874188075, 0},
};

TEST(CatalogueCards, HaveThePublishedSizes) {
  for (const PublishedFile& file : kFiles) {
    const double bytes = static_cast<double>(card_of(file.name).file_bytes.n);
    EXPECT_LE(std::abs(bytes - file.bytes), file.within * file.bytes)
        << file.name << ": " << bytes << " against " << file.bytes;
  }
}

TEST(CatalogueCards, EncodersHaveThePublishedSizes) {
  const auto encoder = [](const char* name) {
    return static_cast<double>(catalogue_model(name)->mmproj->file_bytes.n);
  };
  EXPECT_NEAR(encoder("qwen3-vl:8b"), 1.159e9, 0.005e9);
  EXPECT_NEAR(encoder("qwen2.5-vl:7b"), 1.354e9, 0.005e9);  // the ">= 1.3 GB at F16" of others
  EXPECT_NEAR(encoder("gemma3:4b"), 851251104, 0.002 * 851251104);
  EXPECT_FALSE(catalogue_model("gemma3:1b")->mmproj);
  EXPECT_EQ(catalogue_model("qwen3-vl:8b")->mmproj->bytes_in(Part::kOther), Bytes{});
}

TEST(CatalogueCards, CachesAreTheModels) {
  const ModelCard llama = card_of("llama3:8b");
  EXPECT_EQ(llama.kv_bytes_per_token(CacheType::kF16, CacheType::kF16), KiB(128));
  const ModelCard gemma = card_of("gemma3:4b");
  EXPECT_EQ(gemma.kv[4].window, 1024U);
  EXPECT_EQ(gemma.kv[5].window, 0U);
  EXPECT_EQ(gemma.kv[5].k_width, 1024U);
  EXPECT_TRUE(card_of("bge:m3").kv.empty());
  EXPECT_EQ(card_of("qwen3-vl:8b").architecture, "qwen3vl");
  EXPECT_EQ(card_of("qwen3:30b-a3b").experts_used, 8U);
}

// A file that `gantry synth` would write, without its weights.
Result<ModelCard> read_synth(const SynthWish& wish) {
  const Result<SynthModel> model = synth_model(wish);
  if (!model) return fail(model.error());
  std::vector<std::byte> file(model->bytes);
  std::ranges::transform(model->head, file.begin(), [](char c) { return std::byte(c); });
  return read_card(file);
}

// The same facts from a file and from its shape.
TEST(CatalogueCards, AreWhatReadingTheFileGives) {
  for (const SynthShape& size : synth_shapes()) {
    if (size.embd > 256 || size.heads == 0) continue;
    const std::string_view a = size.architecture;
    if (a == "jamba" || a == "granitehybrid" || a == "lfm2") continue;  // none in the catalogue
    SCOPED_TRACE(size.name);
    LanguageShape shape{};
    shape.name = size.name;
    shape.size = size;
    if (a == "gemma2") shape.window = 1024, shape.every = 2;
    if (a == "gemma3") shape.window = 1024, shape.every = 6;
    const Result<ModelCard> read = read_synth({.shape = std::string(size.name)});
    ASSERT_TRUE(read) << read.error().message;
    const ModelCard made = language_card(shape, Mix::kQ8_0);
    EXPECT_EQ(made.weight_bytes, read->weight_bytes);
    EXPECT_EQ(made.parameters, read->parameters);
    EXPECT_EQ(made.quantisation, read->quantisation);
    EXPECT_EQ(made.ffn, read->ffn);
    EXPECT_EQ(made.heads, read->heads);
    ASSERT_EQ(made.groups.size(), read->groups.size());
    for (size_t i = 0; i < made.groups.size(); ++i) {
      EXPECT_EQ(made.groups[i].sizes, read->groups[i].sizes);
      EXPECT_EQ(made.groups[i].expert_sizes, read->groups[i].expert_sizes);
      EXPECT_EQ(made.groups[i].heads.bytes, read->groups[i].heads.bytes);
      EXPECT_EQ(made.groups[i].heads.row, read->groups[i].heads.row);
      EXPECT_EQ(made.groups[i].width.bytes, read->groups[i].width.bytes);
      EXPECT_EQ(made.groups[i].width.block, read->groups[i].width.block);
    }
    ASSERT_EQ(made.kv.size(), read->kv.size());
    for (size_t i = 0; i < made.kv.size(); ++i) {
      EXPECT_EQ(made.kv[i].k_width, read->kv[i].k_width);
      EXPECT_EQ(made.kv[i].window, read->kv[i].window);
    }
  }
}

}  // namespace
}  // namespace gantry
