// Rendering and reading transcripts.
#include "pipe/transcript.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "pipe/speakers.h"

namespace gantry {

namespace {

double seconds(Millis time) { return static_cast<double>(time.count()) / 1000.0; }

std::string line_of(const Segment& s) {
  return s.speaker ? speaker_name(*s.speaker) + ": " + s.text : s.text;
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
                        {"confidence", std::round(s.confidence * 1000) / 1000}};
  if (s.speaker) out["speaker"] = *s.speaker;
  return out;
}

nlohmann::json segments_json(std::span<const Segment> segments) {
  nlohmann::json array = nlohmann::json::array();
  for (const Segment& s : segments) array.push_back(segment_json(s));
  return array;
}

Result<std::vector<Segment>> parse_segments(const nlohmann::json& array) {
  if (!array.is_array()) return fail(Code::kCorrupt, "a transcript is a list of segments");
  std::vector<Segment> out;
  for (const nlohmann::json& each : array) {
    const auto number = [&each](const char* key) {
      return each.is_object() && each.contains(key) && each[key].is_number();
    };
    if (!number("start") || !number("end") || !each.contains("text") || !each["text"].is_string()) {
      return fail(Code::kCorrupt, "a segment needs start, end and text");
    }
    Segment s;
    s.start = Millis(std::llround(each["start"].get<double>() * 1000));
    s.end = Millis(std::llround(each["end"].get<double>() * 1000));
    s.text = each["text"].get<std::string>();
    if (number("confidence")) s.confidence = each["confidence"].get<double>();
    if (number("speaker") && each["speaker"].is_number_unsigned()) {
      s.speaker = each["speaker"].get<uint32_t>();
    }
    out.push_back(std::move(s));
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
