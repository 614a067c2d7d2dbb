// Names and endings.
#include "worker/sound_format.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(SoundFormats, EachIsFoundByItsName) {
  for (const SoundFormatFacts& facts : kSoundFormats) {
    EXPECT_EQ(sound_format(facts.name), facts.format);
    EXPECT_EQ(facts_of(facts.format).content_type, facts.content_type);
  }
  EXPECT_FALSE(sound_format("aac"));
  EXPECT_FALSE(sound_format("MP3"));
  EXPECT_FALSE(sound_format(""));
  EXPECT_EQ(sound_format_names(), "mp3, flac, opus, wav or pcm");
}

TEST(SoundFormats, EndingsSayWhatIsWritten) {
  for (const auto& [file, format] :
       {std::pair{"a.mp3", SoundFormat::kMp3}, std::pair{"b/a.FLAC", SoundFormat::kFlac},
        std::pair{"a.ogg", SoundFormat::kOpus}, std::pair{"a.opus", SoundFormat::kOpus},
        std::pair{"a.wav", SoundFormat::kWav}, std::pair{"a.pcm", SoundFormat::kPcm},
        std::pair{"a.raw", SoundFormat::kPcm}, std::pair{"sound", SoundFormat::kWav},
        std::pair{"a.mp3/sound", SoundFormat::kWav}, std::pair{"", SoundFormat::kWav},
        std::pair{"a.", SoundFormat::kWav}, std::pair{"a.out", SoundFormat::kWav}}) {
    const Result<SoundFormat> got = sound_format_of(file);
    ASSERT_TRUE(got) << file;
    EXPECT_EQ(*got, format) << file;
  }
  for (const char* file : {"a.aac", "a.m4a", "a.WMA"}) {
    const Result<SoundFormat> got = sound_format_of(file);
    ASSERT_FALSE(got) << file;
    EXPECT_EQ(got.error().code, Code::kUsage);
    EXPECT_NE(got.error().remedy.find(".mp3"), std::string::npos);
  }
}

}  // namespace
}  // namespace gantry
