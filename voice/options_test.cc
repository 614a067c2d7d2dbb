// Settings are refused before the engine sees them.
#include "voice/options.h"

#include <gtest/gtest.h>

namespace gantry {
namespace {

TEST(VoiceOptions, SettingsAreCutAtTheFirstSign) {
  EXPECT_EQ(*split_setting("model=/a=b.onnx"), (std::pair<std::string, std::string>{
                                                   "model", "/a=b.onnx"}));
  EXPECT_FALSE(split_setting("model"));
  EXPECT_FALSE(split_setting("=x"));
}

TEST(VoiceOptions, EachWrongThingIsNamed) {
  VoiceOptions sound{.engine = "vits", .values = {{"model", "/dev/null"}, {"tokens", "/dev/null"}}};
  EXPECT_TRUE(check_options(sound));
  const auto code = [&](auto change) {
    VoiceOptions options = sound;
    change(&options);
    const Result<void> checked = check_options(options);
    return checked ? Code::kInternal : checked.error().code;
  };
  EXPECT_EQ(code([](auto* o) { o->engine = "coqui"; }), Code::kUsage);
  EXPECT_EQ(code([](auto* o) { o->values.erase("tokens"); }), Code::kUsage);
  EXPECT_EQ(code([](auto* o) { o->values["vocoder"] = "/dev/null"; }), Code::kUsage);
  EXPECT_EQ(code([](auto* o) { o->values["length_scale"] = "fast"; }), Code::kUsage);
  EXPECT_EQ(code([](auto* o) { o->values["length_scale"] = "nan"; }), Code::kUsage);
  EXPECT_EQ(code([](auto* o) { o->values["model"] = "/no/such/file"; }), Code::kNotFound);
  sound.values["length_scale"] = "1.5";
  EXPECT_TRUE(check_options(sound));
  EXPECT_EQ(sound.number("length_scale", 1), 1.5F);
  EXPECT_EQ(sound.number("noise_scale", 0.25F), 0.25F);
  EXPECT_STREQ(sound.text("lexicon"), "");
}

}  // namespace
}  // namespace gantry
