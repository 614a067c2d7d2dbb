// llama.cpp's flags of several letters behind one dash (-ctk, -ngl), which our parser would take
// for a bundle of single letters.
#pragma once

#include <string>
#include <vector>

namespace gantry {

// argv without the program's name: "-ctk" becomes "--ctk", and so on; what follows "--" is left
// alone.
std::vector<std::string> normalized_flags(int argc, char** argv);

}  // namespace gantry
