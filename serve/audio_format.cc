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

double seconds(Millis time) { return static_cast<double>(time.count()) / 1000.0; }

enum class Marks { kNone, kDoubts };

std::string joined(const std::vector<Segment>& segments, Marks marks) {
  std::string text;
  for (const Segment& segment : segments) {
    const size_t first = segment.text.find_first_not_of(' ');
    if (first == std::string::npos) continue;
    const size_t last = segment.text.find_last_not_of(' ');
    if (!text.empty()) text += ' ';
    if (marks == Marks::kDoubts && segment.low_confidence) text += kLowConfidenceMark;
    text += segment.text.substr(first, last - first + 1);
  }
  return text;
}

double logprob_of(const Segment& segment) {
  if (segment.avg_logprob) return *segment.avg_logprob;
  return std::log(std::clamp(segment.confidence, 1e-9, 1.0));
}

// The fields of OpenAI's segments. What our engine does not tell (seek, tokens, compression) has
// the neutral value; without logarithms the mean token probability stands for them.
json segments_of(const Heard& heard) {
  json segments = json::array();
  for (const Segment& segment : heard.segments) {
    json one = {{"id", segments.size()},
                {"seek", 0},
                {"start", seconds(segment.start)},
                {"end", seconds(segment.end)},
                {"text", segment.text},
                {"tokens", json::array()},
                {"temperature", 0.0},
                {"avg_logprob", logprob_of(segment)},
                {"compression_ratio", 1.0},
                {"no_speech_prob", segment.no_speech.value_or(0)}};
    if (segment.low_confidence) one["low_confidence"] = true;
    segments.push_back(std::move(one));
  }
  return segments;
}

json words_of(const Heard& heard) {
  json words = json::array();
  for (const Segment& segment : heard.segments) {
    for (const Word& word : segment.words) {
      words.push_back({{"word", word.text},
                       {"start", seconds(word.start)},
                       {"end", seconds(word.end)},
                       {"probability", word.probability}});
    }
  }
  return words;
}

json verbose(const Heard& heard) {
  json out = {{"task", "transcribe"},
              {"language", heard.language.empty() ? "unknown" : heard.language},
              {"duration", seconds(heard.duration)},
              {"text", joined(heard.segments, Marks::kNone)}};
  if (!heard.only_words) out["segments"] = segments_of(heard);
  if (heard.words) out["words"] = words_of(heard);
  if (!heard.device.empty()) out["device"] = heard.device;
  return out;
}

json plain(const Heard& heard) {
  json out = {{"text", joined(heard.segments, Marks::kNone)}};
  if (std::ranges::any_of(heard.segments, &Segment::low_confidence)) out["low_confidence"] = true;
  if (!heard.device.empty()) out["device"] = heard.device;
  return out;
}

}  // namespace

Result<http::Response> render_heard(const Heard& heard, const std::string& format) {
  if (format == "json") return json_response(200, plain(heard));
  if (format == "verbose_json") return json_response(200, verbose(heard));
  if (format == "text") {
    return text_response(200, "text/plain; charset=utf-8",
                         joined(heard.segments, Marks::kDoubts) + "\n");
  }
  auto text = render_transcript(heard.segments, format);
  if (!text) return fail(text.error());
  const std::string_view type = format == "vtt" ? "text/vtt; charset=utf-8"
                                                : "application/x-subrip; charset=utf-8";
  return text_response(200, type, std::move(*text));
}

}  // namespace gantry
