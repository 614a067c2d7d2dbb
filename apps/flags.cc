// Flags that users bring along from llama.cpp.
#include "apps/flags.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace gantry {

std::vector<std::string> normalized_flags(int argc, char** argv) {
  constexpr std::array<std::string_view, 8> kKnown = {"-ctk", "-ctv", "-ngl", "-ot",
                                                       "-np",  "-ub",  "-fa",  "-ts"};
  std::vector<std::string> out;
  bool verbatim = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg(argv[i]);
    verbatim = verbatim || arg == "--";
    const std::string_view name = arg.substr(0, arg.find('='));
    const bool known = !verbatim && std::ranges::find(kKnown, name) != kKnown.end();
    out.push_back((known ? "-" : "") + std::string(arg));
  }
  return out;
}

}  // namespace gantry
