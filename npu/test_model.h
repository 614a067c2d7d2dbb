// For tests: the shipped embedding model, and sentences of several lengths.
#pragma once

#include <string>
#include <vector>

#include "npu/embed.h"

namespace gantry {

inline EmbedOptions shipped_embed() {
  EmbedOptions options;
  options.name = "micro-embed-en";
  options.path = std::string(GANTRY_MODELS_DIR) + "/micro-embed-en.gguf";
  options.chain = {"NPU", "GPU", "CPU"};
  return options;
}

// 1 to n words each.
inline std::vector<std::string> sentences(size_t n) {
  const std::vector<std::string> words = {"open", "the", "blue", "door", "and", "call", "Anna",
                                          "at",   "noon", "please", ",", "then", "lights", "off"};
  std::vector<std::string> out;
  for (size_t i = 0; i < n; ++i) {
    std::string text;
    for (size_t w = 0; w <= i; ++w) text += words[(w * 5 + i) % words.size()] + " ";
    out.push_back(text);
  }
  return out;
}

}  // namespace gantry
