// bench/bytes: every model's shape in every configuration, by formula and by the engine: the dry
// run of llama.cpp, the log of whisper.cpp.
// usage: bytes_matrix WORKER PHANTOM SCRATCH > bench/results/bytes.json
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "lab/plan/differ.h"
#include "lab/plan/speech.h"

namespace gantry {
namespace {

struct Row {
  const char* shape;
  uint32_t layers, embd, ff, heads, kv_heads, vocab;
  const char* quant;
  bool tied;
};

// Shapes of well-known models, whole; 0: as synth has it.
constexpr Row kRows[] = {
    {"llama", 22, 2048, 5632, 32, 4, 32000, "Q4_K_M", false},
    {"llama", 16, 2048, 8192, 32, 8, 128256, "Q4_K_M", true},
    {"llama", 28, 3072, 8192, 24, 8, 128256, "Q8_0", true},
    {"llama", 32, 4096, 11008, 32, 32, 32000, "Q4_0", false},
    {"llama", 32, 4096, 14336, 32, 8, 128256, "Q4_K_M", false},
    {"llama", 32, 4096, 14336, 32, 8, 128256, "F16", false},
    {"llama", 32, 4096, 14336, 32, 8, 32768, "IQ4_XS", false},
    {"llama", 40, 5120, 13824, 40, 40, 32000, "Q5_K_M", false},
    {"llama", 40, 5120, 14336, 32, 8, 131072, "Q4_K_M", false},
    {"llama", 60, 6656, 17920, 52, 52, 32000, "Q4_0", false},
    {"llama", 80, 8192, 28672, 64, 8, 128256, "Q4_K_M", false},
    {"llama", 80, 8192, 28672, 64, 8, 128256, "IQ2_XS", false},
    {"qwen2", 24, 896, 4864, 14, 2, 151936, "Q8_0", true},
    {"qwen2", 28, 1536, 8960, 12, 2, 151936, "Q4_K_M", true},
    {"qwen2", 28, 3584, 18944, 28, 4, 152064, "Q4_K_M", false},
    {"qwen2", 48, 5120, 13824, 40, 8, 152064, "Q4_K_M", false},
    {"qwen2", 64, 5120, 27648, 40, 8, 152064, "Q3_K", false},
    {"qwen3", 28, 1024, 3072, 16, 8, 151936, "Q8_0", true},
    {"qwen3", 36, 2560, 9728, 32, 8, 151936, "Q4_K_M", true},
    {"qwen3", 36, 4096, 12288, 32, 8, 151936, "Q4_K_M", false},
    {"qwen3", 64, 5120, 25600, 64, 8, 151936, "Q6_K", false},
    {"qwen3moe", 48, 2048, 768, 32, 4, 151936, "Q4_K_M", false},
    {"mixtral", 32, 4096, 14336, 32, 8, 32000, "Q4_K_M", false},
    {"gemma2", 26, 2304, 9216, 8, 4, 256000, "Q4_K_M", true},
    {"gemma2", 42, 3584, 14336, 16, 8, 256000, "Q4_K_M", true},
    {"gemma", 26, 1152, 6912, 4, 1, 262144, "Q8_0", true},
    {"gemma", 34, 2560, 10240, 8, 4, 262144, "Q4_K_M", true},
    {"gemma", 48, 3840, 15360, 16, 8, 262144, "Q4_0", true},
    {"phi2", 32, 2560, 10240, 32, 32, 51200, "Q4_K_M", false},
    {"phi", 32, 3072, 8192, 32, 32, 32064, "Q4_K_M", false},
    {"phi", 40, 5120, 17920, 40, 10, 100352, "Q4_K_M", false},
    {"granite", 40, 2048, 8192, 32, 8, 49152, "Q4_K_M", true},
    {"granitehybrid", 32, 1536, 4096, 12, 4, 100352, "Q4_K_M", true},
    {"jamba", 32, 4096, 14336, 32, 8, 65536, "Q4_K_M", false},
    {"lfm2", 16, 2048, 8192, 32, 8, 65536, "Q4_K_M", true},
    {"mamba", 64, 2560, 0, 0, 0, 50280, "Q8_0", true},
    {"mamba2", 64, 2560, 0, 0, 0, 50280, "Q4_K_M", true},
    {"bert", 12, 768, 3072, 12, 12, 30522, "F16", false},
    {"bert", 24, 1024, 4096, 16, 16, 30522, "Q8_0", false},
};

SynthWish wish_for(const Row& row) {
  SynthWish wish;
  wish.shape = row.shape;
  wish.quant = row.quant;
  wish.layers = row.layers;
  wish.embd = row.embd;
  wish.vocab = row.vocab;
  wish.context = 32768;
  wish.tied = row.tied;
  if (row.ff > 0) wish.ff = row.ff;
  if (row.heads > 0) {
    wish.heads = row.heads;
    wish.kv_heads = row.kv_heads;
  }
  return wish;
}

std::vector<Configuration> configurations(const Row& row) {
  const uint32_t n = row.layers;
  if (std::string_view(row.shape) == "bert") {
    return {{.context = 512, .embeddings = true},
            {.context = 2048, .embeddings = true},
            {.context = 512, .flash = true, .embeddings = true},
            {.context = 8192, .flash = true, .embeddings = true},
            {.context = 512, .embeddings = true, .gpus = {n}},
            {.context = 2048, .flash = true, .embeddings = true, .gpus = {n}}};
  }
  const CacheType q8 = CacheType::kQ8_0, q4 = CacheType::kQ4_0;
  return {{.context = 4096},
          {.context = 16384, .ubatch = 1024, .flash = true},
          {.context = 2048, .parallel = 4, .ubatch = 256},
          {.context = 8192, .cache_k = q8, .cache_v = q8, .flash = true},
          {.context = 4096, .gpus = {n}},
          {.context = 8192, .flash = true, .gpus = {n}},
          {.context = 4096, .flash = true, .gpus = {n / 2}},
          {.context = 4096, .gpus = {n * 2 / 3}},
          {.context = 8192, .cache_k = q8, .cache_v = q4, .flash = true, .gpus = {n}},
          {.context = 4096, .flash = true, .gpus = {n / 2, n - n / 2}}};
}

struct SpeechRow {
  const char* name;
  uint32_t state, heads, audio_layers, text_layers, vocab, mels;
};

// Whisper's, whole; each in F16, Q8_0 and Q5_0.
constexpr SpeechRow kSpeech[] = {
    {"tiny.en", 384, 6, 4, 4, 51864, 80},        {"tiny", 384, 6, 4, 4, 51865, 80},
    {"base", 512, 8, 6, 6, 51865, 80},           {"small", 768, 12, 12, 12, 51865, 80},
    {"medium", 1024, 16, 24, 24, 51865, 80},     {"large-v2", 1280, 20, 32, 32, 51865, 80},
    {"large-v3", 1280, 20, 32, 32, 51866, 128},  {"turbo", 1280, 20, 32, 4, 51866, 128},
};
constexpr std::pair<const char*, uint32_t> kSpeechTypes[] = {{"F16", 1}, {"Q8_0", 8}, {"Q5_0", 6}};

class Matrix {
 public:
  explicit Matrix(const DifferPaths& paths) : paths_(paths) {}
  Result<void> language(const Row& row);
  Result<void> speech(const SpeechRow& row, const char* quant, uint32_t type);
  nlohmann::json finish();

