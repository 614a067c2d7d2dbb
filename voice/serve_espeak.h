// gantry-espeak behind the speech protocol.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace gantry {

// `voices`: further names for espeak-ng's own, the first is the default; none: English. Answers
// until `in` ends; the exit status.
int serve_espeak(const std::vector<std::pair<std::string, std::string>>& voices, int in, int out);

}  // namespace gantry
