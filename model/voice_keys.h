// The speech engines of gantry-voice and gantry-espeak, and the files and numbers that each takes.
// Names are sherpa-onnx's own (c-api.h of 2.0.1). Configuration, planner and worker read them here.
#pragma once

#include <span>
#include <string_view>

namespace gantry {

enum class VoiceKeyShape { kFile, kText, kNumber };

struct VoiceKey {
  std::string_view name;
  VoiceKeyShape shape = VoiceKeyShape::kFile;
  bool required = false;
};

struct VoiceEngine {
  std::string_view name;
  std::string_view kind;           // of the models: "voice", "diarization", "speech", "vad"
  std::span<const VoiceKey> keys;  // the first one is the model's `file`, if there are any
};

// A voice without a model, by the program of the same name.
constexpr std::string_view kEspeakEngine = "espeak-ng";
// By gantry-worker tts: Pocket TTS and Qwen3-TTS.
constexpr std::string_view kGgufVoiceEngine = "pocket-gguf", kQwenVoiceEngine = "qwen3tts-gguf";
bool is_gguf_voice(std::string_view engine);
constexpr std::string_view kDiarizationEngine = "pyannote";
constexpr std::string_view kSpeakersModel = "speakers";  // the name of ours
constexpr std::string_view kSileroEngine = "silero";  // where somebody speaks, not who
constexpr std::string_view kSileroModel = "silero-vad";  // the name of ours
constexpr std::string_view kMoonshineEngine = "moonshine";
constexpr std::string_view kMoonshineModel = "moonshine-tiny-en";  // the name of ours

// Options of a command that serves sound; `test_s`: for its answer at start-up.
std::span<const VoiceKey> command_keys();

std::span<const VoiceEngine> voice_engines();
const VoiceEngine* find_voice_engine(std::string_view name);  // null: no such
const VoiceKey* find_voice_key(const VoiceEngine& engine, std::string_view name);

}  // namespace gantry
