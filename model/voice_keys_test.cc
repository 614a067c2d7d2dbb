// The table keeps what the others count on.
#include "model/voice_keys.h"

#include <gtest/gtest.h>

#include <set>

namespace gantry {
namespace {

TEST(VoiceKeys, EachEngineOnceAndItsFirstKeyIsItsFile) {
  std::set<std::string_view> names;
  for (const VoiceEngine& engine : voice_engines()) {
    EXPECT_TRUE(names.insert(engine.name).second) << engine.name;
    EXPECT_EQ(find_voice_engine(engine.name), &engine);
    if (engine.name == kEspeakEngine) continue;
    ASSERT_FALSE(engine.keys.empty()) << engine.name;
    EXPECT_TRUE(engine.keys.front().required) << engine.name;
    EXPECT_EQ(engine.keys.front().shape, VoiceKeyShape::kFile) << engine.name;
    std::set<std::string_view> keys;
    for (const VoiceKey& key : engine.keys) {
      EXPECT_TRUE(keys.insert(key.name).second) << engine.name << " " << key.name;
      EXPECT_EQ(find_voice_key(engine, key.name), &key);
    }
  }
  EXPECT_TRUE(names.contains(kDiarizationEngine));
  EXPECT_EQ(find_voice_engine("coqui"), nullptr);
  EXPECT_EQ(find_voice_key(*find_voice_engine("vits"), "vocoder"), nullptr);
}

}  // namespace
}  // namespace gantry
