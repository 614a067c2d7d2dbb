// whisper.cpp's four graphs as sketches: what a state of one model reserves for computing.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "model/card.h"

namespace gantry {

// In the order in which whisper.cpp makes and runs them. Each has buffers of its own.
constexpr std::array<std::string_view, 4> kWhisperGraphs = {"conv", "encode", "cross", "decode"};

// Descriptions of nodes, which whisper.cpp fills with zeros and counts into each graph's buffer:
// 4,096 of 368 bytes and a graph of ggml 0.25.3's default size.
constexpr uint64_t kWhisperNodeBytes = 4096 * 368 + 82'608;

// Bytes of each graph on the accelerator, where there is one, and on the CPU, which is last;
// without kWhisperNodeBytes. With flash attention, which is whisper.cpp's default. The decoder
// reads so many tokens at once: whisper.cpp reserves for text_context.
using WhisperGraphs = std::array<std::vector<uint64_t>, 4>;
WhisperGraphs draw_whisper(const ModelCard& card, bool on_accelerator, uint64_t tokens);

}  // namespace gantry
