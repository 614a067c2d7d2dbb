// Restricted Damerau-Levenshtein distance, row by row.
#include "base/nearest.h"

#include <algorithm>
#include <cstdint>

namespace gantry {

namespace {

size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + change});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, above);
    std::swap(above, row);
  }
  return above.back();
}

}  // namespace

std::string nearest_name(const std::vector<std::string>& known, std::string_view name) {
  name = name.substr(0, kNearestNameMax);
  std::string best;
  int64_t least = INT64_MAX;
  for (const std::string& candidate : known) {
    const std::string_view cut = std::string_view(candidate).substr(0, kNearestNameMax);
    const auto same = std::ranges::mismatch(cut, name).in1 - cut.begin();
    const auto found = static_cast<int64_t>(distance(cut, name)) - same;
    if (found >= least) continue;
    least = found;
    best = candidate;
  }
  return best;
}

}  // namespace gantry
