// A transcript as JSON (how jobs keep it) and as text, SRT, VTT (how people want it).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "worker/worker.h"

namespace gantry {

nlohmann::json segment_json(const Segment& segment);  // {"start","end","text","confidence"}, s
nlohmann::json segments_json(std::span<const Segment> segments);
[[nodiscard]] Result<std::vector<Segment>> parse_segments(const nlohmann::json& array);

// format: "text", "srt", "vtt", "json". "rttm" needs speakers, which nobody told apart yet:
// kUnsupported; any other word: kUsage.
[[nodiscard]] Result<std::string> render_transcript(std::span<const Segment> segments,
                                                    std::string_view format);

std::string timestamp(Millis time, char decimal_mark);  // "01:02:03,456"
std::string short_time(Millis time);                    // "1:02.3", for people

}  // namespace gantry
