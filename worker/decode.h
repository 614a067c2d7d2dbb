// The small decoder: wav, aiff, flac, ogg (vorbis, opus) and mp3 to the wav that recognition reads.
// gantry-decode is this and nothing else, so that it takes a fraction of ffmpeg's memory.
#pragma once

#include <array>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"
#include "base/result.h"

namespace gantry {

// One pass, constant memory; writes `wav` in place (the caller renames it). `file` must be a
// regular one and is the only one opened. What is cut short gives what is there. Messages are said
// of the file, without its name: "has no sound in it". kUnsupported: not a format or coding read
// here, or no sound found where another decoder may find some; kCorrupt: no sound in it; kUsage: no
// regular file; kTooLarge: longer than `longest`; kDiskFull, kPermission, kNotFound, kIo.
[[nodiscard]] Result<Millis> decode_file(const std::string& file, const std::string& wav,
                                         Millis longest = kAudioMax);

// What gantry-decode ends with, so that its parent can tell. It prints the message and the remedy,
// each on a line of its own.
constexpr std::array<std::pair<Code, int>, 8> kDecodeStatus{{{Code::kUsage, 2},
                                                             {Code::kUnsupported, 10},
                                                             {Code::kCorrupt, 11},
                                                             {Code::kTooLarge, 12},
                                                             {Code::kDiskFull, 13},
                                                             {Code::kPermission, 14},
                                                             {Code::kNotFound, 15},
                                                             {Code::kIo, 16}}};

}  // namespace gantry
