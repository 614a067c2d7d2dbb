// What the models are asked. The micro models know only the short questions they were trained on;
// any other instruction model gets the task spelt out.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "worker/worker.h"

namespace gantry {

enum class PromptStyle { kMicro, kGeneral };

// kMicro for the shipped models (their names begin with "micro-"), else kGeneral.
PromptStyle prompt_style(std::string_view model);

std::string part_prompt(PromptStyle style, std::span<const Segment> lines);
std::string join_prompt(PromptStyle style, std::span<const std::string> lists);
std::string screen_prompt(PromptStyle style);

// Lines of transcript in one part, and lists joined at once. The micro figures are the best found
// by measurement over unseen scripts (models/README.md); the general ones keep a part near 1,000
// tokens.
struct PartSizes {
  uint32_t lines = 0;
  uint32_t lists = 0;
};
PartSizes part_sizes(PromptStyle style);

}  // namespace gantry
