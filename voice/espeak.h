// espeak-ng, a program of its own for every utterance: the voice that needs no model. Called with
// arguments, never through a shell; what is to be said goes to its standard input.
#pragma once

#include <atomic>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "worker/segment.h"

namespace gantry {

constexpr uint32_t kEspeakRate = 22'050;  // of all its own voices

struct EspeakVoices {
  std::set<std::string, std::less<>> languages;  // "en-us"
  std::set<std::string, std::less<>> variants;   // "f3": en-us+f3 is a voice
  bool has(std::string_view voice) const;
};

// kUnavailable: it is not installed.
[[nodiscard]] Result<EspeakVoices> espeak_voices();

// Pure, for the above: the names in a column of what `espeak-ng --voices` prints.
std::set<std::string, std::less<>> espeak_column(std::string_view table, size_t column);

// Sound as it is made, 16-bit mono at kEspeakRate, whole samples at a time. False from on_pcm ends
// it with kCancelled, and so does `cancel`. kWorkerFailed, kTimeout: it made no sound.
[[nodiscard]] Result<void> espeak_speak(const Utterance& utterance,
                                        const std::atomic<bool>& cancel,
                                        const std::function<bool(std::string_view pcm)>& on_pcm);

// The text as IPA, for models that read phonemes; one line.
[[nodiscard]] Result<std::string> espeak_phonemes(const std::string& text,
                                                  const std::string& voice);

}  // namespace gantry
