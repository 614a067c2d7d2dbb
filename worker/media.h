// How recordings are turned into the wav that recognition reads. decode_audio is in worker.h.
#pragma once

#include <string>
#include <vector>

#include "base/os.h"
#include "base/result.h"

namespace gantry {

// Pure: ffmpeg's command line. The input is named by the file protocol alone, so that no colon or
// dash in a name means anything; formats that name other files (playlists, concat, image lists)
// are not among those it may recognise.
std::vector<std::string> ffmpeg_argv(const std::string& file, const std::string& wav);

// Pure: why gantry-decode failed, from its exit and its last lines as log_tail gives them.
Error explain_small(const std::string& file, const std::string& output, const Exit& exit);

// Pure: why ffmpeg failed, from what it printed.
Error explain_ffmpeg(const std::string& file, const std::string& output, const std::string& ending);

}  // namespace gantry
