// The table of speech engines.
#include "model/voice_keys.h"

#include <algorithm>

namespace gantry {

namespace {

using enum VoiceKeyShape;

constexpr VoiceKey kPyannote[] = {{"model", kFile, true}, {"embedding", kFile, true},
                                  {"min_duration_on", kNumber}, {"min_duration_off", kNumber},
                                  {"window_shift_ratio", kNumber}};
constexpr VoiceKey kSilero[] = {{"model", kFile, true}};
constexpr VoiceKey kVits[] = {{"model", kFile, true}, {"tokens", kFile, true}, {"lexicon"},
                              {"phonemes", kText}, {"rule_fsts"}, {"rule_fars"},
                              {"noise_scale", kNumber}, {"noise_scale_w", kNumber},
                              {"length_scale", kNumber}, {"silence_scale", kNumber}};
constexpr VoiceKey kMatcha[] = {{"acoustic_model", kFile, true}, {"vocoder", kFile, true},
                                {"tokens", kFile, true}, {"lexicon"}, {"phonemes", kText},
                                {"rule_fsts"}, {"rule_fars"}, {"noise_scale", kNumber},
                                {"length_scale", kNumber}, {"silence_scale", kNumber}};
constexpr VoiceKey kKokoro[] = {{"model", kFile, true}, {"voices", kFile, true},
                                {"tokens", kFile, true}, {"lexicon"}, {"phonemes", kText},
                                {"rule_fsts"}, {"rule_fars"}, {"lang", kText},
                                {"length_scale", kNumber}, {"silence_scale", kNumber}};
constexpr VoiceKey kKitten[] = {{"model", kFile, true}, {"voices", kFile, true},
                                {"tokens", kFile, true}, {"lexicon"}, {"phonemes", kText},
                                {"length_scale", kNumber}, {"silence_scale", kNumber}};
constexpr VoiceKey kZipvoice[] = {{"encoder", kFile, true}, {"decoder", kFile, true},
                                  {"vocoder", kFile, true}, {"tokens", kFile, true}, {"lexicon"},
                                  {"reference_audio", kFile, true},
                                  {"reference_text", kText, true}, {"num_steps", kNumber}};
constexpr VoiceKey kPocket[] = {{"lm_main", kFile, true}, {"lm_flow", kFile, true},
                                {"encoder", kFile, true}, {"decoder", kFile, true},
                                {"text_conditioner", kFile, true}, {"vocab_json", kFile, true},
                                {"token_scores_json", kFile, true},
                                {"reference_audio", kFile, true}, {"num_steps", kNumber}};
constexpr VoiceKey kSupertonic[] = {
    {"text_encoder", kFile, true}, {"duration_predictor", kFile, true},
    {"vector_estimator", kFile, true}, {"vocoder", kFile, true}, {"tts_json", kFile, true},
    {"unicode_indexer", kFile, true}, {"voice_style", kFile, true}, {"num_steps", kNumber}};
// By llama.cpp: a GGUF file and its projector.
constexpr VoiceKey kPocketGguf[] = {{"model", kFile, true}, {"projector", kFile, true},
                                    {"reference_audio"}, {"stream", kText}};
constexpr VoiceKey kQwenGguf[] = {{"model", kFile, true}, {"projector", kFile, true},
                                  {"reference_audio"}, {"language", kText}, {"stream", kText}};
// Every recogniser takes these: what is done to the sound before, and to the text after.
constexpr VoiceKey kPunctuation = {"punctuation"}, kDenoise = {"denoise"};
constexpr VoiceKey kParaformer[] = {{"model", kFile, true}, {"tokens", kFile, true},
                                    {"rule_fsts"}, {"rule_fars"}, kPunctuation, kDenoise};
constexpr VoiceKey kStreamingParaformer[] = {
    {"encoder", kFile, true}, {"decoder", kFile, true}, {"tokens", kFile, true},
    {"rule_fsts"}, {"rule_fars"}, kPunctuation, kDenoise};
constexpr VoiceKey kSenseVoice[] = {{"model", kFile, true}, {"tokens", kFile, true},
                                    {"language", kText}, {"use_itn", kNumber},
                                    {"rule_fsts"}, {"rule_fars"}, kPunctuation, kDenoise};
constexpr VoiceKey kWhisper[] = {{"encoder", kFile, true}, {"decoder", kFile, true},
                                 {"tokens", kFile, true}, {"language", kText},
                                 {"tail_paddings", kNumber}, {"rule_fsts"}, {"rule_fars"},
                                 kPunctuation, kDenoise};
// Version 1 has a preprocessor and two decoders, version 2 a merged one.
constexpr VoiceKey kMoonshine[] = {{"encoder", kFile, true}, {"tokens", kFile, true},
                                   {"preprocessor"}, {"uncached_decoder"}, {"cached_decoder"},
                                   {"merged_decoder"}, {"rule_fsts"}, {"rule_fars"},
                                   kPunctuation, kDenoise};
constexpr VoiceKey kCommand[] = {{"model", kText}, {"language", kText}, {"test_s", kNumber}};
constexpr VoiceEngine kEngines[] = {
    {kEspeakEngine, "voice", {}},         {"vits", "voice", kVits},
    {"matcha", "voice", kMatcha},         {"kokoro", "voice", kKokoro},
    {"kitten", "voice", kKitten},         {"zipvoice", "voice", kZipvoice},
    {"pocket", "voice", kPocket},         {"supertonic", "voice", kSupertonic},
    {kGgufVoiceEngine, "voice", kPocketGguf},
    {kQwenVoiceEngine, "voice", kQwenGguf},
    {kDiarizationEngine, "diarization", kPyannote},
    {kSileroEngine, "vad", kSilero},
    {"paraformer", "speech", kParaformer},
    {"streaming-paraformer", "speech", kStreamingParaformer},
    {"sense-voice", "speech", kSenseVoice},
    {"whisper", "speech", kWhisper},
    {kMoonshineEngine, "speech", kMoonshine}};

}  // namespace

bool is_gguf_voice(std::string_view engine) {
  return engine == kGgufVoiceEngine || engine == kQwenVoiceEngine;
}

std::span<const VoiceKey> command_keys() { return kCommand; }

std::span<const VoiceEngine> voice_engines() { return kEngines; }

const VoiceEngine* find_voice_engine(std::string_view name) {
  const auto* found = std::ranges::find(kEngines, name, &VoiceEngine::name);
  return found == std::end(kEngines) ? nullptr : found;
}

const VoiceKey* find_voice_key(const VoiceEngine& engine, std::string_view name) {
  const auto found = std::ranges::find(engine.keys, name, &VoiceKey::name);
  return found == engine.keys.end() ? nullptr : &*found;
}

}  // namespace gantry
