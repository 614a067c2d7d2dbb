// Tests of the tables themselves.
#include "config/keys.h"

#include <gtest/gtest.h>

#include <set>

namespace gantry {
namespace {

template <class State>
void expect_unique(std::span<const ConfigKey<State>> keys) {
  std::set<std::string_view> names;
  for (const ConfigKey<State>& key : keys) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_FALSE(key.about.empty()) << key.name;
  }
}

TEST(Keys, NamesAreUniqueAndDescribed) {
  expect_unique(file_keys());
  expect_unique(model_keys());
  expect_unique(group_keys());
}

TEST(Keys, GrowthByFileAndByModel) {
  const auto config = parse_config("growth: stop\nmodels: {a: {file: x}, b: {file: x, growth: "
                                   "move}}\n", "f");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->growth, Growth::kStop);
  EXPECT_FALSE(config->models[0].growth);
  EXPECT_EQ(config->models[1].growth, Growth::kMove);
  EXPECT_EQ(parse_config("", "f")->growth, Growth::kWarn);
  const auto bad = parse_config("growth: explode\n", "f");
  ASSERT_FALSE(bad);
  EXPECT_TRUE(bad.error().message.starts_with("f:1:9: ")) << bad.error().message;
}

TEST(Keys, WhereASpeechModelEncodes) {
  const auto unsaid = parse_config("models: {a: {file: x}}\n", "f");
  ASSERT_TRUE(unsaid) << unsaid.error().message;
  EXPECT_EQ(unsaid->models[0].encoder, "");
  for (const std::string word : {"auto", "npu", "gpu", "cpu", "none"}) {
    const auto config = parse_config("models: {a: {file: x, encoder: " + word + "}}\n", "f");
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->models[0].encoder, word);
  }
  for (const char* bad : {"NPU", "gpu0", "\"\"", "openvino"}) {
    const auto refused =
        parse_config("models: {a: {file: x, encoder: " + std::string(bad) + "}}\n", "f");
    ASSERT_FALSE(refused) << bad;
    EXPECT_TRUE(refused.error().message.starts_with("f:1:32: ")) << refused.error().message;
    EXPECT_EQ(refused.error().remedy, "auto, npu, gpu, cpu or none");
  }
  EXPECT_FALSE(parse_config("models: {a: {file: x, encoder: [cpu]}}\n", "f"));
}

TEST(Keys, ReservesOfAllDevicesOrByName) {
  EXPECT_TRUE(parse_config("", "f")->reserve.empty());
  EXPECT_EQ(parse_config("reserve: 10%\n", "f")->reserve.at("").fraction, 0.1);
  const auto config = parse_config("reserve: {cpu: 2GiB, gpu0: 20%}\n", "f");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->reserve.size(), 2U);
  EXPECT_EQ(config->reserve.at("cpu").bytes, GiB(2));
  EXPECT_EQ(config->reserve.at("gpu0").fraction, 0.2);
  for (const char* bad : {"100%", "0", "[1GiB]", "{cpu: much}", "{cpu: 100%}"}) {
    const auto refused = parse_config("reserve: " + std::string(bad) + "\n", "f");
    ASSERT_FALSE(refused) << bad;
    EXPECT_TRUE(refused.error().message.starts_with("f:1:")) << refused.error().message;
  }
}

TEST(Keys, EndedJobsAreKeptSoManyOrSoLong) {
  EXPECT_EQ(parse_config("", "f")->keep_jobs, 100'000U);
  EXPECT_EQ(parse_config("", "f")->keep_days, 0U);
  const auto config = parse_config("keep_jobs: 0\nkeep_days: 36500\n", "f");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->keep_jobs, 0U);
  EXPECT_EQ(config->keep_days, 36'500U);
  EXPECT_FALSE(parse_config("keep_days: 36501\n", "f"));
  EXPECT_FALSE(parse_config("keep_jobs: -1\n", "f"));
}

TEST(Keys, WaitingHasAnEnd) {
  EXPECT_EQ(parse_config("wait_s: 86400\n", "f")->wait_s, 86400U);
  EXPECT_FALSE(parse_config("wait_s: 86401\n", "f"));
  EXPECT_EQ(parse_config("hung_s: 0\n", "f")->hung_s, 0U);
  EXPECT_FALSE(parse_config("hung_s: 86401\n", "f"));
}

TEST(Keys, ListenAddresses) {
  for (const char* good : {"127.0.0.1:0", "localhost:65535", "[::1]:8484", "0.0.0.0:80"}) {
    EXPECT_TRUE(is_listen_address(good)) << good;
  }
  for (const char* bad : {"", ":", ":80", "h:", "h:65536", "h:-1", "h:8x", "::1:80", "a b:80"}) {
    EXPECT_FALSE(is_listen_address(bad)) << bad;
  }
}

TEST(Keys, WhoIsNeverBesideWhom) {
  const auto config = parse_config(
      "exclusive:\n  - [vision, language]\n  - {never: [a, b, c], below: 8GiB}\n", "f");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->exclusive.size(), 2U);
  EXPECT_EQ(config->exclusive[0].classes, (std::vector<std::string>{"vision", "language"}));
  EXPECT_FALSE(config->exclusive[0].below);
  EXPECT_EQ(config->exclusive[1].classes.size(), 3U);
  EXPECT_EQ(config->exclusive[1].below, GiB(8));
  for (const char* bad : {"vision", "[vision, language]", "[[vision]]", "[{below: 8GiB}]",
                          "[{never: [a, b], above: 8GiB}]", "[{never: [a, b], below: much}]"}) {
    const auto refused = parse_config("exclusive: " + std::string(bad) + "\n", "f");
    ASSERT_FALSE(refused) << bad;
    EXPECT_TRUE(refused.error().message.starts_with("f:1:")) << refused.error().message;
  }
}

}  // namespace
}  // namespace gantry
