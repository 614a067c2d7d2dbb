// Where somebody speaks in a recording, by a detector that is a model of its own: found before the
// recogniser is loaded, so that one budget takes both in turn.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "foreman/client.h"

namespace gantry {

// By a detector's session.
[[nodiscard]] Result<std::vector<SpeechSpan>> find_speech(
    Session& detector, const std::string& wav, const http::Cancel& cancel,
    const std::function<void(Progress)>& on_progress);

// What the recogniser is to be told of this wav: where speech is, if its configuration names a
// detector, which is loaded for it.
[[nodiscard]] Result<Hearing> hearing_for(ForemanClient& foreman, const std::string& recogniser,
                                          const std::string& wav, const http::Cancel& cancel);

nlohmann::json stretches_json(const std::vector<SpeechSpan>& speech);  // [start, end, ...], ms
// Nothing where it is damaged.
std::optional<std::vector<SpeechSpan>> parse_stretches(const nlohmann::json& times);

}  // namespace gantry
