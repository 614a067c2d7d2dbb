// Models with random weights: real architectures and shapes, bytes that nobody has to download.
//
// synth_model() decides everything (shapes, metadata, offsets) without writing a weight; the
// weights of any part of the file then follow from the seed, the tensor's name and the place, so
// that they can be made in any order, on any number of threads, in constant memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace gantry {

constexpr uint32_t kSynthVocabMin = 261;  // every byte, and five special tokens
constexpr uint32_t kSynthVocabMax = 1'000'000;
constexpr uint32_t kSynthExpertsMax = 512;   // as in llama.cpp
constexpr uint32_t kSynthWidthMax = 1 << 20;  // embd, ff, head size
constexpr uint32_t kSynthHeadsMax = 1 << 12;
constexpr double kSynthScaleMin = 1.0 / 64, kSynthScaleMax = 8;

// A row of `gantry synth --list`.
struct SynthShape {
  std::string_view name;          // what the user writes: "8b", "qwen3moe"
  std::string_view architecture;  // what llama.cpp calls it
  std::string_view about;
  uint32_t layers = 4;
  uint32_t embd = 256;
  uint32_t ff = 512;        // of one expert where there are experts
  uint32_t heads = 4;
  uint32_t kv_heads = 2;
  uint32_t head_size = 0;   // 0: embd / heads
  uint32_t experts = 0;
  uint32_t experts_used = 0;
  uint32_t vocab = 2048;
  uint32_t context = 2048;
  bool tied = false;        // the embedding is the output matrix
};
std::span<const SynthShape> synth_shapes();

// What the user asked for; what is absent is as in the shape.
struct SynthWish {
  std::string shape;
  std::optional<uint32_t> layers, embd, ff, heads, kv_heads, head_size, experts, experts_used,
      vocab, context;
  double scale = 1;  // of embd, ff and heads; the head size stays, widths stay multiples of 256
  std::string quant = "Q8_0";
  bool tied = false;
  uint64_t seed = 1;
};

enum class SynthFill {
  kNormal,      // mean 0, standard deviation `spread`
  kOnes,        // between 1 - spread and 1 + spread
  kDecay,       // mamba's A: -1 to -n along a row
  kHeadDecay,   // mamba2's A: one number of -16 to -1 for each head
  kTimeStep,    // mamba's dt: softplus of it is 0.001 to 0.1
};

struct SynthTensor {
  std::string name;
  std::vector<uint64_t> shape;  // (fastest, ..., slowest)
  uint32_t type = 0;
  SynthFill fill = SynthFill::kNormal;
  double spread = 0;
  uint64_t zero_rows = 0;  // so many rows at the start hold zeros
  uint64_t offset = 0;     // from the start of the file
  uint64_t bytes = 0;
};

struct SynthModel {
  std::string name;    // "8b", as in the wish
  std::string architecture;
  std::string quant;
  std::string head;    // the file's start, padding included
  std::vector<SynthTensor> tensors;
  uint64_t bytes = 0;  // of the whole file
  uint64_t parameters = 0;
  uint32_t layers = 0;
  uint64_t seed = 0;
};

// kUsage where names are unknown or numbers do not go together, kTooLarge over a limit.
[[nodiscard]] Result<SynthModel> synth_model(const SynthWish& wish);

// The names that --quant takes.
std::vector<std::string_view> synth_quants();

// A tensor's weights are made in pieces of at most this many bytes.
constexpr uint64_t kSynthPieceBytes = 4 << 20;
uint64_t synth_pieces(const SynthTensor& tensor);
struct SynthPiece {
  uint64_t offset = 0;  // in the file
  uint64_t bytes = 0;
};
SynthPiece synth_piece(const SynthTensor& tensor, uint64_t piece);
// Fills `out`, which has that piece's size.
void synth_fill(const SynthTensor& tensor, uint64_t seed, uint64_t piece,
                std::span<std::byte> out);

}  // namespace gantry
