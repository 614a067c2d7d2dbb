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

// A line of a transcript as it stands in a part.
std::string part_line(PromptStyle style, const Segment& segment);
std::string part_prompt(PromptStyle style, std::string_view part);
std::string join_prompt(PromptStyle style, std::span<const std::string> lists);
std::string screen_prompt(PromptStyle style);

// A text that is no meeting.
std::string text_part_prompt(std::string_view part);
std::string text_join_prompt(std::span<const std::string> lists);

// Lines of transcript in one part, and lists joined at once, at most; the model's context may hold
// fewer. The micro figures are the best found by measurement over unseen scripts
// (models/README.md); the general ones keep a part near 1,000 tokens.
struct PartSizes {
  uint32_t lines = 0;
  uint32_t lists = 0;
  bool fold = false;  // see MapReduceSpec
};
PartSizes part_sizes(PromptStyle style);

}  // namespace gantry
