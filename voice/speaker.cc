// sherpa-onnx's text to speech, through its C API.
#include "voice/speaker.h"

#include <sherpa-onnx/c-api/c-api.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <vector>

#include "voice/espeak.h"
#include "worker/speech_protocol.h"

namespace gantry {

namespace {

struct TtsFree {
  void operator()(const SherpaOnnxOfflineTts* tts) const { SherpaOnnxDestroyOfflineTts(tts); }
};
using Tts = std::unique_ptr<const SherpaOnnxOfflineTts, TtsFree>;

struct WaveFree {
  void operator()(const SherpaOnnxWave* wave) const { SherpaOnnxFreeWave(wave); }
};
using Wave = std::unique_ptr<const SherpaOnnxWave, WaveFree>;

// Defaults are sherpa-onnx's own where a zero would mean something else.
void set_simple(const VoiceOptions& o, SherpaOnnxOfflineTtsModelConfig* m) {
  if (o.engine == "vits") {
    m->vits = {.model = o.text("model"),
               .lexicon = o.text("lexicon"),
               .tokens = o.text("tokens"),
               .data_dir = "",
               .noise_scale = o.number("noise_scale", 0.667F),
               .noise_scale_w = o.number("noise_scale_w", 0.8F),
               .length_scale = o.number("length_scale", 1),
               .dict_dir = ""};
  } else if (o.engine == "matcha") {
    m->matcha = {.acoustic_model = o.text("acoustic_model"),
                 .vocoder = o.text("vocoder"),
                 .lexicon = o.text("lexicon"),
                 .tokens = o.text("tokens"),
                 .data_dir = "",
                 .noise_scale = o.number("noise_scale", 0.667F),
                 .length_scale = o.number("length_scale", 1),
                 .dict_dir = ""};
  } else if (o.engine == "kokoro") {
    m->kokoro = {.model = o.text("model"),
                 .voices = o.text("voices"),
                 .tokens = o.text("tokens"),
                 .data_dir = "",
                 .length_scale = o.number("length_scale", 1),
                 .dict_dir = "",
                 .lexicon = o.text("lexicon"),
                 .lang = o.text("lang")};
  } else if (o.engine == "kitten") {
    m->kitten = {.model = o.text("model"),
                 .voices = o.text("voices"),
                 .tokens = o.text("tokens"),
                 .data_dir = "",
                 .length_scale = o.number("length_scale", 1),
                 .lexicon = o.text("lexicon")};
  }
}

void set_staged(const VoiceOptions& o, SherpaOnnxOfflineTtsModelConfig* m) {
  if (o.engine == "zipvoice") {
    m->zipvoice = {.tokens = o.text("tokens"),
                   .encoder = o.text("encoder"),
                   .decoder = o.text("decoder"),
                   .vocoder = o.text("vocoder"),
                   .data_dir = "",
                   .lexicon = o.text("lexicon"),
                   .feat_scale = 0.1F,
                   .t_shift = 0.5F,
                   .target_rms = 0.1F,
                   .guidance_scale = 1};
  } else if (o.engine == "pocket") {
    m->pocket = {.lm_flow = o.text("lm_flow"),
                 .lm_main = o.text("lm_main"),
                 .encoder = o.text("encoder"),
                 .decoder = o.text("decoder"),
                 .text_conditioner = o.text("text_conditioner"),
                 .vocab_json = o.text("vocab_json"),
                 .token_scores_json = o.text("token_scores_json"),
                 .voice_embedding_cache_capacity = 1};
  } else if (o.engine == "supertonic") {
    m->supertonic = {.duration_predictor = o.text("duration_predictor"),
                     .text_encoder = o.text("text_encoder"),
                     .vector_estimator = o.text("vector_estimator"),
                     .vocoder = o.text("vocoder"),
                     .tts_json = o.text("tts_json"),
                     .unicode_indexer = o.text("unicode_indexer"),
                     .voice_style = o.text("voice_style")};
  }
}

// UTF-8 that was checked before.
std::vector<int32_t> codepoints(std::string_view text) {
  std::vector<int32_t> out;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t bytes = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    int32_t point = bytes == 1 ? lead : lead & (0x3F >> (bytes - 1));
    for (size_t k = 1; k < bytes && i + k < text.size(); ++k) {
      point = point << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3F);
    }
    out.push_back(point);
    i += bytes;
  }
  return out;
}

// What the engine's callback is given.
struct Listener {
  const std::atomic<bool>& cancel;
  const std::function<void(std::string_view)>& on_pcm;
  size_t samples = 0;
};

int32_t hear(const float* samples, int32_t n, float, void* arg) {
  auto* listener = static_cast<Listener*>(arg);
  std::string pcm;
  for (int32_t i = 0; i < n; ++i) {
    const float sample = std::isfinite(samples[i]) ? std::clamp(samples[i], -1.0F, 1.0F) : 0.0F;
    const auto value = static_cast<uint16_t>(std::lrint(sample * 32767.0F));
    pcm += static_cast<char>(value & 0xFF);
    pcm += static_cast<char>(value >> 8);
    if (pcm.size() < kSpeechPcmMax && i + 1 < n) continue;
    if (listener->cancel) return 0;
    listener->on_pcm(pcm);
    pcm.clear();
  }
  listener->samples += static_cast<size_t>(n);
  return listener->cancel ? 0 : 1;
}

