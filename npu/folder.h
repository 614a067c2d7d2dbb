// What a model folder says of its embeddings: sentence-transformers' files, and the model's own.
#pragma once

#include <string>

#include "base/os.h"
#include "base/result.h"
#include "npu/limits.h"
#include "npu/pooling.h"

namespace gantry {

struct EmbedFolder {
  std::string model, tokenizer;  // openvino_model.xml, openvino_tokenizer.xml
  Pooling pooling = Pooling::kMean;
  bool normalize = true;
  uint32_t tokens_max = 512;  // the least that any of the files names
};

// kNotFound: a file is missing; kCorrupt: one that is there is not what it should be, by name and
// field; kUnsupported: a pooling that we do not have. Without sentence-transformers' files: the
// mean, of length one.
[[nodiscard]] Result<EmbedFolder> read_embed_folder(Os& os, const std::string& dir);

}  // namespace gantry
