// The table, looked up.
#include "worker/sound_format.h"

#include <algorithm>

namespace gantry {

namespace {

constexpr std::array<std::string_view, 9> kOthers = {"aac",  "m4a", "mp4", "wma", "aiff",
                                                     "webm", "mka", "amr", "ac3"};

std::string ending_of(std::string_view file) {
  const size_t name = file.rfind('/') == std::string_view::npos ? 0 : file.rfind('/') + 1;
  const size_t dot = file.rfind('.');
  if (dot == std::string_view::npos || dot < name) return "";
  std::string ending(file.substr(dot + 1));
  std::ranges::transform(ending, ending.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return ending;
}

}  // namespace

const SoundFormatFacts& facts_of(SoundFormat format) {
  return *std::ranges::find(kSoundFormats, format, &SoundFormatFacts::format);
}

std::optional<SoundFormat> sound_format(std::string_view name) {
  const auto* found = std::ranges::find(kSoundFormats, name, &SoundFormatFacts::name);
  if (found == kSoundFormats.end()) return std::nullopt;
  return found->format;
}

std::string sound_format_names() {
  std::string out;
  for (size_t i = 0; i < kSoundFormats.size(); ++i) {
    if (i > 0) out += i + 1 == kSoundFormats.size() ? " or " : ", ";
    out += kSoundFormats[i].name;
  }
  return out;
}

Result<SoundFormat> sound_format_of(std::string_view file) {
  const std::string ending = ending_of(file);
  if (ending == "ogg" || ending == "oga") return SoundFormat::kOpus;
  if (ending == "raw") return SoundFormat::kPcm;
  if (const auto known = sound_format(ending)) return *known;
  if (std::ranges::find(kOthers, ending) == kOthers.end()) return SoundFormat::kWav;
  return fail(Code::kUsage, "no ." + ending + " is written here",
              "name a file that ends in .wav, .mp3, .flac, .ogg, .opus or .pcm");
}

}  // namespace gantry
