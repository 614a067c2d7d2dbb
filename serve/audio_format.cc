// A transcript in the shapes of /v1/audio/transcriptions.
#include "serve/audio_format.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "pipe/transcript.h"
#include "serve/reply.h"

namespace gantry {

using nlohmann::json;

namespace {

constexpr uint64_t kWavHeader = 44;
constexpr uint64_t kWavBytesPerMilli = 32;  // 16000 samples of 2 bytes a second

double seconds(Millis time) { return static_cast<double>(time.count()) / 1000.0; }

std::string joined(const std::vector<Segment>& segments) {
  std::string text;
  for (const Segment& segment : segments) {
    const size_t first = segment.text.find_first_not_of(' ');
    if (first == std::string::npos) continue;
    const size_t last = segment.text.find_last_not_of(' ');
    if (!text.empty()) text += ' ';
    text += segment.text.substr(first, last - first + 1);
  }
  return text;
}

// The fields of OpenAI's segments. The mean token probability p stands for its logarithm; what
// our engine does not tell (seek, tokens, compression, silence) has the neutral value.
json verbose(const Heard& heard) {
  json segments = json::array();
  for (const Segment& segment : heard.segments) {
    segments.push_back({{"id", segments.size()},
                        {"seek", 0},
                        {"start", seconds(segment.start)},
                        {"end", seconds(segment.end)},
                        {"text", segment.text},
                        {"tokens", json::array()},
                        {"temperature", 0.0},
                        {"avg_logprob", std::log(std::clamp(segment.confidence, 1e-9, 1.0))},
                        {"compression_ratio", 1.0},
                        {"no_speech_prob", 0.0}});
  }
  return {{"task", "transcribe"},
          {"language", heard.language.empty() ? "unknown" : heard.language},
          {"duration", seconds(heard.duration)},
          {"text", joined(heard.segments)},
          {"segments", segments}};
}

}  // namespace

Millis wav_duration(Bytes file) {
  const uint64_t samples = (file - Bytes{kWavHeader}).n;
  return Millis{static_cast<int64_t>(samples / kWavBytesPerMilli)};
}

Result<http::Response> render_heard(const Heard& heard, const std::string& format) {
  if (format == "json") return json_response(200, {{"text", joined(heard.segments)}});
  if (format == "verbose_json") return json_response(200, verbose(heard));
  if (format == "text") {
    return text_response(200, "text/plain; charset=utf-8", joined(heard.segments) + "\n");
  }
  auto text = render_transcript(heard.segments, format);
  if (!text) return fail(text.error());
  const std::string_view type = format == "vtt" ? "text/vtt; charset=utf-8"
                                                : "application/x-subrip; charset=utf-8";
  return text_response(200, type, std::move(*text));
}

}  // namespace gantry
