// What may be given up, in which order, and what is said of it.
#include "plan/levers.h"

#include <gtest/gtest.h>

#include "plan/example.h"
#include "plan/need.h"

namespace gantry {
namespace {

Wish seven() {
  Wish wish = wish_for("m", llama_card(kSevenB));
  wish.context = 8192;
  return wish;
}

TEST(Shortage, WordsHaveTheirTurns) {
  Wish wish = seven();
  EXPECT_EQ(turn_of(wish, Shortage::kWait), 0U);
  EXPECT_EQ(turn_of(wish, Shortage::kCpu), 0U);
  EXPECT_EQ(turn_of(wish, Shortage::kShrink), 1U);
  EXPECT_EQ(turn_of(wish, Shortage::kCloud), std::nullopt);
  EXPECT_EQ(turns_of(wish), 1U);
  wish.shortage = {Shortage::kShrink, Shortage::kCpu, Shortage::kRefuse, Shortage::kWait};
  EXPECT_EQ(turn_of(wish, Shortage::kShrink), 1U);
  EXPECT_EQ(turn_of(wish, Shortage::kCpu), 2U);
  EXPECT_EQ(turn_of(wish, Shortage::kWait), std::nullopt);  // after the end
  EXPECT_EQ(turns_of(wish), 2U);
  wish.shortage = {Shortage::kRefuse};
  EXPECT_EQ(turns_of(wish), 0U);
  for (const Shortage word : {Shortage::kWait, Shortage::kShrink, Shortage::kCpu,
                              Shortage::kCloud, Shortage::kRefuse}) {
    EXPECT_EQ(parse_shortage(shortage_name(word)).value(), word);
  }
  EXPECT_EQ(parse_shortage("panic").error().code, Code::kUsage);
}

TEST(Settings, NothingWithoutLevers) {
  EXPECT_EQ(settings_of(seven(), true).size(), 1U);
  Wish wish = seven();
  wish.levers.caches = {CacheType::kQ8_0};
  EXPECT_EQ(settings_of(wish, false).size(), 1U);
  EXPECT_EQ(settings_of(wish, true).size(), 2U);
}

TEST(Settings, OnlyWhatMakesItSmaller) {
  Wish wish = seven();
  wish.cache_k = wish.cache_v = CacheType::kQ8_0;
  wish.levers.caches = {CacheType::kF16, CacheType::kQ8_0};
  wish.levers.encoder_on_cpu = true;  // there is none
  wish.levers.context_least = 8192;
  wish.ubatch = 64;
  wish.levers.smaller_batch = true;
  EXPECT_EQ(settings_of(wish, true).size(), 1U);
}

TEST(Settings, AllCombinationsTheLeastFirst) {
  Wish wish = seven();
  wish.levers.caches = {CacheType::kQ8_0, CacheType::kQ4_0};
  wish.levers.smaller_batch = true;
  wish.levers.context_least = 2048;
  const std::vector<Setting> settings = settings_of(wish, true);
  EXPECT_EQ(settings.size(), 3U * 3U * 4U);  // batches, caches, contexts 8192, 6144, 4096, 2048
  EXPECT_EQ(settings[0].steps, 0U);
  EXPECT_TRUE(settings[0].given_up.empty());
  for (size_t i = 1; i < settings.size(); ++i) {
    EXPECT_GE(settings[i].steps, settings[i - 1].steps);
    EXPECT_FALSE(settings[i].given_up.empty());
    EXPECT_LE(settings[i].steps, kStepsMax);
    EXPECT_LE(needs_of(settings[i].wish, "", 0, {})[0].total(),
              needs_of(wish, "", 0, {})[0].total());
  }
  EXPECT_EQ(settings[1].given_up[0], "batches of 256 tokens instead of 512");
  EXPECT_EQ(settings.back().wish.context, 2048U);
  EXPECT_EQ(settings.back().wish.cache_k, CacheType::kQ4_0);
}

TEST(Settings, AlternativesComeLast) {
  Wish wish = seven();
  wish.levers.caches = {CacheType::kQ8_0};
  for (size_t i = 0; i < kAlternativesMax; ++i) {
    wish.alternatives.push_back({"small" + std::to_string(i), llama_card(kMicro), std::nullopt});
  }
  const std::vector<Setting> settings = settings_of(wish, true);
  EXPECT_EQ(settings.size(), 2 + 2 * kAlternativesMax);
  EXPECT_EQ(settings[2].alternative, "small0");
  EXPECT_EQ(settings[2].given_up[0], "small0 instead of m");
  EXPECT_EQ(settings[2].wish.name, "m");
  EXPECT_LE(settings.back().steps, kStepsMax);
}

TEST(ComputeType, TakesTheFileOfThatType) {
  Wish wish = seven();
  wish.card->quantisation = "F16";
  ModelCard other = llama_card(kMicro);
  other.quantisation = "Q4_K";
  wish.alternatives = {{"m-q4", other, std::nullopt}};
  Wish same = wish;
  ASSERT_TRUE(insist_on_type("f16", &same));
  EXPECT_TRUE(same.insisted.empty());
  EXPECT_TRUE(same.alternatives.empty());
  for (const char* type : {"Q4_K", "q4_k_m"}) {
    Wish changed = wish;
    ASSERT_TRUE(insist_on_type(type, &changed)) << type;
    EXPECT_EQ(changed.insisted, "m-q4");
    EXPECT_EQ(changed.card->quantisation, "Q4_K");
  }
  const auto none = insist_on_type("Q8_0", &wish);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kUsage);
  EXPECT_NE(none.error().remedy.find("F16, Q4_K"), std::string::npos);
}

}  // namespace
}  // namespace gantry
