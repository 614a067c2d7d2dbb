// What a model folder says of its pictures: Hugging Face's preprocessor_config.json and config.json
// beside openvino_model.xml.
#pragma once

#include <string>
#include <vector>

#include "base/os.h"
#include "base/result.h"
#include "npu/pixels.h"

namespace gantry {

constexpr uint32_t kImageSideMax = 1'024;  // of what a model sees

struct ImageFolder {
  std::string model;  // openvino_model.xml
  ImageSteps steps;
  bool classifies = false;
  std::vector<std::string> labels;  // by class; empty: config.json names none
};

// Whether a folder is a picture model's: it says how pictures are prepared, and has no tokenizer.
bool is_image_folder(Os& os, const std::string& dir);

// kNotFound: a file is missing; kCorrupt: one that is there is not what it should be, by name and
// field; kUnsupported: a step that we do not do. It classifies where its architecture says so, or
// where it names labels and no architecture.
[[nodiscard]] Result<ImageFolder> read_image_folder(Os& os, const std::string& dir);

}  // namespace gantry
