// Who spoke when: turns as JSON and RTTM, and laid over a transcript.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "worker/worker.h"

namespace gantry {

nlohmann::json turns_json(std::span<const SpeakerTurn> turns);  // [{"start","end","speaker"}], s
[[nodiscard]] Result<std::vector<SpeakerTurn>> parse_turns(const nlohmann::json& array);

// NIST's Rich Transcription Time Marked lines; `file` without blanks.
std::string rttm(std::span<const SpeakerTurn> turns, std::string_view file);

// Each segment gets the speaker whose turns overlap it most; of equals the lower number; none
// where no turn does.
void give_speakers(std::span<const SpeakerTurn> turns, std::vector<Segment>* segments);

// The segments that have a speaker, as turns.
std::vector<SpeakerTurn> turns_of(std::span<const Segment> segments);

// "speaker 1", as people count.
std::string speaker_name(uint32_t speaker);

}  // namespace gantry
