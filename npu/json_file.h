// Files of a model's folder that are JSON, each of which may be missing.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/os.h"
#include "base/result.h"

namespace gantry {

// Nothing where the file is not there. kCorrupt: it is no JSON; kTooLarge: more than a MiB.
[[nodiscard]] Result<std::optional<nlohmann::json>> read_json_file(Os& os,
                                                                   const std::string& path);
// kCorrupt: "PATH: WHAT".
Error wrong_file(const std::string& path, const std::string& what);

}  // namespace gantry
