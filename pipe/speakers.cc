// Turns and segments.
#include "pipe/speakers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

namespace gantry {

namespace {

double seconds(Millis time) { return static_cast<double>(time.count()) / 1000.0; }

}  // namespace

nlohmann::json turns_json(std::span<const SpeakerTurn> turns) {
  nlohmann::json array = nlohmann::json::array();
  for (const SpeakerTurn& turn : turns) {
    array.push_back({{"start", seconds(turn.start)},
                     {"end", seconds(turn.end)},
                     {"speaker", turn.speaker}});
  }
  return array;
}

Result<std::vector<SpeakerTurn>> parse_turns(const nlohmann::json& array) {
  if (!array.is_array()) return fail(Code::kCorrupt, "turns are a list");
  std::vector<SpeakerTurn> out;
  for (const nlohmann::json& each : array) {
    const auto number = [&each](const char* key) {
      return each.is_object() && each.contains(key) && each[key].is_number();
    };
    if (!number("start") || !number("end") || !number("speaker") ||
        !each["speaker"].is_number_unsigned()) {
      return fail(Code::kCorrupt, "a turn needs start, end and speaker");
    }
    out.push_back({Millis(std::llround(each["start"].get<double>() * 1000)),
                   Millis(std::llround(each["end"].get<double>() * 1000)),
                   each["speaker"].get<uint32_t>()});
  }
  return out;
}

std::string rttm(std::span<const SpeakerTurn> turns, std::string_view file) {
  std::string name(file.empty() ? "recording" : file);
  std::ranges::replace_if(name, [](char c) { return static_cast<unsigned char>(c) <= ' '; }, '_');
  std::string out;
  for (const SpeakerTurn& turn : turns) {
    out += fmt::format("SPEAKER {} 1 {:.3f} {:.3f} <NA> <NA> speaker_{} <NA> <NA>\n", name,
                       seconds(turn.start), seconds(turn.end - turn.start), turn.speaker + 1);
  }
  return out;
}

void give_speakers(std::span<const SpeakerTurn> turns, std::vector<Segment>* segments) {
  for (Segment& segment : *segments) {
    std::map<uint32_t, Millis> shared;
    for (const SpeakerTurn& turn : turns) {
      const Millis common = std::min(turn.end, segment.end) - std::max(turn.start, segment.start);
      if (common > Millis(0)) shared[turn.speaker] += common;
    }
    segment.speaker.reset();
    Millis most{0};
    for (const auto& [speaker, time] : shared) {
      if (time <= most) continue;
      most = time;
      segment.speaker = speaker;
    }
  }
}

std::vector<SpeakerTurn> turns_of(std::span<const Segment> segments) {
  std::vector<SpeakerTurn> out;
  for (const Segment& s : segments) {
    if (s.speaker) out.push_back({s.start, s.end, *s.speaker});
  }
  return out;
}

std::string speaker_name(uint32_t speaker) { return fmt::format("speaker {}", speaker + 1); }

}  // namespace gantry
