// The worker as a process: it loads, finds no recording on its input and ends.
#include "lab/plan/speech.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "plan/draw_whisper.h"

namespace gantry {

namespace {

constexpr double kMB = 1e6;
constexpr uint32_t kBins = 201;        // of a spectrum of 400 samples
constexpr uint32_t kTokensMost = 50'257;  // the special ones are whisper.cpp's own

// Type -> ggml's number of a file of that type, its quantisation version in the thousands.
const std::map<uint32_t, int32_t> kFileTypes = {{0, 0},    {1, 1},    {2, 2002}, {3, 2003},
                                                {6, 2008}, {7, 2009}, {8, 2007}};

void put(std::ofstream* out, int64_t number) {
  const auto small = static_cast<int32_t>(number);
  out->write(reinterpret_cast<const char*>(&small), sizeof(small));
}

// The engine's words for what is held, in the order of its log.
struct Line {
  const char* text;
  const char* kind;
};
constexpr std::array kLines = std::to_array<Line>({{"model size", "weights"},
                                                   {"kv self size", "kv"},
                                                   {"kv cross size", "state"},
                                                   {"kv pad  size", "state"},
                                                   {"compute buffer (conv)", "conv"},
                                                   {"compute buffer (encode)", "encode"},
                                                   {"compute buffer (cross)", "cross"},
                                                   {"compute buffer (decode)", "decode"}});

// Bytes by kind: on the card, as its plugin counts them, and together.
struct Said {
  std::map<std::string, double> card, all;
};

Said read_log(const std::string& log) {
  constexpr std::string_view kHolds = " holds ";
  Said said;
  double holds = 0, before = 0;
  std::istringstream in(log);
  for (std::string line; std::getline(in, line);) {
    if (const size_t at = line.find(kHolds); line.starts_with("phantom: ") && at != line.npos) {
      holds = std::strtod(line.c_str() + at + kHolds.size(), nullptr);
    }
    const auto* found = std::ranges::find_if(
        kLines, [&](const Line& one) { return line.find(one.text) != line.npos; });
    const size_t equals = line.find('=');
    if (found == kLines.end() || equals == line.npos) continue;
    said.all[found->kind] += std::strtod(line.c_str() + equals + 1, nullptr) * kMB;
    said.card[found->kind] += holds - before;
    before = holds;
  }
  return said;
}

}  // namespace

Result<std::string> sparse_speech_model(const DifferPaths& paths, const WhisperShape& shape,
                                        uint32_t weight_type) {
  const std::string path = fmt::format("{}/whisper-{}-{}-{}.bin", paths.scratch,
                                       shape.audio_state, shape.audio_layers, weight_type);
  std::ofstream out(path, std::ios::binary);
  put(&out, kWhisperMagic);
  for (const uint32_t number :
       {shape.vocab, shape.audio_context, shape.audio_state, shape.audio_heads,
        shape.audio_layers, shape.text_context, shape.text_state, shape.text_heads,
        shape.text_layers, shape.mels}) {
    put(&out, number);
  }
  put(&out, kFileTypes.at(weight_type));
  put(&out, shape.mels);
  put(&out, kBins);
  out.seekp(std::streamoff{4} * shape.mels * kBins, std::ios::cur);
  const uint32_t tokens = std::min(shape.vocab, kTokensMost);
  put(&out, tokens);
  for (uint32_t i = 0; i < tokens; ++i) {
    const std::string token = fmt::format("{:06}", i);
    put(&out, static_cast<int64_t>(token.size()));
    out << token;
  }
  std::deque<std::string> names;
  for (const WhisperTensor& tensor : whisper_tensors(shape, weight_type, &names)) {
    put(&out, static_cast<int64_t>(tensor.shape.size()));
    put(&out, static_cast<int64_t>(tensor.name.size()));
    put(&out, tensor.type);
    for (const uint64_t side : tensor.shape) put(&out, static_cast<int64_t>(side));
    out << tensor.name;
    out.seekp(static_cast<std::streamoff>(tensor.bytes), std::ios::cur);
  }
  const auto size = static_cast<uint64_t>(out.tellp());
  out.close();
  std::error_code error;
  std::filesystem::resize_file(path, size, error);
  if (!out || error) return fail(Code::kInternal, "cannot write " + path);
  return path;
}

Result<std::vector<Difference>> differ_speech(const DifferPaths& paths, const std::string& file,
                                              bool on_card) {
  const Result<ModelCard> card = card_of(file);
  if (!card) return fail(card.error());
  std::string command = fmt::format("'{}' speech -m '{}' -t 1", paths.worker, file);
  if (on_card) {
    command = fmt::format("GANTRY_PHANTOM=512GiB GGML_BACKEND_PATH='{}' {} --device auto",
                          paths.phantom, command);
  }
  const Result<std::string> log = run_text(command + " < /dev/null");
  if (!log) return fail(log.error());
  const Said said = read_log(*log);
  if (!said.all.contains("decode")) return fail(Code::kWorkerFailed, command + ": " + *log);
  std::vector<Difference> out;
  const auto add = [&](const std::string& kind, uint64_t here, uint64_t host) {
    const double on = said.card.at(kind), beside = said.all.at(kind) - on;
    if (on_card) out.push_back({"gpu0", kind, here, static_cast<uint64_t>(std::llround(on))});
    if (on_card && host == 0) return;
    out.push_back({"cpu", kind, on_card ? host : here,
                   static_cast<uint64_t>(std::llround(std::max(beside, 0.0)))});
  };
  add("weights", card->weight_bytes.n, 0);
  add("kv", card->kv_bytes(card->text_context, CacheType::kF16, CacheType::kF16).n, 0);
  add("state", card->state_bytes.n, 0);
  const WhisperGraphs graphs = draw_whisper(*card, on_card, card->text_context);
  for (size_t i = 0; i < graphs.size(); ++i) {
    const std::vector<uint64_t>& graph = graphs[i];
    const uint64_t host = graph.back() + kWhisperNodeBytes;
    add(std::string(kWhisperGraphs[i]), on_card ? graph.front() : host, host);
  }
  return out;
}

}  // namespace gantry
