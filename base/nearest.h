// The known name nearest to a mistyped one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gantry {

constexpr size_t kNearestNameMax = 128;  // longer names are compared by so many characters

// Fewest characters inserted, deleted, changed or swapped with the next one; the first of several.
// Empty where nothing is known.
std::string nearest_name(const std::vector<std::string>& known, std::string_view name);

}  // namespace gantry
