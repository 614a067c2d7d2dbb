// Synthesized models in the real llama.cpp: every architecture and every quant loads, tokenises,
// and computes; and ggml reads from our blocks the values that were promised.
#include <ggml-backend.h>
#include <ggml.h>
#include <gtest/gtest.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/os.h"
#include "model/card.h"
#include "model/synth.h"
#include "model/synth_blocks.h"
#include "model/synth_companions.h"
#include "model/synth_file.h"
#include "model/tensor_type.h"

namespace gantry {
namespace {

struct Free {
  void operator()(llama_model* model) const { llama_model_free(model); }
  void operator()(llama_context* context) const { llama_free(context); }
};
using Model = std::unique_ptr<llama_model, Free>;
using Context = std::unique_ptr<llama_context, Free>;

// One thread: on a busy machine a second one only waits for its turn.
Context context_of(llama_model* model, bool embeddings = false) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 256;
  params.n_threads = params.n_threads_batch = 1;
  params.embeddings = embeddings;
  return Context(llama_init_from_model(model, params));
}

std::vector<llama_token> tokens_of(const llama_model* model, const std::string& text,
                                   bool special = true) {
  std::vector<llama_token> tokens(text.size() + 8);
  const int count = llama_tokenize(llama_model_get_vocab(model), text.data(),
                                   static_cast<int>(text.size()), tokens.data(),
                                   static_cast<int>(tokens.size()), special, false);
  tokens.resize(static_cast<size_t>(std::max(count, 0)));
  return tokens;
}

// The logits behind the last token.
std::vector<float> logits_of(llama_model* model, std::vector<llama_token> tokens,
                             llama_adapter_lora* adapter = nullptr) {
  const Context context = context_of(model);
  if (context == nullptr) return {};
  float scale = 1;
  if (adapter != nullptr) llama_set_adapters_lora(context.get(), &adapter, 1, &scale);
  const int count = static_cast<int>(tokens.size());
  if (llama_decode(context.get(), llama_batch_get_one(tokens.data(), count)) != 0) return {};
  const float* logits = llama_get_logits_ith(context.get(), -1);
  return {logits, logits + llama_vocab_n_tokens(llama_model_get_vocab(model))};
}

double spread_of(const std::vector<float>& values) {
  double sum = 0, squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  const auto count = static_cast<double>(values.size());
  return std::sqrt(std::max(0.0, squares / count - sum / count * (sum / count)));
}

class Synthesized : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    ggml_backend_load_all_from_path(GANTRY_ENGINE_DIR);
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  }
  void SetUp() override {
    const std::string pattern = (std::filesystem::temp_directory_path() / "synthXXXXXX").string();
    dir_ = pattern;
    ASSERT_NE(::mkdtemp(dir_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string written(const SynthModel& model, const std::string& name) {
    const std::string path = dir_ + "/" + name;
    const Result<void> done = write_synth(model, path, {});
    EXPECT_TRUE(done) << done.error().message;
    return path;
  }
  std::string written(const SynthWish& wish) {
    const Result<SynthModel> model = synth_model(wish);
    EXPECT_TRUE(model) << model.error().message;
    return model ? written(*model, wish.shape + ".gguf") : "";
  }
  // Loads a file, which our own parser must accept as well.
  Model loaded(const std::string& path) {
    const std::unique_ptr<Os> os = make_real_os();
    const auto file = os->map_file(path);
    EXPECT_TRUE(file);
    if (file) {
      const Result<ModelCard> card = read_card((*file)->bytes());
      EXPECT_TRUE(card) << card.error().message;
    }
    return Model(llama_model_load_from_file(path.c_str(), llama_model_default_params()));
  }
  void expect_speaks(const SynthWish& wish) {
    SCOPED_TRACE(wish.shape + " " + wish.quant);
    const Model model = loaded(written(wish));
    ASSERT_NE(model, nullptr);
    const std::vector<float> one = logits_of(model.get(), tokens_of(model.get(), "Hello world"));
    const std::vector<float> other = logits_of(model.get(), tokens_of(model.get(), "Good morning"));
    ASSERT_FALSE(one.empty());
    ASSERT_EQ(one.size(), other.size());
    EXPECT_TRUE(std::ranges::all_of(one, [](float x) { return std::isfinite(x); }));
    EXPECT_GT(spread_of(one), 0.1);
    EXPECT_LT(spread_of(one), 4);
    std::vector<float> difference;
    for (size_t i = 0; i < one.size(); ++i) difference.push_back(one[i] - other[i]);
    EXPECT_GT(spread_of(difference), 0.1) << "the text makes no difference";
  }

  std::string dir_;
};

TEST_F(Synthesized, EveryArchitectureComputes) {
  std::set<std::string_view> seen;
  for (const SynthShape& shape : synth_shapes()) {
    if (shape.embd > 256 || shape.architecture == "bert") continue;
    SynthWish wish;
    wish.shape = shape.name;
    wish.quant = "Q4_K_M";
    expect_speaks(wish);
    seen.insert(shape.architecture);
  }
  EXPECT_GE(seen.size(), 12U);
}

TEST_F(Synthesized, EveryQuantComputes) {
  for (const std::string_view quant : synth_quants()) {
    SynthWish wish;
    wish.shape = "llama";
    wish.layers = 2;
    wish.quant = quant;
    expect_speaks(wish);
    wish.shape = "qwen3moe";
    expect_speaks(wish);
  }
}

TEST_F(Synthesized, RealShapesComputeWhenScaledDown) {
  for (const SynthShape& shape : synth_shapes()) {
    if (shape.embd <= 256) continue;
    SynthWish wish;
    wish.shape = shape.name;
    wish.quant = "Q4_0";
    wish.scale = 1.0 / 16;
    wish.layers = 2;
    wish.vocab = 4000;
    expect_speaks(wish);
  }
}

TEST_F(Synthesized, WidthsThatAreNoPowerOfTwo) {
  SynthWish wish;
  wish.shape = "llama";
  wish.layers = 1;
  wish.embd = 96;
  wish.ff = 160;
  wish.heads = 3;
  wish.kv_heads = 1;
  wish.vocab = 263;
  expect_speaks(wish);
  wish.shape = "mamba2";
  wish.heads.reset();
  wish.kv_heads.reset();
  expect_speaks(wish);
}

TEST_F(Synthesized, AnyTextComesBackFromItsTokens) {
  SynthWish wish;
  wish.shape = "llama";
  const Model model = loaded(written(wish));
  ASSERT_NE(model, nullptr);
  std::string every_byte;
  for (int byte = 1; byte < 128; ++byte) every_byte.push_back(static_cast<char>(byte));
  for (const std::string& text :
       {std::string("The quick brown fox  jumps."), std::string("  Grüße, 世界! 🎉\n\tx = 1;"),
        every_byte, std::string(" baki tomu"), std::string("a\x80\xff z")}) {
    const std::vector<llama_token> tokens = tokens_of(model.get(), text, false);
    std::string back(text.size() * 4 + 16, '\0');
    const int size = llama_detokenize(llama_model_get_vocab(model.get()), tokens.data(),
                                      static_cast<int>(tokens.size()), back.data(),
                                      static_cast<int>(back.size()), false, false);
    ASSERT_GE(size, 0);
    back.resize(static_cast<size_t>(size));
    // Bytes that are no UTF-8 are read as the replacement character, as with any such tokenizer.
    if (text.find('\xff') == std::string::npos) {
      EXPECT_EQ(back, text);
    }
  }
  // Words of the vocabulary are one token, and a text begins with the first token.
  EXPECT_EQ(tokens_of(model.get(), " baki", false).size(), 1U);
  EXPECT_EQ(tokens_of(model.get(), "x")[0], llama_vocab_bos(llama_model_get_vocab(model.get())));
  EXPECT_NE(llama_model_chat_template(model.get(), nullptr), nullptr);
}

TEST_F(Synthesized, EncodersEmbed) {
  for (const std::string_view quant : {"F16", "Q8_0", "Q4_K"}) {
    SynthWish wish;
    wish.shape = "bert";
    wish.quant = quant;
    const Model model = loaded(written(wish));
    ASSERT_NE(model, nullptr);
    std::vector<std::vector<float>> embeddings;
    for (const char* text : {"Hello world", "Good morning"}) {
      std::vector<llama_token> tokens = tokens_of(model.get(), text);
      const Context context = context_of(model.get(), true);
      ASSERT_NE(context, nullptr);
      const int count = static_cast<int>(tokens.size());
      ASSERT_EQ(llama_encode(context.get(), llama_batch_get_one(tokens.data(), count)), 0);
      const float* state = llama_get_embeddings_seq(context.get(), 0);
      ASSERT_NE(state, nullptr);
      embeddings.emplace_back(state, state + llama_model_n_embd(model.get()));
      EXPECT_TRUE(std::isfinite(spread_of(embeddings.back())));
      EXPECT_GT(spread_of(embeddings.back()), 0.1);
    }
    EXPECT_NE(embeddings[0], embeddings[1]);
  }
}

TEST_F(Synthesized, AnAdapterChangesWhatTheModelSays) {
  SynthWish wish;
  wish.shape = "llama";
  const std::string path = written(wish);
  const std::unique_ptr<Os> os = make_real_os();
  const auto file = os->map_file(path);
  ASSERT_TRUE(file);
  const Result<Gguf> base = read_gguf((*file)->bytes());
  ASSERT_TRUE(base);
  const Result<SynthModel> lora = synth_lora(*base, 8, 1);
  ASSERT_TRUE(lora);
  const Model model = loaded(path);
  ASSERT_NE(model, nullptr);
  llama_adapter_lora* adapter =
      llama_adapter_lora_init(model.get(), written(*lora, "lora.gguf").c_str());
  ASSERT_NE(adapter, nullptr);  // freed with the model
  const std::vector<llama_token> tokens = tokens_of(model.get(), "Hello world");
  const std::vector<float> plain = logits_of(model.get(), tokens);
  const std::vector<float> adapted = logits_of(model.get(), tokens, adapter);
  ASSERT_EQ(plain.size(), adapted.size());
  std::vector<float> difference;
  for (size_t i = 0; i < plain.size(); ++i) difference.push_back(plain[i] - adapted[i]);
  EXPECT_GT(spread_of(difference), 0.05);
  EXPECT_LT(spread_of(difference), 3);
}

// The values of so many random blocks as ggml reads them.
std::vector<float> read_by_ggml(uint32_t type, double spread, uint64_t seed) {
  constexpr size_t kElements = 1 << 20;
  const TensorType& layout = *tensor_type(type);
  std::vector<std::byte> blocks(kElements / layout.block * layout.bytes);
  Rng rng(seed);
  RandomBlocks(type, spread).fill(rng, blocks);
  std::vector<float> values(kElements);
  if (type == GGML_TYPE_F32) {
    std::memcpy(values.data(), blocks.data(), blocks.size());
  } else {
    const auto* traits = ggml_get_type_traits(static_cast<ggml_type>(type));
    traits->to_float(blocks.data(), values.data(), static_cast<int64_t>(kElements));
  }
  return values;
}

TEST(Blocks, HaveTheSpreadThatWasAskedFor) {
  for (const uint32_t type : random_block_types()) {
    for (const double width : {64.0, 4096.0, 28672.0}) {
      SCOPED_TRACE(std::string(tensor_type(type)->name) + " " + std::to_string(width));
      const double spread = 1 / std::sqrt(width);
      const std::vector<float> values = read_by_ggml(type, spread, 7);
      double sum = 0;
      for (const float value : values) {
        ASSERT_TRUE(std::isfinite(value));
        sum += value;
      }
      const double mean = sum / static_cast<double>(values.size());
      EXPECT_NEAR(mean / spread, 0, 0.01);
      EXPECT_NEAR(spread_of(values) / spread, 1, 0.015);
    }
  }
}

// Rows of a matrix whose mean were not zero would add up the same amount into every output.
TEST(Blocks, SumOfAWideRowStaysSmall) {
  for (const uint32_t type : random_block_types()) {
    const std::vector<float> values = read_by_ggml(type, 1, 3);
    constexpr size_t kRow = 4096;
    double worst = 0;
    for (size_t row = 0; row + kRow <= values.size(); row += kRow) {
      double sum = 0;
      for (size_t i = 0; i < kRow; ++i) sum += values[row + i];
      worst = std::max(worst, std::fabs(sum) / std::sqrt(double{kRow}));
    }
    EXPECT_LT(worst, 6) << tensor_type(type)->name;  // of a normal distribution's 256 draws: 3
  }
}

}  // namespace
}  // namespace gantry
