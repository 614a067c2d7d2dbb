// `gantry convert DIR`: npu/convert.py as a child process.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/os.h"
#include "base/result.h"

namespace gantry {

struct FolderOrder {
  std::string source;   // an ONNX file, or a folder that has one
  std::string out;      // the folder to make; empty: the source's name with -openvino
  std::string weights = "auto";  // f32, f16, int8, int4; auto: int8 where it loses no more than
                                 // it may, else f16
  std::string cache;    // where the Python packages are kept; empty: ~/.cache/gantry/convert
  bool replace = false;  // what is at `out`
};

// What the program said: a step to show, the report, or why there is none. kWorkerFailed: it said
// something else.
struct FolderWord {
  std::string step;
  nlohmann::json report;  // null until the end
};
[[nodiscard]] Result<FolderWord> parse_folder_word(const std::string& line);

// Absolute paths, and what was left out. kUsage, kConflict: `out` is there already.
[[nodiscard]] Result<FolderOrder> complete(Os& os, FolderOrder order);

// {"out", "weights", "bytes", "cosine", "largest_difference", ...}. `stopped` is asked a few times
// a second. Whatever fails, nothing is at `out` that was not there before.
[[nodiscard]] Result<nlohmann::json> convert_folder(
    Os& os, const FolderOrder& order, const std::function<bool()>& stopped,
    const std::function<void(const std::string& step)>& on_step);

}  // namespace gantry
