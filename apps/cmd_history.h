// `gantry plan --history`: what was predicted and what was measured.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apps/context.h"

namespace gantry {

// Of one model, or of all where none is named; asks the daemon, which is started where none runs:
// only the foreman opens its database.
[[nodiscard]] Result<void> show_history(const CliContext& context,
                                        const std::vector<std::string>& models);

// A name, which may hold whatever a file's may, as a part of a request's target.
std::string query_value(std::string_view text);

}  // namespace gantry
