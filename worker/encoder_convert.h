// From a whisper model to its encoder as OpenVINO's IR, where model bytes may be opened.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "base/os.h"
#include "base/result.h"

namespace gantry {

struct ConvertOptions {
  std::string model;       // whisper.cpp's ggml file
  std::string out;         // ends in .xml; the .bin lies beside it; empty: beside the model
  std::string library;     // libgantry-encoder.so
  std::string engine_dir;  // of ggml's backends, for the comparison
  int threads = 1;
};

// Where whisper.cpp looks: MODEL without .bin, and "-encoder-openvino.xml".
std::string encoder_beside(const std::string& model);
// Where one that was made on demand is kept: the name changes when the model does.
[[nodiscard]] Result<std::string> encoder_kept(Os& os, const std::string& model,
                                               const std::string& dir);

// The encoder beside the model; else the one kept in `dir`, which is made first if it is not there:
// by `worker_exe` (gantry-worker) in a process of its own, whose memory is gone afterwards.
[[nodiscard]] Result<std::string> find_or_make_encoder(Os& os, const ConvertOptions& options,
                                                       const std::string& dir,
                                                       const std::string& worker_exe);

// Made aside, compared with ggml's own encoder, then moved into place: {"out","bytes","device",
// "largest_difference","share","same_choices","choices","seconds"}. kCorrupt and its kin for the
// model; kConflict: the result does not do what the model does, and nothing is left of it.
[[nodiscard]] Result<nlohmann::json> convert_whisper(Os& os, const ConvertOptions& options);

}  // namespace gantry
