// A transcript as JSON (how jobs keep it) and as text, SRT, VTT, RTTM (how people want it).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "worker/worker.h"

namespace gantry {

// In front of the text of a segment that is probably not what was said.
constexpr std::string_view kLowConfidenceMark = "(?) ";

// {"start","end","text","confidence"}, s; with "speaker" where it is known, "low_confidence" where
// it is true, and what the engine says: "avg_logprob", "no_speech_prob" and "words", each {"word",
// "start","end","probability"}.
nlohmann::json segment_json(const Segment& segment);
nlohmann::json segments_json(std::span<const Segment> segments);
[[nodiscard]] Result<std::vector<Segment>> parse_segments(const nlohmann::json& array);

// format: "text", "srt", "vtt", "json", "rttm" (of the recording `file`); any other word: kUsage.
// Lines begin with "speaker N: " where speakers are known. "rttm" without any: kUnsupported.
[[nodiscard]] Result<std::string> render_transcript(std::span<const Segment> segments,
                                                    std::string_view format,
                                                    std::string_view file = {});

// What is said, behind "speaker N: " and the mark where they belong.
std::string line_of(const Segment& segment);

std::string timestamp(Millis time, char decimal_mark);  // "01:02:03,456"
std::string short_time(Millis time);                    // "1:02.3", for people

}  // namespace gantry
