// What an external engine for sound is asked over HTTP, and what it may answer: OpenAI's shapes
// for transcriptions and speech, ours for diarization. Pure; answers are checked, never believed.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "http/http.h"
#include "worker/segment.h"

namespace gantry {

// A form with these fields and a recording: 16 kHz, mono.
http::Request audio_form(const std::string& target,
                         const std::vector<std::pair<std::string, std::string>>& fields,
                         std::span<const int16_t> samples);

// {"text", "segments": [{"start", "end", "text", "avg_logprob"}]}: seconds within a recording of
// this length; one segment of all of it where there are none. Texts are trimmed, none is empty.
// kCorrupt: no transcript.
[[nodiscard]] Result<std::vector<Segment>> parse_heard(std::string_view body, Millis length);

// llama-server's {"text", "usage": {"output_tokens"}}: one segment of all of it, or none. What
// Qwen3-ASR writes before the words ("language English<asr_text>") is left out. A text of `most`
// tokens was cut off: its segment is doubtful.
[[nodiscard]] Result<std::vector<Segment>> parse_written(std::string_view body, Millis length,
                                                         uint32_t most);

// {"turns" or "segments": [{"start", "end", "speaker": a number or a label}]}; by start, numbered
// in the order in which they are first heard. kCorrupt: no turns.
[[nodiscard]] Result<std::vector<SpeakerTurn>> parse_diarized(std::string_view body);

// The error that a status other than 200 means: kNotFound, kUsage, or kWorkerFailed from 500 on,
// with the server's own words.
Error refused_by(int status, std::string_view body);

// A wav as it comes: takes its head off, gives whole samples on.
class WavStream {
 public:
  // kCorrupt: no 16-bit mono wav of a rate that sound has. False: the listener wants no more.
  [[nodiscard]] Result<bool> take(std::string_view piece,
                                  const std::function<bool(std::string_view)>& on_pcm);
  uint32_t rate() const { return rate_; }  // 0: its head has not come yet
  uint64_t bytes() const { return bytes_; }

 private:
  [[nodiscard]] Result<void> read_head();

  std::string pending_;
  uint32_t rate_ = 0;
  bool begun_ = false;
  uint64_t bytes_ = 0;
};

}  // namespace gantry
