// Wishes: defaults, derived sizes, refusals at the limits; and weights piece by piece.
#include "model/synth.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "model/card.h"
#include "model/gguf.h"

namespace gantry {
namespace {

SynthWish wish_for(const std::string& shape) {
  SynthWish wish;
  wish.shape = shape;
  return wish;
}

// The whole file in memory.
std::string file_of(const SynthModel& model) {
  std::string file = model.head;
  file.resize(model.bytes);
  for (const SynthTensor& tensor : model.tensors) {
    for (uint64_t i = 0; i < synth_pieces(tensor); ++i) {
      const SynthPiece piece = synth_piece(tensor, i);
      synth_fill(tensor, model.seed, i,
                 std::as_writable_bytes(std::span(file.data() + piece.offset, piece.bytes)));
    }
  }
  return file;
}

ModelCard card_of(const SynthWish& wish) {
  const Result<SynthModel> model = synth_model(wish);
  EXPECT_TRUE(model) << model.error().message;
  if (!model) return {};
  const std::string file = file_of(*model);
  const Result<ModelCard> card = read_card(std::as_bytes(std::span(file)));
  EXPECT_TRUE(card) << card.error().message;
  return card.value_or(ModelCard{});
}

void expect_refused(const SynthWish& wish, Code code, const std::string& says) {
  const Result<SynthModel> model = synth_model(wish);
  ASSERT_FALSE(model) << says;
  EXPECT_EQ(model.error().code, code) << model.error().message;
  EXPECT_NE(model.error().message.find(says), std::string::npos) << model.error().message;
  EXPECT_FALSE(model.error().remedy.empty());
}

TEST(Synth, OurParserReadsEveryArchitecture) {
  for (const SynthShape& shape : synth_shapes()) {
    if (shape.embd > 256) continue;
    const ModelCard card = card_of(wish_for(std::string(shape.name)));
    EXPECT_EQ(card.architecture, shape.architecture);
    EXPECT_EQ(card.layers, shape.layers);
    EXPECT_EQ(card.experts, shape.experts);
    EXPECT_EQ(card.vocab, shape.vocab);
    EXPECT_EQ(card.has_chat_template, shape.architecture != "bert");
    EXPECT_EQ(card.state_bytes.n > 0, card.architecture.starts_with("mamba") ||
                                          card.architecture == "jamba" ||
                                          card.architecture == "granitehybrid" ||
                                          card.architecture == "lfm2") << shape.name;
  }
}

TEST(Synth, EveryQuantIsWhatMostBytesAreIn) {
  for (const std::string_view quant : synth_quants()) {
    SynthWish wish = wish_for("llama");
    wish.quant = quant;
    const std::string plain(quant.ends_with("_M") ? quant.substr(0, quant.size() - 2) : quant);
    EXPECT_EQ(card_of(wish).quantisation, plain);
  }
}

TEST(Synth, SizesThatAreGivenHold) {
  SynthWish wish = wish_for("qwen3moe");
  wish.layers = 2;
  wish.embd = 512;
  wish.ff = 64;
  wish.heads = 6;
  wish.kv_heads = 3;
  wish.head_size = 32;
  wish.experts = 5;
  wish.experts_used = 3;
  wish.vocab = 300;
  wish.context = 77;
  const ModelCard card = card_of(wish);
  EXPECT_EQ(card.layers, 2U);
  EXPECT_EQ(card.embd, 512U);
  EXPECT_EQ(card.ffn, 64U * 3);
  EXPECT_EQ(card.heads, 6U);
  EXPECT_EQ(card.heads_kv, 3U);
  EXPECT_EQ(card.kv.at(0).k_head, 32U);
  EXPECT_EQ(card.experts, 5U);
  EXPECT_EQ(card.experts_used, 3U);
  EXPECT_EQ(card.vocab, 300U);
  EXPECT_EQ(card.context_trained, 77U);
}

TEST(Synth, ScaleKeepsTheHeadsSize) {
  SynthWish wish = wish_for("8b");
  wish.scale = 0.25;
  wish.layers = 1;
  wish.vocab = 300;
  wish.quant = "Q4_K";
  const ModelCard card = card_of(wish);
  EXPECT_EQ(card.embd, 1024U);
  EXPECT_EQ(card.ffn, 3584U);
  EXPECT_EQ(card.heads, 8U);
  EXPECT_EQ(card.heads_kv, 2U);
}

TEST(Synth, EveryRealShapeScalesWithEveryQuant) {
  for (const SynthShape& shape : synth_shapes()) {
    for (const double scale : {kSynthScaleMin, 0.1, 0.3, 2.0}) {
      for (const char* quant : {"Q4_K_M", "NVFP4"}) {
        SynthWish wish = wish_for(std::string(shape.name));
        wish.scale = scale;
        wish.quant = quant;
        wish.vocab = 300;
        const Result<SynthModel> model = synth_model(wish);
        EXPECT_TRUE(model) << shape.name << " " << scale << ": " << model.error().message;
      }
    }
  }
}

TEST(Synth, RefusesWhatIsUnknown) {
  expect_refused(wish_for("9b"), Code::kUsage, "9b");
  SynthWish wish = wish_for("llama");
  wish.quant = "q8_0";
  expect_refused(wish, Code::kUsage, "q8_0");
}

TEST(Synth, LimitsHoldAndOneMoreIsRefused) {
  struct Limit {
    std::optional<uint32_t> SynthWish::* field;
    uint32_t least, most;
  };
  for (const Limit& limit : {Limit{&SynthWish::layers, 1, kLayersMax},
                             Limit{&SynthWish::vocab, kSynthVocabMin, kSynthVocabMax},
                             Limit{&SynthWish::context, 1, kContextMax}}) {
    SynthWish wish = wish_for("mixtral");
    wish.*limit.field = limit.least;
    EXPECT_TRUE(synth_model(wish));
    wish.*limit.field = limit.most;
    EXPECT_TRUE(synth_model(wish));
    wish.*limit.field = limit.most + 1;
    expect_refused(wish, Code::kTooLarge, std::to_string(limit.most + 1));
    wish.*limit.field = limit.least - 1;
    EXPECT_FALSE(synth_model(wish));
  }
  SynthWish experts = wish_for("mixtral");
  experts.experts = kSynthExpertsMax;
  EXPECT_TRUE(synth_model(experts));
  experts.experts = kSynthExpertsMax + 1;
  expect_refused(experts, Code::kTooLarge, "--experts");
  SynthWish wish = wish_for("llama");
  wish.ff = kSynthWidthMax;
  EXPECT_TRUE(synth_model(wish));
  wish.ff = kSynthWidthMax + 256;
  expect_refused(wish, Code::kTooLarge, "--ff");
  for (const double scale : {kSynthScaleMin / 2, kSynthScaleMax * 2, 0.0, -1.0, std::nan("")}) {
    SynthWish scaled = wish_for("llama");
    scaled.scale = scale;
    expect_refused(scaled, Code::kUsage, "--scale");
  }
}

TEST(Synth, RefusesNumbersThatDoNotGoTogether) {
  using Change = std::function<void(SynthWish&)>;
  struct Case {
    const char* shape;
    Change change;
    const char* says;
  };
  const std::vector<Case> cases = {
      {"llama", [](SynthWish& w) { w.embd = 100; w.heads = 3; }, "not a multiple of 3 heads"},
      {"llama", [](SynthWish& w) { w.embd = 48; w.heads = 2; }, "blocks of 32"},
      {"llama", [](SynthWish& w) { w.embd = 128; w.quant = "Q4_K"; }, "blocks of 256"},
      {"llama", [](SynthWish& w) { w.ff = 100; }, "--ff 100"},
      {"llama", [](SynthWish& w) { w.ff = 0; }, "--ff is 0"},
      {"llama", [](SynthWish& w) { w.heads = 0; }, "--heads is 0"},
      {"llama", [](SynthWish& w) { w.kv_heads = 3; }, "cannot share"},
      {"llama", [](SynthWish& w) { w.head_size = 33; w.heads = 32; }, "cannot be rotated"},
      {"llama", [](SynthWish& w) { w.experts_used = 1; }, "1 of 0 experts"},
      {"mixtral", [](SynthWish& w) { w.experts_used = 9; }, "9 of 8 experts"},
      {"mixtral", [](SynthWish& w) { w.experts_used = 0; }, "0 of 8 experts"},
      {"qwen3moe", [](SynthWish& w) { w.experts = 0; }, "has experts"},
      {"granite", [](SynthWish& w) { w.experts = 4; w.experts_used = 1; }, "no experts"},
      {"qwen2", [](SynthWish& w) { w.head_size = 32; }, "heads of 32"},
      {"mamba2", [](SynthWish& w) { w.embd = 40; w.quant = "F16"; }, "heads of 64"},
  };
  for (const Case& wrong : cases) {
    SynthWish wish = wish_for(wrong.shape);
    wrong.change(wish);
    SCOPED_TRACE(wrong.says);
    expect_refused(wish, Code::kUsage, wrong.says);
  }
  SynthWish mamba = wish_for("mamba");
  mamba.heads = 4;
  expect_refused(mamba, Code::kTooLarge, "--heads");
}

TEST(Synth, SeedDecidesEveryByte) {
  SynthWish wish = wish_for("mamba");
  const std::string first = file_of(*synth_model(wish));
  EXPECT_EQ(file_of(*synth_model(wish)), first);
  wish.seed = 2;
  const std::string other = file_of(*synth_model(wish));
  EXPECT_EQ(other.size(), first.size());
  EXPECT_NE(other, first);
}

TEST(Synth, ALayersWeightsDoNotDependOnTheOthers) {
  SynthWish wish = wish_for("llama");
  const SynthModel four = *synth_model(wish);
  wish.layers = 2;
  const SynthModel two = *synth_model(wish);
  const std::string first = file_of(four), other = file_of(two);
  const auto bytes = [](const SynthModel& model, const std::string& file) {
    const auto tensor = std::ranges::find(model.tensors, "blk.1.attn_q.weight",
                                          &SynthTensor::name);
    return file.substr(tensor->offset, tensor->bytes);
  };
  EXPECT_EQ(bytes(four, first), bytes(two, other));
}

TEST(Synth, PiecesCoverATensorOnce) {
  const uint64_t block = 34, most = kSynthPieceBytes / block;
  for (const uint64_t blocks : {uint64_t{1}, most, most + 1, 2 * most}) {
    const SynthTensor tensor{.name = "t", .shape = {32, blocks}, .type = 8, .spread = 1,
                             .offset = 64, .bytes = blocks * block};
    uint64_t at = 64;
    for (uint64_t i = 0; i < synth_pieces(tensor); ++i) {
      const SynthPiece piece = synth_piece(tensor, i);
      EXPECT_EQ(piece.offset, at);
      EXPECT_EQ(piece.bytes % block, 0U);
      EXPECT_GT(piece.bytes, 0U);
      EXPECT_LE(piece.bytes, kSynthPieceBytes);
      at += piece.bytes;
    }
    EXPECT_EQ(at, 64 + blocks * block);
    EXPECT_EQ(synth_pieces(tensor), (blocks + most - 1) / most);
  }
}

TEST(Synth, TokensThatEndATextHaveZeroRows) {
  const SynthModel model = *synth_model(wish_for("llama"));
  const std::string file = file_of(model);
  const auto output = std::ranges::find(model.tensors, "output.weight", &SynthTensor::name);
  const std::string rows = file.substr(output->offset, output->bytes);
  const size_t row = 256 / 32 * 34;
  EXPECT_EQ(rows.substr(0, 2 * row), std::string(2 * row, '\0'));
  EXPECT_NE(rows.substr(2 * row, row), std::string(row, '\0'));
}

TEST(Synth, SmallTensorsHoldWhatTheirKindSays) {
  const auto values = [](SynthFill fill, std::vector<uint64_t> shape, double spread) {
    SynthTensor tensor{.name = "t", .shape = shape, .fill = fill, .spread = spread};
    tensor.bytes = 4;
    for (const uint64_t size : shape) tensor.bytes *= size;
    std::vector<float> out(tensor.bytes / 4);
    synth_fill(tensor, 1, 0, std::as_writable_bytes(std::span(out)));
    return out;
  };
  for (const float one : values(SynthFill::kOnes, {1000}, 0.1)) EXPECT_NEAR(one, 1, 0.1001);
  EXPECT_EQ(values(SynthFill::kDecay, {5, 2}, 0),
            (std::vector<float>{-1, -2, -3, -4, -5, -1, -2, -3, -4, -5}));
  for (const float decay : values(SynthFill::kHeadDecay, {1, 100}, 0)) {
    EXPECT_LE(decay, -1);
    EXPECT_GE(decay, -16);
  }
  for (const float bias : values(SynthFill::kTimeStep, {100}, 0)) {
    const double step = std::log1p(std::exp(bias));  // softplus
    EXPECT_GT(step, 0.00099);
    EXPECT_LT(step, 0.101);
  }
}

}  // namespace
}  // namespace gantry
