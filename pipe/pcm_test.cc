// Heads that other programs read.
#include "pipe/pcm.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(Pcm, DurationBySize) {
  EXPECT_EQ(wav_duration(Bytes{44 + 32'000}), Millis{1000});
  EXPECT_EQ(wav_duration(Bytes{44}), Millis{0});
  EXPECT_EQ(wav_duration(Bytes{10}), Millis{0});
}

TEST(Pcm, AHeadSaysRateAndLength) {
  const std::string head = wav_head(22'050, 1'000);
  ASSERT_EQ(head.size(), kWavHeadBytes);
  EXPECT_EQ(head.substr(0, 4) + head.substr(8, 8), "RIFFWAVEfmt ");
  EXPECT_EQ(head.substr(4, 4), std::string("\x0c\x04\0\0", 4));    // 1,036 after it
  EXPECT_EQ(head.substr(24, 4), std::string("\x22\x56\0\0", 4));   // 22,050
  EXPECT_EQ(head.substr(28, 4), std::string("\x44\xac\0\0", 4));   // bytes a second
  EXPECT_EQ(head.substr(40, 4), std::string("\xe8\x03\0\0", 4));
}

TEST(Pcm, AnUnknownLengthIsTheLargestAndDoesNotOverflow) {
  for (const uint64_t bytes : {kPcmUnknown, kPcmUnknown + 1, UINT64_MAX}) {
    const std::string head = wav_head(16'000, bytes);
    EXPECT_EQ(head.substr(4, 4), std::string("\xf7\xff\xff\xff", 4));
    EXPECT_EQ(head.substr(40, 4), std::string("\xd3\xff\xff\xff", 4));
  }
}

TEST(Pcm, SilenceIsWholeSamples) {
  EXPECT_EQ(silence(16'000, 300), std::string(9'600, '\0'));
  EXPECT_EQ(silence(22'050, 1), std::string(44, '\0'));
}

}  // namespace
}  // namespace gantry
