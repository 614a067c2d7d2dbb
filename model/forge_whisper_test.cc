// The forged whisper files are right where nothing was changed, and their parts are marked.
#include "model/forge_whisper.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "model/whisper.h"

namespace gantry {
namespace {

TEST(ForgeWhisper, WritesRightFiles) {
  EXPECT_TRUE(read_whisper(as_bytes(forge_whisper().bytes())));
  EXPECT_TRUE(read_whisper(as_bytes(forge_whisper(8, 3, 2).bytes())));
}

TEST(ForgeWhisper, MarksWherePartsBegin) {
  std::vector<size_t> starts;
  const WhisperForge forge = forge_whisper();
  const std::string file = forge.bytes(&starts);
  // 11 numbers, filters and their data, tokens and each of them, each tensor and its data.
  EXPECT_EQ(starts.size(), 11 + 2 + 1 + forge.tokens.size() + 2 * forge.tensors.size());
  EXPECT_EQ(starts.front(), 4U);
  EXPECT_TRUE(std::is_sorted(starts.begin(), starts.end()));
  EXPECT_LT(starts.back(), file.size());
}

}  // namespace
}  // namespace gantry
