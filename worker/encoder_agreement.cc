// Runs the decoder over the states of ggml's encoder, of another one, and of a silenced one.
#include "worker/encoder_agreement.h"

#include <whisper.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "worker/encoder_hook.h"

namespace gantry {

namespace {

constexpr uint32_t kTokens = 8;  // decoded after the first

// Half a second of a voice's buzz and formants, a pause, another vowel: what the filters of speech
// were made for. Samples at 16 kHz.
std::vector<float> sound(int samples) {
  std::vector<float> out(static_cast<size_t>(samples));
  for (int i = 0; i < samples; ++i) {
    const double t = i / 16000.0, beat = std::fmod(t, 0.5);
    const double pitch = 110 + 20 * std::sin(3 * t);
    const double envelope = beat < 0.35 ? std::sin(beat / 0.35 * 3.14159265) : 0;
    double value = 0;
    for (int harmonic = 1; harmonic <= 30; ++harmonic) {
      const double at = harmonic * pitch;
      const double first = 500 + 250 * std::sin(5 * t), second = 1500 + 600 * std::sin(2 * t);
      const double loud = std::exp(-std::pow((at - first) / 150, 2)) +
                          0.5 * std::exp(-std::pow((at - second) / 200, 2)) + 0.01;
      value += loud * std::sin(6.2831853 * at * t);
    }
    out[static_cast<size_t>(i)] = static_cast<float>(0.1 * envelope * value);
  }
  return out;
}

class FromDevice final : public EncoderHook {
 public:
  FromDevice(DeviceEncoder* encoder, Millis wait_max) : encoder_(encoder), wait_max_(wait_max) {}
  void encode(std::span<const float> mel, uint32_t, uint32_t, std::span<float> states,
              uint32_t) override {
    done_ = encoder_->encode(mel, states, wait_max_);
  }
  const Result<void>& done() const { return done_; }

 private:
  DeviceEncoder* encoder_;
  const Millis wait_max_;
  Result<void> done_;
};

class Silence final : public EncoderHook {
 public:
  void encode(std::span<const float>, uint32_t, uint32_t, std::span<float> states,
              uint32_t) override {
    std::ranges::fill(states, 0.0F);
  }
};

uint32_t likeliest(std::span<const float> logits) {
  return static_cast<uint32_t>(std::ranges::max_element(logits) - logits.begin());
}

// The logits after each of `tokens`, which starts with one and grows by the likeliest until it has
// them all.
Result<std::vector<float>> logits_with(whisper_context* context, EncoderHook* hook, int threads,
                                       std::vector<whisper_token>* tokens) {
  hook_encoder(context, hook);
  const int encoded = whisper_encode(context, 0, threads);
  hook_encoder(context, nullptr);
  if (encoded != 0) return fail(Code::kWorkerFailed, "the speech engine cannot encode");
  const auto vocab = static_cast<size_t>(whisper_n_vocab(context));
  std::vector<float> out;
  for (uint32_t i = 0; i <= kTokens; ++i) {
    if (whisper_decode(context, tokens->data() + i, 1, static_cast<int>(i), threads) != 0) {
      return fail(Code::kWorkerFailed, "the speech engine cannot decode");
    }
    const std::span<const float> row(whisper_get_logits(context), vocab);
    out.insert(out.end(), row.begin(), row.end());
    if (tokens->size() <= kTokens) tokens->push_back(static_cast<int>(likeliest(row)));
  }
  return out;
}

EncoderAgreement compare(const std::vector<float>& ours, const std::vector<float>& theirs,
                         const std::vector<float>& silent, size_t vocab) {
  EncoderAgreement out;
  double off = 0, all = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double difference = double{ours[i]} - double{theirs[i]};
    out.largest = std::max(out.largest, std::fabs(difference));
    off += difference * difference;
    all += std::pow(double{silent[i]} - double{theirs[i]}, 2);
  }
  out.share = all > 0 ? std::sqrt(off / all) : 1;
  out.logits = static_cast<uint32_t>(ours.size());
  for (size_t i = 0; i + vocab <= ours.size(); i += vocab) {
    ++out.choices;
    out.same += likeliest(std::span(ours).subspan(i, vocab)) ==
                likeliest(std::span(theirs).subspan(i, vocab));
  }
  return out;
}

}  // namespace

Result<EncoderAgreement> compare_encoders(whisper_context* context, DeviceEncoder* encoder,
                                          int threads) {
  // As long as the encoder hears: two frames of 160 samples for each state.
  const std::vector<float> samples = sound(320 * whisper_n_audio_ctx(context));
  if (whisper_pcm_to_mel(context, samples.data(), static_cast<int>(samples.size()), threads) != 0) {
    return fail(Code::kWorkerFailed, "the speech engine makes no spectrogram");
  }
  std::vector<whisper_token> tokens = {whisper_token_sot(context), whisper_token_not(context)};
  const auto theirs = logits_with(context, nullptr, threads, &tokens);
  if (!theirs) return fail(theirs.error());
  FromDevice device(encoder, Millis(600'000));
  const auto ours = logits_with(context, &device, threads, &tokens);
  if (!ours) return fail(ours.error());
  if (!device.done()) return fail(device.done().error());
  Silence silence;
  const auto silent = logits_with(context, &silence, threads, &tokens);
  if (!silent) return fail(silent.error());
  return compare(*ours, *theirs, *silent, static_cast<size_t>(whisper_n_vocab(context)));
}

}  // namespace gantry
