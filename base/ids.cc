// Making and checking ids.
#include "base/ids.h"

#include <algorithm>

namespace gantry {

namespace {
constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
}

std::string make_id(const Clock& clock, Rng& rng) {
  std::string id(kIdLength, '0');
  uint64_t millis = static_cast<uint64_t>(clock.wall().time_since_epoch().count());
  for (size_t i = 10; i-- > 0; millis >>= 5) id[i] = kAlphabet[millis & 31];
  uint64_t random = rng.next();
  for (size_t i = kIdLength; i-- > 10; random >>= 5) id[i] = kAlphabet[random & 31];
  return id;
}

bool is_id(std::string_view text) {
  return text.size() == kIdLength && std::ranges::all_of(text, [](char c) {
           return kAlphabet.find(c) != std::string_view::npos;
         });
}

}  // namespace gantry
