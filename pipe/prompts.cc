// The questions, in both styles.
#include "pipe/prompts.h"

#include <fmt/format.h>

#include "pipe/speakers.h"
#include "pipe/transcript.h"

namespace gantry {

namespace {

// Each list after a blank line of its own.
std::string listed(std::span<const std::string> lists) {
  std::string text;
  for (size_t i = 0; i < lists.size(); ++i) text += (i == 0 ? "\n" : "\n\n") + lists[i];
  return text;
}

}  // namespace

PromptStyle prompt_style(std::string_view model) {
  return model.starts_with("micro-") ? PromptStyle::kMicro : PromptStyle::kGeneral;
}

std::string part_line(PromptStyle style, const Segment& segment) {
  const std::string who = segment.speaker ? speaker_name(*segment.speaker) + ": " : "";
  if (style == PromptStyle::kMicro) return who + segment.text;
  return fmt::format("[{}] {}{}", short_time(segment.start), who, segment.text);
}

std::string part_prompt(PromptStyle style, std::string_view part) {
  std::string text = "Minutes of this part:";
  if (style == PromptStyle::kGeneral) {
    text = "Below is one part of a meeting's transcript, with the time of each line. Write its "
           "minutes as a short bullet list ('- ' at the start of each line): decisions, actions "
           "with who does what by when, and facts worth keeping. Invent nothing. Answer with the "
           "list alone.\n";
  }
  return text + "\n" + std::string(part);
}

std::string join_prompt(PromptStyle style, std::span<const std::string> lists) {
  std::string text = "Join these minutes:";
  if (style == PromptStyle::kGeneral) {
    text = "Below are the minutes of consecutive parts of one meeting. Join them into one bullet "
           "list in the same order: say each thing once, and where a later part changes an "
           "earlier point keep what was decided last. Invent nothing. Answer with the list "
           "alone.\n";
  }
  return text + listed(lists);
}

std::string text_part_prompt(std::string_view part) {
  return "Below is one part of a longer text. Sum it up as a short bullet list ('- ' at the start "
         "of each line) of what matters. Invent nothing. Answer with the list alone.\n\n" +
         std::string(part);
}

std::string text_join_prompt(std::span<const std::string> lists) {
  return "Below are summaries of consecutive parts of one text. Join them into one bullet list in "
         "the same order, shorter than they are together: say each thing once. Invent nothing. "
         "Answer with the list alone.\n" +
         listed(lists);
}

std::string screen_prompt(PromptStyle style) {
  if (style == PromptStyle::kMicro) return "What is on the screen?";
  return "This is a screenshot taken during a meeting. List what it shows that belongs in the "
         "minutes, one short bullet ('- ') for each fact. Answer with the list alone.";
}

PartSizes part_sizes(PromptStyle style) {
  return style == PromptStyle::kMicro ? PartSizes{3, 2, true} : PartSizes{60, 6, false};
}

}  // namespace gantry
