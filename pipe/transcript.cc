// Rendering and reading transcripts.
#include "pipe/transcript.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "pipe/speakers.h"

namespace gantry {

namespace {

double seconds(Millis time) { return static_cast<double>(time.count()) / 1000.0; }
double thousandths(double value) { return std::round(value * 1000) / 1000; }

std::optional<double> number_in(const nlohmann::json& object, const char* key) {
  if (!object.is_object() || !object.contains(key) || !object[key].is_number()) return {};
  return object[key].get<double>();
}

std::optional<Millis> time_in(const nlohmann::json& object, const char* key) {
  const std::optional<double> value = number_in(object, key);
  if (!value || !(std::fabs(*value) < 1e9)) return {};  // a second of the last thirty years
  return Millis(std::llround(*value * 1000));
}

Result<std::vector<Word>> parse_words(const nlohmann::json& words) {
  if (!words.is_array()) return fail(Code::kCorrupt, "words are a list");
  std::vector<Word> out;
  for (const nlohmann::json& each : words) {
    const std::optional<Millis> start = time_in(each, "start"), end = time_in(each, "end");
    const std::optional<double> probability = number_in(each, "probability");
    if (!start || !end || !probability || !each.contains("word") || !each["word"].is_string()) {
      return fail(Code::kCorrupt, "a word needs word, start, end and probability");
    }
    out.push_back({*start, *end, each["word"].get<std::string>(), *probability});
  }
  return out;
}

std::string cue_lines(std::span<const Segment> segments, bool numbered, char mark) {
  std::string out;
  int number = 0;
  for (const Segment& s : segments) {
    if (numbered) out += fmt::format("{}\n", ++number);
    out += fmt::format("{} --> {}\n{}\n\n", timestamp(s.start, mark), timestamp(s.end, mark),
                       line_of(s));
  }
  return out;
}

}  // namespace

std::string line_of(const Segment& s) {
  const std::string text = s.low_confidence ? std::string(kLowConfidenceMark) + s.text : s.text;
  return s.speaker ? speaker_name(*s.speaker) + ": " + text : text;
}

std::string timestamp(Millis time, char decimal_mark) {
  const int64_t ms = std::max<int64_t>(0, time.count());
  return fmt::format("{:02}:{:02}:{:02}{}{:03}", ms / 3600000, ms / 60000 % 60, ms / 1000 % 60,
                     decimal_mark, ms % 1000);
}

std::string short_time(Millis time) {
  const int64_t ms = std::max<int64_t>(0, time.count());
  return fmt::format("{}:{:02}.{}", ms / 60000, ms / 1000 % 60, ms / 100 % 10);
}

nlohmann::json segment_json(const Segment& s) {
  nlohmann::json out = {{"start", seconds(s.start)},
                        {"end", seconds(s.end)},
                        {"text", s.text},
                        {"confidence", thousandths(s.confidence)}};
  if (s.speaker) out["speaker"] = *s.speaker;
  if (!s.encoder.empty()) out["encoder"] = s.encoder;
  if (s.avg_logprob) out["avg_logprob"] = thousandths(*s.avg_logprob);
  if (s.no_speech) out["no_speech_prob"] = thousandths(*s.no_speech);
  if (s.low_confidence) out["low_confidence"] = true;
  for (const Word& word : s.words) {
    out["words"].push_back({{"word", word.text},
                            {"start", seconds(word.start)},
                            {"end", seconds(word.end)},
                            {"probability", thousandths(word.probability)}});
  }
  return out;
}

nlohmann::json segments_json(std::span<const Segment> segments) {
  nlohmann::json array = nlohmann::json::array();
  for (const Segment& s : segments) array.push_back(segment_json(s));
  return array;
}

namespace {

Result<Segment> parse_segment(const nlohmann::json& each) {
  const std::optional<Millis> start = time_in(each, "start"), end = time_in(each, "end");
  if (!start || !end || !each.contains("text") || !each["text"].is_string()) {
    return fail(Code::kCorrupt, "a segment needs start, end and text");
  }
  Segment s{*start, *end, each["text"].get<std::string>()};
  s.confidence = number_in(each, "confidence").value_or(s.confidence);
  if (each.contains("speaker") && each["speaker"].is_number_unsigned()) {
    s.speaker = each["speaker"].get<uint32_t>();
  }
  if (each.contains("encoder") && each["encoder"].is_string()) {
    s.encoder = each["encoder"].get<std::string>();
  }
  s.avg_logprob = number_in(each, "avg_logprob");
  s.no_speech = number_in(each, "no_speech_prob");
  s.low_confidence = each.contains("low_confidence") && each["low_confidence"] == true;
  if (each.contains("words")) {
    Result<std::vector<Word>> words = parse_words(each["words"]);
    if (!words) return fail(words.error());
    s.words = std::move(*words);
  }
  return s;
}

}  // namespace

Result<std::vector<Segment>> parse_segments(const nlohmann::json& array) {
  if (!array.is_array()) return fail(Code::kCorrupt, "a transcript is a list of segments");
  std::vector<Segment> out;
  for (const nlohmann::json& each : array) {
    Result<Segment> segment = parse_segment(each);
    if (!segment) return fail(segment.error());
    out.push_back(std::move(*segment));
  }
  return out;
}

Result<std::string> render_transcript(std::span<const Segment> segments, std::string_view format,
                                      std::string_view file) {
  if (format == "text") {
    std::string out;
    for (const Segment& s : segments) out += line_of(s) + "\n";
    return out;
  }
  if (format == "srt") return cue_lines(segments, true, ',');
  if (format == "vtt") return "WEBVTT\n\n" + cue_lines(segments, false, '.');
  if (format == "json") {
    return nlohmann::json{{"segments", segments_json(segments)}}.dump(
               2, ' ', false, nlohmann::json::error_handler_t::replace) +
           "\n";
  }
  if (format == "rttm") {
    const std::vector<SpeakerTurn> turns = turns_of(segments);
    if (!turns.empty() || segments.empty()) return rttm(turns, file);
    return fail(Code::kUnsupported, "rttm lists who spoke when, and speakers were not told apart",
                "add --speakers N or --threshold X");
  }
  return fail(Code::kUsage, fmt::format("'{}' is not a transcript format", format),
              "use text, srt, vtt, json or rttm");
}

}  // namespace gantry