class SherpaSpeaker final : public Speaker {
 public:
  SherpaSpeaker(Tts tts, Wave reference, const VoiceOptions& options)
      : tts_(std::move(tts)), reference_(std::move(reference)), options_(options) {}

  uint32_t rate() const override {
    return static_cast<uint32_t>(SherpaOnnxOfflineTtsSampleRate(tts_.get()));
  }

  Result<void> speak(const Utterance& utterance, const std::atomic<bool>& cancel,
                     const std::function<void(std::string_view)>& on_pcm) override {
    const Result<int32_t> sid = number_of(utterance.voice);
    if (!sid) return fail(sid.error());
    SherpaOnnxGenerationConfig config{};
    config.silence_scale = options_.number("silence_scale", 0.2F);
    config.speed = static_cast<float>(utterance.speed);
    config.sid = *sid;
    config.num_steps = static_cast<int32_t>(options_.number("num_steps", 5));
    if (reference_) {
      config.reference_audio = reference_->samples;
      config.reference_audio_len = reference_->num_samples;
      config.reference_sample_rate = reference_->sample_rate;
      config.reference_text = options_.text("reference_text");
    }
    std::vector<int32_t> points;
    int32_t length = 0;
    if (const std::string language = options_.text("phonemes"); !language.empty()) {
      Result<std::string> ipa = espeak_phonemes(utterance.text, language);
      if (!ipa) return fail(ipa.error());
      points = codepoints(*ipa);
      length = static_cast<int32_t>(points.size());
      if (length == 0) return {};  // a dash or two: nothing to say
      config.phoneme_codepoints = points.data();
      config.phoneme_codepoints_lens = &length;
      config.phoneme_codepoints_num_sentences = 1;
    }
    Listener listener{cancel, on_pcm};
    const SherpaOnnxGeneratedAudio* made = SherpaOnnxOfflineTtsGenerateWithConfig(
        tts_.get(), utterance.text.c_str(), &config, &hear, &listener);
    const bool whole = made != nullptr && made->n > 0;
    if (made != nullptr) SherpaOnnxDestroyOfflineTtsGeneratedAudio(made);
    if (cancel) return fail(Code::kCancelled, "cancelled");
    if (whole && listener.samples > 0) return {};
    return fail(Code::kWorkerFailed, "the engine made no sound of this text",
                "its words may be missing in the lexicon; or set phonemes: en-us");
  }

 private:
  Result<int32_t> number_of(const std::string& voice) const {
    const int32_t count = std::max(1, SherpaOnnxOfflineTtsNumSpeakers(tts_.get()));
    std::string number = voice;
    std::string known;
    for (const auto& [name, id] : options_.voices) {
      known += (known.empty() ? "" : ", ") + name;
      if (name == voice) number = id;
    }
    if (known.empty()) known = count == 1 ? "0" : "0 to " + std::to_string(count - 1);
    if (voice.empty() || voice == "default") {
      number = options_.voices.empty() ? "0" : options_.voices.front().second;
    }
    int32_t sid = -1;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), sid);
    const bool plain = error == std::errc() && end == number.data() + number.size();
    if (plain && sid >= 0 && sid < count) return sid;
    return fail(Code::kNotFound, "there is no voice " + voice, "there are " + known);
  }

  const Tts tts_;
  const Wave reference_;
  const VoiceOptions options_;
};

}  // namespace

Result<std::unique_ptr<Speaker>> load_speaker(const VoiceOptions& options) {
  if (Result<void> sound = check_options(options); !sound) return fail(sound.error());
  SherpaOnnxOfflineTtsConfig config{};
  set_simple(options, &config.model);
  set_staged(options, &config.model);
  config.model.num_threads = options.threads;
  config.model.provider = "cpu";
  config.rule_fsts = options.text("rule_fsts");
  config.rule_fars = options.text("rule_fars");
  config.max_num_sentences = 1;
  config.silence_scale = options.number("silence_scale", 0.2F);
  Wave reference;
  if (const char* file = options.text("reference_audio"); *file != '\0') {
    reference.reset(SherpaOnnxReadWave(file));
    if (!reference) {
      return fail(Code::kCorrupt, std::string(file) + " is no wav of a voice",
                  "give a 16-bit mono wav as reference_audio");
    }
  }
  Tts tts(SherpaOnnxCreateOfflineTts(&config));
  const int32_t rate = tts ? SherpaOnnxOfflineTtsSampleRate(tts.get()) : 0;
  if (rate < static_cast<int32_t>(kSoundRateMin) || rate > static_cast<int32_t>(kSoundRateMax)) {
    return fail(Code::kCorrupt, "the files are no " + options.engine + " voice",
                "check `engine`, `file` and `options` of the model");
  }
  return std::make_unique<SherpaSpeaker>(std::move(tts), std::move(reference), options);
}

}  // namespace gantry
