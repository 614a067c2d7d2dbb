// The facts of a model file, read by a process of its own: a file that is hostile, or truncated
// while it is mapped, ends that process and not the daemon.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/os.h"
#include "model/card.h"

namespace gantry {

struct Cards {
  ModelCard model;
  std::optional<ModelCard> mmproj;
};

using CardReader =
    std::function<Result<Cards>(const std::string& file, const std::string& mmproj)>;

// Asks `worker_exe card FILE [MMPROJ]`. kCorrupt with the process' own words, or with its signal;
// kTimeout after kCardProbeMax. `scratch` is a folder for its error output.
CardReader card_probe(Os& os, const std::string& worker_exe, const std::string& scratch);

// The reverse of card_json.
[[nodiscard]] Result<ModelCard> parse_card(const nlohmann::json& json);

}  // namespace gantry
