// The questions, in both styles.
#include "pipe/prompts.h"

#include <fmt/format.h>

#include "pipe/transcript.h"

namespace gantry {

PromptStyle prompt_style(std::string_view model) {
  return model.starts_with("micro-") ? PromptStyle::kMicro : PromptStyle::kGeneral;
}

std::string part_prompt(PromptStyle style, std::span<const Segment> lines) {
  std::string text = "Minutes of this part:";
  if (style == PromptStyle::kGeneral) {
    text = "Below is one part of a meeting's transcript, with the time of each line. Write its "
           "minutes as a short bullet list ('- ' at the start of each line): decisions, actions "
           "with who does what by when, and facts worth keeping. Invent nothing. Answer with the "
           "list alone.\n";
  }
  for (const Segment& line : lines) {
    text += style == PromptStyle::kMicro
                ? "\n" + line.text
                : fmt::format("\n[{}] {}", short_time(line.start), line.text);
  }
  return text;
}

std::string join_prompt(PromptStyle style, std::span<const std::string> lists) {
  std::string text = "Join these minutes:";
  if (style == PromptStyle::kGeneral) {
    text = "Below are the minutes of consecutive parts of one meeting. Join them into one bullet "
           "list in the same order: say each thing once, and where a later part changes an "
           "earlier point keep what was decided last. Invent nothing. Answer with the list "
           "alone.\n";
  }
  for (size_t i = 0; i < lists.size(); ++i) text += (i == 0 ? "\n" : "\n\n") + lists[i];
  return text;
}

std::string screen_prompt(PromptStyle style) {
  if (style == PromptStyle::kMicro) return "What is on the screen?";
  return "This is a screenshot taken during a meeting. List what it shows that belongs in the "
         "minutes, one short bullet ('- ') for each fact. Answer with the list alone.";
}

PartSizes part_sizes(PromptStyle style) {
  return style == PromptStyle::kMicro ? PartSizes{3, 2} : PartSizes{60, 6};
}

}  // namespace gantry
