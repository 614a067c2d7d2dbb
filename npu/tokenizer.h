// Text to token numbers, as the model was trained: by llama.cpp's vocabulary for a GGUF file, by an
// OpenVINO tokenizer graph for a folder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "npu/core.h"

namespace gantry {

struct Tokens {
  std::vector<int64_t> ids;
  bool truncated = false;  // the text had more
};

// Any thread.
class TextTokenizer {
 public:
  virtual ~TextTokenizer() = default;
  // With the marks that the model wants around a text; at most `most` of them, the last mark kept.
  [[nodiscard]] virtual Result<Tokens> encode(const std::string& text, size_t most) = 0;
};

// Pure: the first most - 1 and the last, as Hugging Face's tokenizers cut.
Tokens truncated(std::vector<int64_t> ids, size_t most);

[[nodiscard]] Result<std::unique_ptr<TextTokenizer>> open_gguf_tokenizer(const std::string& file);

// `core` has the extension openvino-tokenizers.
[[nodiscard]] Result<std::unique_ptr<TextTokenizer>> open_ov_tokenizer(OvCore& core,
                                                                       const std::string& xml);

}  // namespace gantry
