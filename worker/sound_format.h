// What speech is written as: names, file endings and content types. Pure.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace gantry {

enum class SoundFormat {
  kMp3,
  kFlac,
  kOpus,  // in Ogg
  kWav,
  kPcm,  // samples alone
};

struct SoundFormatFacts {
  SoundFormat format;
  std::string_view name;  // OpenAI's
  std::string_view content_type;
  bool encoded;  // by gantry-encode
};

constexpr std::array<SoundFormatFacts, 5> kSoundFormats{
    {{SoundFormat::kMp3, "mp3", "audio/mpeg", true},
     {SoundFormat::kFlac, "flac", "audio/flac", true},
     {SoundFormat::kOpus, "opus", "audio/ogg; codecs=opus", true},
     {SoundFormat::kWav, "wav", "audio/wav", false},
     {SoundFormat::kPcm, "pcm", "audio/pcm", false}}};

constexpr std::string_view kSoundEnd = ".";  // gantry-encode's last line, see worker/encode.h

const SoundFormatFacts& facts_of(SoundFormat format);
std::optional<SoundFormat> sound_format(std::string_view name);
// "mp3, flac, opus, wav or pcm"
std::string sound_format_names();
// By the file's ending; wav where it is none that sound has. kUsage: one that is not made here.
[[nodiscard]] Result<SoundFormat> sound_format_of(std::string_view file);

}  // namespace gantry