 private:
  void add(const std::string& model, const std::string& configuration,
           const std::vector<Difference>& found);

  DifferPaths paths_;
  nlohmann::json rows_ = nlohmann::json::array();
  std::vector<double> errors_;
  size_t models_ = 0, outside_ = 0, configurations_ = 0;
};

void Matrix::add(const std::string& model, const std::string& configuration,
                 const std::vector<Difference>& found) {
  ++configurations_;
  for (const Difference& one : found) {
    if (one.engine == 0 && one.formula == 0) continue;
    rows_.push_back({{"model", model},        {"configuration", configuration},
                     {"device", one.device},  {"kind", one.kind},
                     {"formula", one.formula}, {"engine", one.engine},
                     {"error", one.error()},  {"within", one.within()}});
    errors_.push_back(std::abs(one.error()));
    if (one.within()) continue;
    ++outside_;
    std::fprintf(stderr, "%s\n", rows_.back().dump().c_str());
  }
}

Result<void> Matrix::language(const Row& row) {
  const auto file = sparse_model(paths_, wish_for(row));
  if (!file) return fail(file.error());
  ++models_;
  for (const Configuration& configuration : configurations(row)) {
    const auto found = differ(paths_, *file, configuration);
    if (!found) return fail(found.error());
    add(fmt::format("{} {}x{} {}", row.shape, row.layers, row.embd, row.quant),
        configuration.text(), *found);
  }
  std::filesystem::remove(*file);
  return {};
}

Result<void> Matrix::speech(const SpeechRow& row, const char* quant, uint32_t type) {
  const WhisperShape shape = {row.vocab, 1500, row.state, row.heads, row.audio_layers,
                              448, row.state, row.heads, row.text_layers, row.mels};
  const auto file = sparse_speech_model(paths_, shape, type);
  if (!file) return fail(file.error());
  ++models_;
  for (const bool on_card : {false, true}) {
    const auto found = differ_speech(paths_, *file, on_card);
    if (!found) return fail(found.error());
    add(fmt::format("whisper {} {}", row.name, quant), on_card ? "gpu" : "cpu", *found);
  }
  std::filesystem::remove(*file);
  return {};
}

nlohmann::json Matrix::finish() {
  std::ranges::sort(errors_);
  return {{"models", models_},
          {"configurations", configurations_},
          {"figures", errors_.size()},
          {"outside_1_percent_and_2_mib", outside_},
          {"error_median", errors_[errors_.size() / 2]},
          {"error_worst", errors_.back()},
          {"rows", rows_}};
}

Result<nlohmann::json> run(const DifferPaths& paths) {
  Matrix matrix(paths);
  for (const Row& row : kRows) {
    if (Result<void> done = matrix.language(row); !done) return fail(done.error());
  }
  for (const SpeechRow& row : kSpeech) {
    for (const auto& [quant, type] : kSpeechTypes) {
      if (Result<void> done = matrix.speech(row, quant, type); !done) return fail(done.error());
    }
  }
  return matrix.finish();
}

}  // namespace
}  // namespace gantry

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bytes_matrix WORKER PHANTOM SCRATCH\n");
    return 2;
  }
  const auto out = gantry::run({argv[1], argv[2], argv[3]});
  if (!out) return std::fprintf(stderr, "%s\n", gantry::describe(out.error()).c_str()), 1;
  std::printf("%s\n", out->dump(1).c_str());
  return 0;
}
