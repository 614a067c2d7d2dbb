// File sizes and an allowance; what was measured corrects both, as with every worker.
#include "foreman/voice_bytes.h"

#include "model/voice_keys.h"

namespace gantry {

namespace {

// Allowed for gantry-espeak and its one child while it speaks: more than the 9 MiB that were seen.
constexpr Bytes kEspeakBytes = MiB(12);
// Allowed for the process, onnxruntime and its arenas: 25 MiB were seen without weights.
constexpr Bytes kSherpaBytes = MiB(48);
// A session of onnxruntime holds the weights once more while it arranges them, and what passes
// between layers; files are mostly weights.
constexpr uint64_t kFileTimes = 2;
// Allowed for a quarter of an hour: its samples as floats, what lies between the layers, and the
// distances of all its stretches from each other. 73 MiB were seen before these were compared.
constexpr Bytes kDiarizationBytes = MiB(112);

// Allowed for half a minute of sound, its features, and what lies between a recogniser's layers.
constexpr Bytes kListeningBytes = MiB(32);
// Moonshine's layers see every place of a piece at once: 236 MiB were seen of the smallest one with
// pieces of 28 s, 171 with 15 s.
constexpr Bytes kMoonshineBytes = MiB(80);

// Allowed for a cache of 1,024 positions of 24 layers, and llama.cpp's graphs.
constexpr Bytes kGgufVoiceBytes = MiB(160);

}  // namespace

std::vector<std::string> voice_files(const VoiceConfig& voice) {
  std::vector<std::string> files;
  const VoiceEngine* engine = find_voice_engine(voice.engine);
  if (engine == nullptr) return files;
  for (const auto& [name, value] : voice.options) {
    const VoiceKey* key = find_voice_key(*engine, name);
    if (key != nullptr && key->shape == VoiceKeyShape::kFile) files.push_back(value);
  }
  return files;
}

Bytes voice_bytes(Os& os, const ModelConfig& model) {
  if (model.voice.engine == kEspeakEngine) return kEspeakBytes;
  Bytes bytes = kSherpaBytes;
  if (model.voice.engine == kDiarizationEngine) bytes += kDiarizationBytes;
  const VoiceEngine* engine = find_voice_engine(model.voice.engine);
  if (engine != nullptr && engine->kind == "speech") bytes += kListeningBytes;
  if (model.voice.engine == kMoonshineEngine) bytes += kMoonshineBytes;
  if (is_gguf_voice(model.voice.engine)) bytes += kGgufVoiceBytes;
  std::vector<std::string> files = voice_files(model.voice);
  files.push_back(model.file);
  for (const std::string& file : files) {
    const Result<FileInfo> info = os.stat(file);
    if (info && !info->is_dir) bytes += Bytes{kFileTimes * info->size.n};
  }
  return bytes;
}

}  // namespace gantry
