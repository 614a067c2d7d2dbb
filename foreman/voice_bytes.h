// What a speech engine of gantry-voice or gantry-espeak will hold, before it was ever measured.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"

namespace gantry {

// The files among its options; the model's own file is not with them.
std::vector<std::string> voice_files(const VoiceConfig& voice);

// Files with what the engine makes of them; what cannot be read counts nothing, and fails later
// with its name. Loads correct it (foreman/history.h).
Bytes voice_bytes(Os& os, const ModelConfig& model);

}  // namespace gantry
